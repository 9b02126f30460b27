"""Settings: three spellings, one meaning; every mistake named with its place."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from doai.configuration import Secret, check_endpoint, load, show
from doai.errors import ConfigError


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    endpoint: Annotated[str, Meta(description="Where the broker is")] = "tcp://127.0.0.1:7701"
    data_dir: Annotated[Path, Meta(description="Folder for data")] = Path("data")
    token_file: Annotated[Path | None, Meta(description="Where the token goes")] = None
    slots: Annotated[int, Meta(description="Tasks at once", ge=1)] = 20
    connect: Annotated[list[str], Meta(description="Phones to connect to")] = []
    usb: Annotated[bool, Meta(description="Look for phones on USB")] = True
    form: Annotated[Literal["json", "text"], Meta(description="Form of lines")] = "text"
    load: Annotated[float, Meta(description="Largest load", ge=0, le=1)] = 1.0
    secret: Annotated[Secret, Meta(description="Secret of uploads", extra={"aliases": ["OLD_SECRET"]})] = Secret("")


def read(*argv: str, **environ: str) -> Settings:
    return load(Settings, "node", argv, environ)[0]


def test_three_spellings_of_one_setting(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('slots = 3\nconnect = ["a", "b"]\n')
    assert read("--config", str(file)).slots == 3
    assert read("--config", str(file)).connect == ["a", "b"]
    assert read("--config", str(file), DOAI_SLOTS="4").slots == 4
    assert read("--config", str(file), "--slots", "5", DOAI_SLOTS="4").slots == 5
    assert read(DOAI_CONFIG=str(file)).slots == 3
    assert read("--connect", "x", "--connect", "y").connect == ["x", "y"]
    assert read(DOAI_CONNECT="x, y").connect == ["x", "y"]
    assert read("--no-usb").usb is False
    assert read(DOAI_USB="false").usb is False


def test_a_secret_has_no_flag_and_is_never_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "secret"
    file.write_text("tellnobody\n")
    for settings in (
        read("--secret-file", str(file)),
        read(DOAI_SECRET="tellnobody"),
        read(OLD_SECRET="tellnobody"),
    ):
        assert settings.secret.reveal() == "tellnobody"
        assert "tellnobody" not in repr(settings) + show(settings)
    with pytest.raises(SystemExit):
        read("--secret", "tellnobody")
    assert "--secret-file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slots = 3\nendpont = 'x'", "node.toml:2: there is no setting endpont: did you mean endpoint?"),
        ("\nslots = 'many'", 'node.toml:2: slots can not be "many": it must be a whole number, 1 or more'),
        ("slots = 0", "node.toml:1: slots can not be 0: it must be a whole number, 1 or more"),
        ("slots = '3'", 'node.toml:1: slots can not be "3": it must be a whole number, 1 or more'),
        ("usb = 'no'", 'node.toml:1: usb can not be "no": it must be true or false'),
        (
            "connect = [1]",
            "node.toml:1: connect can not be [1]: it must be a list; of each value: it must be text in quotes",
        ),
        ("form = 'xml'", 'node.toml:1: form can not be "xml": choose one of json, text'),
        ("load = 2", "node.toml:1: load can not be 2: it must be a number from 0 to 1"),
        ("[node]\nslots = 3", "node.toml:1: there is no setting node: known are"),
        ("slots = ", "node.toml is no valid TOML: Invalid value (at end of document)"),
        ("secret = 1", "node.toml:1: secret must be text in quotes"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read("--config", str(file))
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_mistakes_elsewhere_are_named_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='variable DOAI_SLOTS: slots can not be "x"'):
        read(DOAI_SLOTS="x")
    with pytest.raises(ConfigError, match='--slots: slots can not be "0"'):
        read("--slots", "0")
    with pytest.raises(ConfigError, match=r"cannot read .*missing\.toml: No such file"):
        read("--config", str(tmp_path / "missing.toml"))


def test_a_needed_setting_says_how_to_give_it() -> None:
    class Needs(msgspec.Struct, frozen=True, kw_only=True):
        name: Annotated[str, Meta(description="Name of the node")]

    with pytest.raises(ConfigError) as caught:
        load(Needs, "node", [], {})
    assert str(caught.value) == "name is needed: give --name, DOAI_NAME, or name in the file of --config"


def test_a_path_may_be_left_out_or_given() -> None:
    assert read().token_file is None
    assert read("--token-file", "a").token_file == Path("a")


@pytest.mark.parametrize(
    "text", ["127.0.0.1:7701", "tcp://:7701", "tcp://host", "tcp://host:x", "tcp://host:70000", "tcp://host:0"]
)
def test_an_endpoint_has_a_scheme_a_host_and_a_port(text: str) -> None:
    check_endpoint("endpoint", "tcp://10.0.0.1:7701")
    check_endpoint("endpoint", "tcp://[::1]:0", listens=True)
    with pytest.raises(ConfigError, match=r"endpoint can not be .* from 1 to 65535"):
        check_endpoint("endpoint", text)


def test_what_is_wrong_only_together_is_found_by_check_config_too() -> None:
    def check(settings: Settings) -> None:
        raise ConfigError(f"{settings.slots} slots are too many for this host")

    with pytest.raises(ConfigError, match="7 slots are too many"):
        load(Settings, "node", ["--check-config", "--slots", "7"], {}, check=check)


def test_check_config_shows_what_would_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read("--check-config", "--slots", "7", DOAI_SECRET="x")
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "slots = 7" in shown
    assert 'secret = "***"' in shown


def test_help_names_every_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read("--help")
    text = " ".join(capsys.readouterr().out.split())
    for name in (
        "--endpoint",
        "DOAI_ENDPOINT",
        "--data-dir",
        "--no-usb",
        "--secret-file",
        "OLD_SECRET",
        "DOAI_CONFIG",
    ):
        assert name in text
