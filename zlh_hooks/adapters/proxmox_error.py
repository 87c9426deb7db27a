"""Proxmox's refusals as this library's errors.

Texts are those of pve-container 6.1.10, qemu-server 9.2.6, pve-guest-common 6.0.2 and pve-http-server 6: API code dies
with a sentence and gets status 500 whatever went wrong, so the sentence decides. It arrives as the reason of the status
line.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from proxmoxer import ResourceException

from zlh_hooks.domain.errors import (
    ConfigChanged,
    GuestLocked,
    GuestMissing,
    RightMissing,
    RoadError,
    TargetError,
    Unanswered,
    Unreadable,
    ZlhError,
)

GATEWAY_STATUSES = frozenset({502, 503, 504, 595, 596, 597, 598, 599})
"""A proxy speaks, not the API: 595-599 are pveproxy's when it hands a request on to another node."""
UNNAMED = "unnamed"
"""What is missing where Proxmox checks for one right or another and then names neither."""
NOT_CONNECTED = 595
"""pveproxy could not connect to the node: the request was not handed on."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked, for messages and for judging the answer. ``of_guest``: a refusal concerns one guest only."""

    method: str
    path: tuple[str, ...]
    of_guest: bool = False

    @property
    def changing(self) -> bool:
        """Whether it may have changed something."""
        return self.method != "GET"

    @property
    def node(self) -> str:
        """The node that had to answer; empty if any may."""
        return self.path[1] if self.path[0] == "nodes" and len(self.path) > 1 else ""

    def __str__(self) -> str:
        return f"{self.method} /{'/'.join(self.path)}"


def _locked(text: str, found: re.Match[str]) -> ZlhError:
    return GuestLocked(text, found[1])


def _lock_file_held(text: str, _: re.Match[str]) -> ZlhError:
    return GuestLocked(text, "config")


def _changed(text: str, _: re.Match[str]) -> ZlhError:
    return ConfigChanged(text)


def _missing(text: str, _: re.Match[str]) -> ZlhError:
    return GuestMissing(text)


def _road(text: str, _: re.Match[str]) -> ZlhError:
    return RoadError(text)


def _unknown(text: str, _: re.Match[str]) -> ZlhError:
    return TargetError(text)


_LOCKED = re.compile(r"is locked \((\S+)\)")
_LOCK_FILE_HELD = re.compile(r"can't lock file '.*' - got timeout")


def find_lock(said: str) -> str | None:
    """The config lock that a refusal names, also one that comes as the end of a task; None for any other text."""
    if found := _LOCKED.search(said):
        return found[1]
    return "config" if _LOCK_FILE_HELD.search(said) else None


_STORAGE_AWAY = re.compile(
    r"(?:unable to|could not) activate storage '"  # Dir, BTRFS, NFS, CIFS, CephFS; ZFS (pve-storage 9.1.7)
    r"|storage '.*' is not online"  # every kind whose server is asked first
    r"|mount error"
)


def is_storage_away(said: str) -> bool:
    """Whether a refusal, or the end of a task, says that a storage does not answer."""
    return _STORAGE_AWAY.search(said) is not None


_RULES: tuple[tuple[re.Pattern[str], Callable[[str, re.Match[str]], ZlhError]], ...] = (
    (re.compile(r"no quorum"), _road),
    (re.compile(r"unable to open file '/etc/pve/.*Permission denied"), _road),  # a write to pmxcfs without quorum
    (re.compile(r"hostname lookup '|no such cluster node '"), _road),
    (_LOCKED, _locked),
    (_LOCK_FILE_HELD, _lock_file_held),
    (re.compile(r"detected modified configuration|checksum mismatch \(file change"), _changed),  # the latter of VMs
    (re.compile(r"Configuration file '.*' does not exist|(?:CT \d+ does not exist|could not find CT \d+)"), _missing),
    (
        re.compile(r"no such resource '|no such task|unable to parse worker upid"),
        _unknown,
    ),  # to HA; of a forgotten task
)


def translate_refusal(error: ResourceException, request: Request) -> ZlhError:
    """The error that fits Proxmox's answer. Never holds request headers, so never the token."""
    said = _read_message(error)
    text = f"{request}: {error.status_code} {said}"
    if error.status_code == 401:
        return RoadError(
            f"Proxmox refuses the API token ({said}): check its name, its secret and that it has not expired"
        )
    if error.status_code == 403:
        return _lacking(said, request)
    if error.status_code in GATEWAY_STATUSES:
        return _unreached(error.status_code, text, request)
    for pattern, build in _RULES:
        if found := pattern.search(said):
            return build(text, found)
    if not request.of_guest or error.status_code == 501 or (request.changing and is_storage_away(said)):
        return RoadError(text)
    return TargetError(text) if request.changing else Unreadable(text)


def is_passing(error: ResourceException) -> bool:
    """Whether a read may well be answered when it is asked again.

    While a guest restarts, Proxmox now and then fails to look into it, with a status 500 and whatever sentence the
    tool in between died with (``short read on command socket``, ``command 'nsenter ...' failed: exit code 1``).
    """
    if error.status_code == 500:
        said = _read_message(error)
        return not any(pattern.search(said) for pattern, _ in _RULES)
    return error.status_code in GATEWAY_STATUSES


def _read_message(error: ResourceException) -> str:
    said = str(error.content).strip()
    fields = error.errors if isinstance(error.errors, dict) else {}
    details = "; ".join(f"{key}: {str(value).strip()}" for key, value in fields.items() if isinstance(value, str))
    return f"{said} ({details})" if details else said


def _lacking(said: str, request: Request) -> RightMissing:
    found = re.search(r"Permission check failed \((.*)\)", said)
    missing = found[1] if found else UNNAMED
    return RightMissing(f"the API token lacks a right: {missing} (for {request})", missing)


def _unreached(status: int, text: str, request: Request) -> RoadError:
    if request.changing and status != NOT_CONNECTED:
        return Unanswered(f"{text}: whether it was carried out is unknown")
    where = f"node {request.node}" if request.node else "Proxmox"
    return RoadError(f"{where} cannot be reached: {text}")
