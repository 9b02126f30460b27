"""CURVE key pairs in files, and who has which key: who may speak on the mesh (before steps 1, 5, 11).

A key pair is two text files of one line in Z85 (ZeroMQ RFC 32, 40 characters): the private key, readable by its
owner only, and beside it the public key under the same name with the suffix ``.pub``.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final, NoReturn

import msgspec
import zmq

from doai.errors import ConfigError

_Z85: Final = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")


class SecretKey:
    """A private CURVE key; shown nowhere, not even by repr, and not to be pickled."""

    __slots__ = ("_z85",)

    def __init__(self, z85: str) -> None:
        self._z85 = z85

    def reveal(self) -> str:
        """Return the key itself (Z85): only for handing it to the socket."""
        return self._z85

    def __repr__(self) -> str:
        return "SecretKey(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not to be pickled or copied")


class KeyPair(msgspec.Struct, frozen=True):
    """A public key (Z85, 40 characters, no secret) and its private key."""

    public: str
    secret: SecretKey


class KeyTable:
    """A `KeyRing` in memory: each public key proves one name, a name may have several keys."""

    def __init__(self, names: dict[str, str] | None = None) -> None:
        self._names = dict(names or {})

    def name_of(self, public_key: str) -> str | None:
        return self._names.get(public_key)

    def add(self, public_key: str, name: str) -> None:
        """Let the key in under this name."""
        self._names[public_key] = name

    def revoke(self, public_key: str) -> None:
        """Let the key in no more; connections it has already are cut with `Router.shut_name`."""
        self._names.pop(public_key, None)


def make_keypair() -> KeyPair:
    """Return a new random key pair that is in no file."""
    public, secret = zmq.curve_keypair()
    while public.startswith(b"-"):  # it is an argument of `doai keys add`, and must not look like a flag
        public, secret = zmq.curve_keypair()
    return KeyPair(public.decode("ascii"), SecretKey(secret.decode("ascii")))


def is_public_key(text: str) -> bool:
    """Whether the text has the form of a public key."""
    return _Z85.fullmatch(text) is not None


def public_key_file(path: Path) -> Path:
    """Return where the public key lies that belongs to this private key file."""
    return path.with_name(path.name + ".pub")


def load_or_make_keypair(path: Path) -> KeyPair:
    """Read the private key in ``path``, or make one there; the public key is written beside it.

    A private key file exists wholly or not at all, with mode 0600 from its first byte, on disk before this
    returns; of two programs that start at once, one makes the key and both use it. Raises ConfigError when
    the file may be read by others, is damaged, or cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _make_private_file(path)
        pair = _read_private_file(path)
        _write_public_file(public_key_file(path), pair.public)
    except OSError as error:
        raise ConfigError(
            f"the key file {path} cannot be used: {error.strerror}; check the folder's owner"
        ) from error
    return pair


def keypair_of(private_key: str) -> KeyPair:
    """Return the pair of a private key (Z85, 40 characters)."""
    return KeyPair(zmq.curve_public(private_key.encode("ascii")).decode("ascii"), SecretKey(private_key))


def save_keypair(path: Path, pair: KeyPair) -> None:
    """Put a pair where `load_or_make_keypair` reads it, in place of the one before; raises OSError.

    The private key is replaced as a whole and on disk before this returns.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write_synced(draft, pair.secret.reveal(), 0o600)
    draft.replace(path)
    _sync_folder(path.parent)
    _write_public_file(public_key_file(path), pair.public)


def check_keypair(path: Path) -> None:
    """Look at a private key file and the public one beside it, and change nothing.

    Raises ConfigError when others may read it, it holds no key, or the public key is another's or missing; OSError
    when it can not be read.
    """
    public = load_public_key(public_key_file(path))
    if _read_private_file(path).public != public:
        raise ConfigError(
            f"{public_key_file(path)} is not the public key of {path.name}: delete it, a start writes it"
        )


def public_key_of(text: str) -> str:
    """Return the public key that a setting gives, itself or as the path of its file; raises ConfigError."""
    return text if is_public_key(text) else load_public_key(Path(text).expanduser())


def load_public_key(path: Path) -> str:
    """Read a public key file, e.g. the broker's. Raises ConfigError when it is missing or no key."""
    try:
        text = path.read_text("ascii", "replace").strip()
    except OSError as error:
        raise ConfigError(f"the public key file {path} cannot be read: {error.strerror}; copy it there") from error
    if not is_public_key(text):
        raise ConfigError(f"{path} holds no public key: a public key is 40 characters of Z85 on one line")
    return text


def _make_private_file(path: Path) -> None:
    pair = make_keypair()
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write_synced(draft, pair.secret.reveal(), 0o600)
    try:
        # A link appears wholly or not at all and never replaces a key that another program just made.
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    _sync_folder(path.parent)


def _read_private_file(path: Path) -> KeyPair:
    with path.open(encoding="ascii", errors="replace") as file:
        mode = os.fstat(file.fileno()).st_mode & 0o777
        if mode & 0o077:
            raise ConfigError(
                f"the private key {path} may be read by others (mode {mode:04o}): run chmod 600 on it, or"
                " make a new key if somebody may have read it"
            )
        text = file.read(256).strip()
    try:
        public = zmq.curve_public(text.encode("ascii", "replace")) if is_public_key(text) else None
    except (ValueError, zmq.ZMQError):
        public = None
    if public is None:
        raise ConfigError(
            f"{path} holds no private key (40 characters of Z85): restore it, or delete it for a new one to be made"
        )
    return KeyPair(public.decode("ascii"), SecretKey(text))


def _write_public_file(path: Path, public: str) -> None:
    if path.exists() and path.read_text("ascii", "replace").strip() == public:
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    _write_synced(draft, public, 0o644)
    draft.replace(path)
    _sync_folder(path.parent)


def _write_synced(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
