"""One call of a program on the phone: its words, where its output goes, and its device (way of a task: 9)."""

from collections.abc import Callable, Iterator

from doai.phone.device import Device
from doai.phone.effects import STDERR, STDOUT, Output, Running


class Call:
    """What a program is given. A program that needs no time and no input returns its exit code; output that it
    wrote with `out` and `err` comes before that. One that does is a generator (doai.phone.effects.Running)."""

    def __init__(self, device: Device, argv: list[str], clock: Callable[[], float]) -> None:
        self.device = device
        self.argv = argv
        self._clock = clock
        self._output: list[Output] = []

    @property
    def now_s(self) -> float:
        """The caller's time, which moves while a program waits."""
        return self._clock()

    @property
    def words(self) -> list[str]:
        """The arguments without the program's name."""
        return self.argv[1:]

    def out(self, text: str) -> None:
        """Writes a line to stdout."""
        self._output.append(Output(STDOUT, text.encode() + b"\n"))

    def out_bytes(self, data: bytes) -> None:
        """Writes bytes to stdout as they are."""
        self._output.append(Output(STDOUT, data))

    def err(self, text: str) -> None:
        """Writes a line to stderr."""
        self._output.append(Output(STDERR, text.encode() + b"\n"))

    def take_output(self) -> Iterator[Output]:
        """What was written since the last time."""
        taken, self._output = self._output, []
        yield from taken


Program = Callable[[Call], int | Running]


def option(words: list[str], *names: str) -> str | None:
    """The word after an option, or None."""
    for index, word in enumerate(words[:-1]):
        if word in names:
            return words[index + 1]
    return None


def operands(words: list[str], *with_value: str) -> list[str]:
    """The words that are no options; options named in `with_value` take the next word with them."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in with_value:
            skip = True
        elif not word.startswith("-") or word == "-":
            kept.append(word)
    return kept
