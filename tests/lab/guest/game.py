"""A stand-in for a game server: it keeps numbered records in ``/srv/game/records`` for players outside.

Lines in, lines out, over TCP port 25577: ``ping`` -> ``pong``; ``append N`` -> ``ok N`` once record N is on disk (also when
it was there before), or ``refused LAST`` when N is not the next; ``inventory`` -> one line of JSON, see :func:`inventory`.
"""

import hashlib
import json
import os
import socketserver
import threading
from pathlib import Path

PORT = 25577
HOME = Path("/srv/game")


def render_record(number: int) -> str:
    """Record ``number`` as it lies on disk: the number and a checksum over it, one line."""
    return f"{number} {hashlib.sha256(str(number).encode()).hexdigest()[:16]}\n"


def read_records(home: Path) -> list[int]:
    """The numbers of the whole, correct records in the order they lie on disk; a torn last line is left out."""
    lines = (home / "records").read_text().splitlines(keepends=True) if (home / "records").exists() else []
    numbers = ((line, line.partition(" ")[0]) for line in lines)
    return [int(number) for line, number in numbers if number.isdigit() and line == render_record(int(number))]


def inventory(home: Path = HOME) -> dict[str, object]:
    """``records``: numbers as read; ``fixed``: path below ``fixed/`` to SHA-256."""
    files = sorted(path for path in (home / "fixed").rglob("*") if path.is_file())
    sums = {str(path.relative_to(home / "fixed")): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return {"records": read_records(home), "fixed": sums}


class Records:
    """The file of records, open for appending."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = (home / "records").open("a+b")
        self._file.seek(0)
        self._file.truncate(self._file.read().rfind(b"\n") + 1)  # a torn last line was never acknowledged
        self.last = max(read_records(home), default=0)

    def append(self, number: int) -> str:
        """The answer to ``append number``."""
        with self._lock:
            if number > self.last + 1:
                return f"refused {self.last}"
            if number == self.last + 1:
                self._file.write(render_record(number).encode())
                self._file.flush()
                os.fsync(self._file.fileno())
                self.last = number
            return f"ok {number}"


class Player(socketserver.StreamRequestHandler):
    """One connection."""

    disable_nagle_algorithm = True
    server: "Game"

    def handle(self) -> None:
        """Answer line by line until the player leaves."""
        for line in self.rfile:
            self.wfile.write(self.answer(line.decode().split()).encode() + b"\n")

    def answer(self, words: list[str]) -> str:
        """One line for one line."""
        if words == ["ping"]:
            return "pong"
        if words == ["inventory"]:
            return json.dumps(inventory())
        if len(words) == 2 and words[0] == "append" and words[1].isdigit():
            return self.server.records.append(int(words[1]))
        return "unknown"


class Game(socketserver.ThreadingTCPServer):
    """The server."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, records: Records) -> None:
        self.records = records
        super().__init__(("0.0.0.0", PORT), Player)


if __name__ == "__main__":
    Game(Records(HOME)).serve_forever()
