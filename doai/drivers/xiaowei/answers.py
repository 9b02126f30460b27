"""The vendor's requests and answers as text, and to whom an answer belongs; pure (step 9)."""

from __future__ import annotations

from typing import Final

import msgspec

from doai.drivers.base import CommandOutput
from doai.drivers.xiaowei import vocabulary
from doai.drivers.xiaowei.marked import CutOffError, MarkedError, NotOursError, has_mark, read_marked

EXCERPT_CHARACTERS: Final = 200


class AnswerError(Exception):
    """An answer that can not be used; the text says why. Whether the request was performed is not known."""


class StrayError(AnswerError):
    """The answer to another request: it is thrown away, and the right one is waited for."""


class RefusedError(AnswerError):
    """The program says that the request failed; the text is its own."""


class Answer(msgspec.Struct, frozen=True):
    """An answer as it came. ``data`` stays text until it is known what it should be."""

    code: int
    message: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class ListedPhone(msgspec.Struct, frozen=True, rename="camel"):
    """One phone of the list; the fields that are used."""

    serial: str
    """How requests address it now; it changes with the way it is connected."""
    only_serial: str = ""
    """Its own serial, the same in every connection; empty = the program does not know it."""
    status: str | int | bool | None = None
    mode: str | int | None = None

    @property
    def key(self) -> str:
        return self.only_serial or self.serial

    @property
    def unusable_because(self) -> str:
        """Why no command can reach it; empty = one can."""
        if str(self.status).lower() in vocabulary.AWAY:
            return "the vendor's program lists it as offline: check its cable, power and network"
        if str(self.mode) in vocabulary.WITHOUT_ADB:
            return (
                "the vendor's program holds it without USB debugging: connect it over USB, Wi-Fi or OTG in that "
                "program"
            )
        return ""


class Listing(msgspec.Struct, frozen=True):
    """The list of phones, and how many entries could not be read."""

    phones: list[ListedPhone]
    unreadable: int


def request(action: str, serial: str = "", **data: str) -> str:
    """Return the text of a request; ``serial`` empty = it is about no phone."""
    fields: dict[str, object] = {vocabulary.ACTION: action}
    if serial:
        fields[vocabulary.DEVICES] = serial
    if data:
        fields[vocabulary.DATA] = data
    return msgspec.json.encode(fields).decode()


def parse_answer(message: str | bytes) -> Answer:
    """Read a message; raises AnswerError when it is no answer."""
    try:
        return msgspec.json.decode(message, type=Answer)
    except (msgspec.DecodeError, UnicodeError) as error:
        shown = message[:EXCERPT_CHARACTERS]
        raise AnswerError(f"{error}: {shown!r}") from None


def succeeded(answer: Answer) -> Answer:
    """Return the answer; raises RefusedError, or AnswerError for a code that has no meaning."""
    if answer.code == vocabulary.FAILURE:
        raise RefusedError(answer.message[:EXCERPT_CHARACTERS] or "it gave no reason")
    if answer.code != vocabulary.SUCCESS:
        raise AnswerError(f"code {answer.code} has no meaning ({answer.message[:EXCERPT_CHARACTERS]})")
    return answer


def read_listing(answer: Answer) -> Listing:
    """Return the phones of an answer to LIST; raises StrayError when it holds something else."""
    data = bytes(succeeded(answer).data)
    if data == b"null":
        return Listing([], 0)
    try:
        entries = msgspec.json.decode(data, type=list[msgspec.Raw])
    except msgspec.DecodeError:
        raise StrayError("it is no list") from None
    phones: list[ListedPhone] = []
    for entry in entries:
        try:
            phone = msgspec.json.decode(entry, type=ListedPhone)
        except (msgspec.DecodeError, UnicodeError):
            continue
        if phone.serial:
            phones.append(phone)
    return Listing(phones, len(entries) - len(phones))


def texts_of(answer: Answer) -> list[str]:
    """Return what phones wrote, of an answer to SHELL or ADB; raises StrayError when it holds no such thing."""
    data = bytes(answer.data)
    if data == b"null":
        return []
    try:
        found = msgspec.json.decode(data, type=dict[str, str | None] | str)
    except (msgspec.DecodeError, UnicodeError):
        raise StrayError("it holds no phone's output") from None
    if isinstance(found, str):
        return [found]
    return [text for text in found.values() if text is not None]


def read_said(answer: Answer, serial: str) -> str:
    """Return what the program says of a transfer to a phone; success of it has to be looked at on the phone.

    Raises StrayError for the answer to a command, or to a request about other phones.
    """
    if answer.code == vocabulary.FAILURE:
        return answer.message
    data = bytes(succeeded(answer).data)
    texts = texts_of(answer)
    if any(has_mark(text) for text in texts):
        raise StrayError("it answers a command")
    if data.startswith(b"{") and texts and serial not in msgspec.json.decode(data, type=dict[str, str | None]):
        raise StrayError(f"it is about another phone than {serial}")
    return " ".join(texts).strip() or answer.message


def read_output(answer: Answer, mark: str) -> CommandOutput:
    """Return what the command with this mark wrote; the mark proves it, whatever the code says.

    Raises StrayError for another's answer, RefusedError, CutOffError, and AnswerError for anything else.
    """
    texts, said = [text for text in texts_of(answer) if text.strip()], ""
    for text in texts:
        try:
            return read_marked(text, mark)
        except NotOursError as error:
            raise StrayError(str(error)) from None
        except CutOffError:
            raise
        except MarkedError as error:
            said = str(error)
    succeeded(answer)
    if not texts:
        raise CutOffError("it claims success and holds no output", received_bytes=0, no_space=False)
    raise AnswerError(said)
