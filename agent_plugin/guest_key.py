"""The key by which this guest signs its reports: made here on first use, bound to this machine's id, never handed out.

A clone gets another machine-id (Proxmox empties that file in each clone, and the boot fills it), so the key that it
carries does not count there, and it makes its own. Needs the distribution's ``python3-cryptography``.
"""

import base64
import binascii
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from agent_plugin.disk import sync_folder, write_file
from agent_plugin.fault import NotNow
from agent_plugin.place import Place
from agent_plugin.report_wire import Envelope, build_message, name_key

_MACHINE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class GuestKey:
    """Signs. ``machine``: a hash of the id of the machine that it was made on."""

    private: Ed25519PrivateKey
    machine: str

    @property
    def public(self) -> bytes:
        """32 bytes, for everybody."""
        return self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def key_id(self) -> str:
        """How people and ledgers call it."""
        return name_key(self.public)

    def sign(self, text: str) -> Envelope:
        """A statement's text under this key."""
        return Envelope(text, self.public, self.private.sign(build_message(text)))


class NoKey(NotNow):
    """There is no key of this machine."""


def ensure_key(place: Place) -> GuestKey:
    """This machine's key, made unless there is one. For root; ``OSError`` if it can't be kept."""
    machine = read_machine(place)
    with _alone(place):
        try:
            return read_key(place.report_key, machine)
        except NoKey:
            made = GuestKey(Ed25519PrivateKey.generate(), machine)
            write_file(place.report_key, _render(made))
            return made


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Two that make a key at once would each believe in their own."""
    folder = place.report_key.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_folder(folder.parent)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def read_machine(place: Place) -> str:
    """A hash of this machine's id, which itself is for nobody else (machine-id(5)); ``NotNow`` while it has none."""
    try:
        found = place.machine_id.read_text(errors="replace").strip()
    except OSError as error:
        raise NotNow(f"{place.machine_id}: {error.strerror}; systemd-machine-id-setup makes one") from error
    if not _MACHINE_ID.fullmatch(found):
        raise NotNow(f"{place.machine_id}: 32 hexadecimal digits are wanted; systemd-machine-id-setup makes them")
    return hashlib.sha256(b"zlh-agent-report " + found.encode()).hexdigest()


def read_key(path: Path, machine: str) -> GuestKey:
    """``NoKey`` if the file is not there, is damaged, or is another machine's, as in a clone."""
    try:
        found = json.loads(path.read_bytes())
        key = GuestKey(Ed25519PrivateKey.from_private_bytes(base64.b64decode(found["private"])), str(found["machine"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, binascii.Error) as error:
        raise NoKey(f"{path} holds no key: zlh-agent-plugin key makes one") from error
    if key.machine != machine:
        raise NoKey(f"{path} holds another machine's key: zlh-agent-plugin key makes one for this machine")
    return key


def _render(key: GuestKey) -> bytes:
    private = key.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return json.dumps({"machine": key.machine, "private": base64.b64encode(private).decode()}).encode()
