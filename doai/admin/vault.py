"""Encrypts secrets before they are stored; the key is a file that only this user may read (steps 2 and 8).

``keys/secrets.key`` holds one Fernet key (AES-128-CBC with HMAC-SHA256) a line; the first encrypts, all decrypt.
Whoever has the store without that file has ciphertext only, so a backup of both belongs in two places.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from doai.errors import DoaiError, UserError

VALUE_BYTES_MAX: Final = 32 * 1024
"""As ciphertext it is a third larger, and the broker takes 64 KiB."""
VALUE_CHARACTERS_MIN: Final = 4
"""Shorter ones can not be masked without making every text unreadable."""


class VaultError(DoaiError):
    """The key to the secrets can not be used; the sentence says what to do, and shows nothing of it."""

    code = "vault_unusable"


class _Sealed(msgspec.Struct, frozen=True):
    """What is encrypted: the name is in it, so that one secret can not be put in the place of another."""

    name: str
    value: str


class Vault:
    """The key file; it is read when it is needed, so that a restored one counts at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def encrypt(self, name: str, value: str) -> bytes:
        """Return the ciphertext of a secret; makes the key at first use. Raises UserError and VaultError."""
        if len(value) < VALUE_CHARACTERS_MIN:
            raise UserError(
                f"a secret needs {VALUE_CHARACTERS_MIN} characters or more: shorter ones can not be masked",
                code="secret_too_short",
            )
        if len(value.encode("utf-8", "surrogatepass")) > VALUE_BYTES_MAX or "\0" in value:
            raise UserError(
                f"a secret is text without NUL of at most {VALUE_BYTES_MAX // 1024} KiB: files belong elsewhere",
                code="too_large",
            )
        try:
            sealed = msgspec.json.encode(_Sealed(name, value))
        except UnicodeEncodeError:
            raise UserError("a secret is text in UTF-8", code="bad_request") from None
        return self._cipher().encrypt(sealed)

    def decrypt(self, name: str, ciphertext: bytes) -> str:
        """Return the secret's value; raises VaultError when the key is another one, or the row was exchanged."""
        try:
            sealed = msgspec.json.decode(self._cipher().decrypt(ciphertext), type=_Sealed)
        except InvalidToken:
            raise VaultError(
                f"secret {name} was encrypted with a key that is not in {self._path}: restore that file, or set "
                "the secret again"
            ) from None
        if sealed.name != name:
            raise VaultError(f"what is stored as secret {name} is another one: set the secret again")
        return sealed.value

    def begin_rotation(self) -> None:
        """Put a new key in front: it encrypts from now on, the others still decrypt."""
        self._write([Fernet.generate_key().decode("ascii"), *self._keys()])

    def end_rotation(self) -> None:
        """Forget all keys but the newest; everything was encrypted with it."""
        self._write(self._keys()[:1])

    def _cipher(self) -> MultiFernet:
        try:
            return MultiFernet([Fernet(key) for key in self._keys()])
        except ValueError:
            raise VaultError(f"{self._path} holds no keys of secrets: restore it from where you keep it") from None

    def _keys(self) -> list[str]:
        try:
            if not self._path.exists():
                self._write([Fernet.generate_key().decode("ascii")], only_new=True)
            with self._path.open(encoding="ascii", errors="replace") as file:
                mode = os.fstat(file.fileno()).st_mode & 0o777
                text = file.read(65_536)
        except OSError as error:
            raise VaultError(f"{self._path} can not be used: {error.strerror}; check its owner") from error
        if mode & 0o077:
            raise VaultError(
                f"{self._path} may be read by others (mode {mode:04o}): run chmod 600 on it, then "
                "`doai secrets rotate` if somebody may have read it"
            )
        return text.split()

    def _write(self, keys: list[str], *, only_new: bool = False) -> None:
        draft = self._path.with_name(f".{self._path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write("\n".join(keys) + "\n")
                file.flush()
                os.fsync(descriptor)
            if only_new:
                self._link_new(draft)
            else:
                draft.replace(self._path)
            self._sync_folder()
        except OSError as error:
            raise VaultError(f"{self._path} can not be written: {error.strerror}; check its folder") from error
        finally:
            draft.unlink(missing_ok=True)

    def _link_new(self, draft: Path) -> None:
        try:
            # A link never replaces a key that another program just made.
            os.link(draft, self._path)
        except FileExistsError:
            return

    def _sync_folder(self) -> None:
        descriptor = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
