"""Key files of the agents' repository: Ed25519, encrypted at rest, for their owner's eyes only.

A holder is a person, the sealed key, or the machine that publishes, whose private key lies in a folder of its own: the
worker opens that one, and sees none of the others. ``NAME.PURPOSE.key`` holds a private key: JSON
with the parameters of scrypt (RFC 7914) and what AES-256-GCM made of the key's 32 bytes, bound to the file's name.
``NAME.public.json`` holds the public ones, in TUF's form.
"""

import base64
import json
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from zlh_hooks.adapters.file import make_folders, write_new
from zlh_hooks.domain.agent_trust import Purpose
from zlh_hooks.domain.errors import NotAllowed, SettingsError

HOLDER = "x-zlh-holder"
"""The field of a public key, kept by TUF, that says whose it is."""
SHORTEST_PASSWORD = 12
SCRYPT_COST = 2**16
"""64 MiB and some tenths of a second for each guess."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
Ask = Callable[[str, bool], str]
"""Whose password, and whether it is a new one, which people type twice."""


class KeyFolder:
    """The keys that are on this machine: ``path`` has people's and all public ones, ``machine`` the online key."""

    def __init__(self, path: Path, machine: Path, ask: Ask, cost: int = SCRYPT_COST) -> None:
        self._path, self._machine, self._ask, self._cost = path, machine, ask, cost
        self._passwords: dict[str, str] = {}

    def make(self, holder: str, purposes: Sequence[Purpose]) -> None:
        """New keys under one password; ``NotAllowed`` if the holder has some already.

        Whoever died over it has left private keys that nobody knows: under the same password they are the holder's.
        """
        check_holder(holder)
        _make_folder(self._path, "agents.keys")
        public = self._path / f"{holder}.public.json"
        if public.exists():
            raise NotAllowed(f"{public} exists: {holder} has keys already, and they are left as they are")
        password = self._new_password(holder)
        keys = {purpose: self._make_one(holder, purpose, password) for purpose in purposes}
        write_new(public, json.dumps({purpose: describe_key(key) for purpose, key in keys.items()}, indent=1), 0o644)

    def _new_password(self, holder: str) -> str:
        password = self._ask(holder, True)
        if len(password) < SHORTEST_PASSWORD:
            found = f"{len(password)} characters"
            raise SettingsError(f"keys of {holder}", "password", found, f"at least {SHORTEST_PASSWORD} characters")
        self._passwords[holder] = password
        return password

    def _make_one(self, holder: str, purpose: Purpose, password: str) -> Key:
        if purpose is Purpose.ONLINE:
            _make_folder(self._machine, "agents.online_keys")
        path = self._private_file(holder, purpose)
        if path.exists():
            return _name_key(self.open_signer(holder, purpose).public_key, holder)
        private = Ed25519PrivateKey.generate()
        sealed = seal(private.private_bytes_raw(), password, path.name, self._cost)
        write_new(path, json.dumps(sealed), 0o600)
        return _name_key(SSlibKey.from_crypto(private.public_key()), holder)

    def read_public(self, holder: str) -> Mapping[Purpose, Key]:
        """The holder's public keys; ``SettingsError`` if their file is not here or damaged."""
        check_holder(holder)
        path = self._path / f"{holder}.public.json"
        try:
            keys = json.loads(path.read_bytes())
            return {Purpose(purpose): parse_key(details) for purpose, details in keys.items()}
        except OSError as error:
            reason = f"nothing that can be read ({error.strerror})"
            raise SettingsError(
                str(path), "file", reason, f"{holder}'s public keys: agent keys new {holder}"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SettingsError(str(path), "file", str(error), "the file as `agent keys new` wrote it") from error

    def has(self, holder: str, purpose: Purpose) -> bool:
        """Whether the private key is on this machine; ``SettingsError`` if that is not for this user to know."""
        path = self._private_file(holder, purpose)
        try:
            return path.is_file()
        except OSError as error:
            raise SettingsError(str(path), "key", str(error.strerror), "a file of the user that publishes") from error

    def list_holders(self) -> tuple[str, ...]:
        """Whose public keys are on this machine."""
        return tuple(sorted(path.name.removesuffix(".public.json") for path in self._path.glob("*.public.json")))

    def open_signer(self, holder: str, purpose: Purpose) -> CryptoSigner:
        """Asks for the password once; ``NotAllowed`` if it is wrong, ``SettingsError`` if the file is not as made."""
        check_holder(holder)
        path = self._private_file(holder, purpose)
        sealed = _read_private(path)
        password = self._passwords.get(holder) or self._ask(holder, False)
        raw = unseal(sealed, password, path)
        self._passwords[holder] = password
        private = Ed25519PrivateKey.from_private_bytes(raw)
        return CryptoSigner(private, SSlibKey.from_crypto(private.public_key()))

    def _private_file(self, holder: str, purpose: Purpose) -> Path:
        folder = self._machine if purpose is Purpose.ONLINE else self._path
        return folder / f"{holder}.{purpose}.key"


def _make_folder(path: Path, key: str) -> None:
    """For its owner alone from its first moment on."""
    try:
        make_folders(path.parent, 0o755)
        make_folders(path, 0o700)
    except OSError as error:
        raise SettingsError(str(path), key, str(error.strerror), "a folder of your own") from error
    refuse_open(path, key)


def seal(raw: bytes, password: str, name: str, cost: int) -> dict[str, Any]:
    """The key encrypted, and all but the password that opens it again."""
    salt, nonce = os.urandom(16), os.urandom(12)
    sealed = AESGCM(_stretch(password, salt, cost)).encrypt(nonce, raw, name.encode())
    return {"kdf": "scrypt", "cost": cost, "salt": _b64(salt), "cipher": "aes-256-gcm", "nonce": _b64(nonce),
            "sealed": _b64(sealed)}  # fmt: skip


def unseal(sealed: Mapping[str, Any], password: str, path: Path) -> bytes:
    """The key's bytes; which of password and file is wrong can't be told apart, and the error says so."""
    try:
        salt, nonce, content = (base64.b64decode(sealed[name], validate=True) for name in ("salt", "nonce", "sealed"))
        return AESGCM(_stretch(password, salt, int(sealed["cost"]))).decrypt(nonce, content, path.name.encode())
    except InvalidTag as error:
        raise NotAllowed(f"{path}: the password is wrong, or the file was changed or renamed") from error
    except (KeyError, ValueError, TypeError) as error:
        raise SettingsError(str(path), "file", "other content", "the file as `agent keys` made it") from error


def _stretch(password: str, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=cost, r=8, p=1).derive(password.encode())


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _read_private(path: Path) -> Mapping[str, Any]:
    refuse_open(path, "key")
    try:
        sealed = json.loads(path.read_bytes())
    except ValueError as error:
        raise SettingsError(str(path), "file", "no JSON", "the file as `agent keys` made it") from error
    return sealed if isinstance(sealed, dict) else {}


def refuse_open(path: Path, key: str) -> None:
    """``SettingsError`` if it is not there, or if anybody but its owner may look into it."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise SettingsError(
            str(path), key, str(error.strerror), "the key's file, on the machine you sign on"
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        wanted = "0700" if path.is_dir() else "0600"
        raise SettingsError(str(path), key, f"mode {mode:04o}, open to others", f"mode {wanted}")


def check_holder(name: str) -> None:
    """A holder's name becomes part of file names: ``SettingsError`` unless it is a plain word."""
    if not _NAME.match(name):
        raise SettingsError("holder", "name", repr(name), "a short word of a-z, 0-9 and -, such as anna")


def describe_key(key: Key) -> dict[str, Any]:
    """The public key as JSON, with its id."""
    return {"keyid": key.keyid, **key.to_dict()}


def parse_key(details: Mapping[str, Any]) -> Key:
    """The public key of such JSON."""
    rest = {name: value for name, value in details.items() if name != "keyid"}
    return Key.from_dict(details["keyid"], rest)


def _name_key(key: Key, holder: str) -> Key:
    key.unrecognized_fields[HOLDER] = holder
    return key


def holder_of(key: Key) -> str:
    """Whose key it is."""
    return str(key.unrecognized_fields.get(HOLDER, key.keyid[:8]))
