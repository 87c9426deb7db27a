"""Asking the agent over its real socket, by levels; each is one question with an answer in words."""

import json
import re
import socket
import time
from dataclasses import dataclass

from agent_plugin.setting import Settings, parse_address
from agent_plugin.state import Before
from agent_plugin.systemd import Systemd

ANSWER_SECONDS = 2.0
NOT_ACTIVE = "the unit is not active"
LONGEST_ANSWER = 64 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (2[0-9]{2})[ \r]")


@dataclass(frozen=True)
class Look:
    """One look at the agent. ``fault`` is empty if all is well; ``restarts`` as systemd counts them."""

    fault: str
    invocation: str = ""
    restarts: int = 0


class Health:
    """How an agent is asked."""

    def __init__(self, systemd: Systemd, settings: Settings) -> None:
        self._systemd = systemd
        self._settings = settings

    def look(self, version: str, before: Before) -> Look:
        """Up -> the right version on the real socket -> servers reached -> harmless operations answered."""
        unit = self._systemd.look()
        fault = NOT_ACTIVE if not unit.active else ""
        fault = fault or self._find_wrong_version(version) or self._find_lost(before)
        return Look(fault, unit.invocation, unit.restarts)

    def read_version(self) -> str:
        """The version that the agent calls itself; empty if it names none."""
        try:
            return _find_version(self.ask(self._settings.health))
        except (OSError, ValueError):
            return ""

    def list_answered(self) -> "tuple[str, ...]":
        """The operations that are answered now."""
        return tuple(path for path in self._settings.operations if not self._find_unanswered(path))

    def list_reached(self) -> "tuple[str, ...]":
        """The servers that are reached now."""
        return tuple(address for address in self._settings.reach if _is_reached(address))

    def ask(self, path: str) -> bytes:
        """The body of a 2xx answer, in 2 s and 64 KiB at most; ``OSError`` or ``ValueError`` says what came instead."""
        deadline = time.monotonic() + ANSWER_SECONDS
        with socket.create_connection(("127.0.0.1", self._settings.port), ANSWER_SECONDS) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b""
            while chunk := _receive(connection, deadline):
                answer += chunk
                if len(answer) > LONGEST_ANSWER:
                    raise ValueError(f"{path} answered more than {LONGEST_ANSWER} bytes")
        if not _STATUS.match(answer):
            raise ValueError(f"{path} answered {answer[:40]!r}")
        return answer.partition(b"\r\n\r\n")[2]

    def _find_wrong_version(self, version: str) -> str:
        try:
            found = _find_version(self.ask(self._settings.health))
        except (OSError, ValueError) as error:
            return f"{self._settings.health}: {error}"
        return "" if not version or found == version else f"the socket is answered by {found!r:.80}, not {version!r}"

    def _find_lost(self, before: Before) -> str:
        silent = (fault for path in before.answered if (fault := self._find_unanswered(path)))
        lost = (f"{address} is not reached any more" for address in before.reached if not _is_reached(address))
        return next(silent, "") or next(lost, "")

    def _find_unanswered(self, path: str) -> str:
        try:
            self.ask(path)
        except (OSError, ValueError) as error:
            return f"{path}: {error}"
        return ""


def _find_version(body: bytes) -> str:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    version = found.get("version") if isinstance(found, dict) else None
    return version if isinstance(version, str) else ""


def _receive(connection: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"no whole answer within {ANSWER_SECONDS:g} s")
    connection.settimeout(left)
    return connection.recv(LONGEST_ANSWER)


def _is_reached(address: str) -> bool:
    try:
        socket.create_connection(parse_address(address), ANSWER_SECONDS).close()
    except OSError:
        return False
    return True
