"""The player: its position advances, stalls and pauses."""

from hypothesis import given
from hypothesis import strategies as st

from doai.phone.media import START_BUFFERING_S, PlaybackState, Player


def test_buffers_then_plays_then_ends() -> None:
    player = Player("abcdefghijk", 0.0)
    assert player.playback(0.1).state is PlaybackState.BUFFERING
    assert player.playback(START_BUFFERING_S + 5).position_ms == 5000
    assert player.playback(START_BUFFERING_S + 5).state is PlaybackState.PLAYING
    end = player.playback(10_000.0)
    assert (end.state, end.position_ms) == (PlaybackState.STOPPED, end.duration_ms)


def test_stall_holds_the_position_and_ends_by_itself() -> None:
    player = Player("v", 0.0)
    player.stall(10.6, 3.0)
    held = player.playback(12.0)
    assert (held.state, held.position_ms, held.stalls) == (PlaybackState.BUFFERING, 10_000, 1)
    assert player.playback(15.6).position_ms == 12_000


def test_stall_until_resumed() -> None:
    player = Player("v", 0.0)
    player.stall(1.6, None)
    assert player.playback(500.0).state is PlaybackState.BUFFERING
    player.resume(500.0)
    assert player.playback(501.0).position_ms == 2000


def test_pause_and_play() -> None:
    player = Player("v", 0.0)
    player.pause(2.6)
    assert player.playback(50.0).state is PlaybackState.PAUSED
    player.play(50.0)
    assert player.playback(51.0).position_ms == 3000


@given(st.lists(st.tuples(st.sampled_from(["stall", "resume", "pause", "play"]), st.floats(0, 20)), max_size=20))
def test_the_position_never_goes_back(actions: list[tuple[str, float]]) -> None:
    player, now_s, position_ms = Player("v", 0.0), 0.0, 0
    for action, after_s in actions:
        now_s += after_s
        if action == "stall":
            player.stall(now_s, 2.0)
        else:
            getattr(player, action)(now_s)
        found = player.playback(now_s)
        assert found.position_ms >= position_ms
        position_ms = found.position_ms
