"""Why a file is no application package that can be used (steps 8 and 9)."""

from __future__ import annotations


class ApkError(Exception):
    """The file can not be used; ``str(error)`` is part of a sentence, ``code`` is stable.

    Codes: ``not_an_apk`` (no zip, or no manifest in it), ``bad_manifest``, ``apk_is_split`` (only a part of an
    app), ``apk_not_signed``, ``apk_damaged`` (its bytes are not those that were signed).
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
