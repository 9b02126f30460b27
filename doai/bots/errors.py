"""What a bot's handlers meet, and what a bot that is written wrongly is told (step 14)."""

from __future__ import annotations

from doai.errors import DoaiError, Fault, UserError
from doai.messages.commands import Problem


class BotError(UserError):
    """The bot's program is wrong: one sentence names the handler and what to write."""

    code = "bad_bot"


class GiveUp(Exception):
    """Raised by a handler: trying again would not help. The event becomes a dead letter, the task fails."""

    def __init__(self, message: str = "", *, outputs: object = None) -> None:
        """``outputs``: of a task that fails, as its handler would have returned them; a report, perhaps."""
        super().__init__(message)
        self.outputs = outputs


class CommandRefused(DoaiError):
    """The broker refused a command; ``problem`` says why, as data."""

    fault = Fault.USER

    def __init__(self, command: str, problem: Problem) -> None:
        super().__init__(f"{command} was refused: {problem.message}", code=problem.code)
        self.problem = problem


class NoAnswer(DoaiError):
    """No answer in time. The handler's next try gives the same command under the same key, which is harmless."""

    fault = Fault.PEER
    code = "no_answer"


class SecretMissing(DoaiError):
    """There is no such secret for this bot; the message says where it would have to be, never what it is."""

    fault = Fault.USER
    code = "secret_missing"
