"""The customer outside: plays on every guest at once, remembers what was acknowledged and for how long nobody answered.

``python -m tests.lab.client GUESTS RESULT`` runs in the lab's network until SIGTERM. GUESTS is JSON, VMID to address. RESULT
is JSON, VMID to :class:`Seen`, replaced five times a second; one that exists is taken up where it ends.

It asks each game for a sign of life every 5 ms over a connection it keeps. An outage lasts from the first question that
is not answered to the first answer after it; before its first answer a guest has no outage.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.lab.guest.game import PORT

ASK_SECONDS = 0.005
CONNECT_SECONDS = 0.025
ANSWER_SECONDS = 0.25
APPEND_SECONDS = 0.02
WRITE_SECONDS = 0.2


@dataclass(slots=True)
class Seen:
    """What the client knows of one guest.

    ``acknowledged``: the highest record that was acknowledged. ``outages``: beginning (seconds since 1970) and length in
    seconds of each. ``rewound``: pairs of a record sent and the last one the game then said it had, less than acknowledged.
    """

    acknowledged: int = 0
    outages: list[tuple[float, float]] = field(default_factory=list)
    rewound: list[tuple[int, int]] = field(default_factory=list)
    answered: bool = False
    down_since: float | None = None

    @property
    def downtime_seconds(self) -> float:
        """All outages together, also one that lasts."""
        lasting = 0.0 if self.down_since is None else time.time() - self.down_since
        return sum(length for _, length in self.outages) + lasting


def list_faults(seen: Seen, inventory: Mapping[str, object], fixed: Mapping[str, str]) -> list[str]:
    """What is wrong with a guest's data: acknowledged records that are missing or doubled, changed fixed files.

    ``inventory`` as the game gives it, ``fixed`` path to SHA-256 as recorded before. Empty if all is as it must be.
    """
    numbers = inventory["records"]
    assert isinstance(numbers, list)
    faults = [f"record {sent} was sent, but the game was back at {last}" for sent, last in seen.rewound]
    if len(numbers) < seen.acknowledged or numbers != list(range(1, len(numbers) + 1)):
        faults.append(f"{seen.acknowledged} records acknowledged, {len(numbers)} found, the last {numbers[-3:]}")
    if inventory["fixed"] != dict(fixed):
        faults.append("the fixed files are not what they were")
    return faults


class Client:
    """The client as a process of its own; ``enter`` is the command that leads into the lab's network."""

    def __init__(self, enter: Sequence[str], guests: Mapping[int, str], directory: Path) -> None:
        self.result = directory / "client.json"
        (directory / "guests.json").write_text(json.dumps({str(vmid): guests[vmid] for vmid in guests}))
        program = (sys.executable, "-m", "tests.lab.client", directory / "guests.json", self.result)
        self._process = subprocess.Popen((*enter, *program), cwd=Path(__file__).parents[2], start_new_session=True)

    def read(self) -> dict[int, Seen]:
        """What it has seen so far, at most 0.2 s old."""
        return read_seen(self.result)

    def close(self) -> dict[int, Seen]:
        """End it; returns all it has seen."""
        self._process.terminate()
        self._process.wait(timeout=30)
        return self.read()


def read_seen(result: Path) -> dict[int, Seen]:
    """A result file; nothing if there is none yet."""
    if not result.exists():
        return {}
    return {int(vmid): Seen(**seen) for vmid, seen in json.loads(result.read_text()).items()}


class _Line:
    """A connection to a game: one line out, one line in."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, question: str, patience: float) -> str | None:
        """The answer; None if it does not come, and then the next question takes a new connection."""
        try:
            if self._streams is None:
                async with asyncio.timeout(CONNECT_SECONDS):
                    self._streams = await asyncio.open_connection(self._address, PORT)
            reader, writer = self._streams
            writer.write(f"{question}\n".encode())
            async with asyncio.timeout(patience):
                answer = await reader.readline()
        except OSError:  # TimeoutError is one
            answer = b""
        if not answer.endswith(b"\n"):
            self.close()
            return None
        return answer.decode().strip()

    def close(self) -> None:
        """Forget the connection."""
        if self._streams is not None:
            self._streams[1].transport.abort()
        self._streams = None


async def _watch(address: str, seen: Seen) -> None:
    line = _Line(address)
    while True:
        asked, wall = time.monotonic(), time.time()
        if await line.ask("ping", ANSWER_SECONDS) == "pong":
            if seen.down_since is not None:
                seen.outages.append((seen.down_since, round(time.time() - seen.down_since, 4)))
            seen.answered, seen.down_since = True, None
        elif seen.answered and seen.down_since is None:
            seen.down_since = wall
        await asyncio.sleep(max(0.0, asked + ASK_SECONDS - time.monotonic()))


async def _play(address: str, seen: Seen) -> None:
    line = _Line(address)
    while True:
        number = seen.acknowledged + 1
        answer = await line.ask(f"append {number}", 2.0)
        if answer == f"ok {number}":
            seen.acknowledged = number
        elif answer is not None and answer.startswith("refused"):
            seen.rewound.append((number, int(answer.split()[1])))
            line.close()
        await asyncio.sleep(APPEND_SECONDS)


async def _report(all_seen: Mapping[int, Seen], result: Path) -> None:
    while True:
        write_seen(all_seen, result)
        await asyncio.sleep(WRITE_SECONDS)


def write_seen(all_seen: Mapping[int, Seen], result: Path) -> None:
    """Replace the result file at once."""
    unfinished = result.with_suffix(".new")
    unfinished.write_text(json.dumps({str(vmid): asdict(seen) for vmid, seen in all_seen.items()}))
    unfinished.replace(result)


def _cancel(tasks: Sequence[asyncio.Future[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _run(addresses: Mapping[int, str], result: Path) -> None:
    before = read_seen(result)
    all_seen = {vmid: before.get(vmid, Seen()) for vmid in addresses}
    work = [job(addresses[vmid], all_seen[vmid]) for vmid in addresses for job in (_watch, _play)]
    tasks = [asyncio.ensure_future(job) for job in (*work, _report(all_seen, result))]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _cancel, tasks)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    write_seen(all_seen, result)
    for outcome in ended:
        if not isinstance(outcome, asyncio.CancelledError) and isinstance(outcome, BaseException):
            raise outcome


if __name__ == "__main__":
    _guests = {int(vmid): address for vmid, address in json.loads(Path(sys.argv[1]).read_text()).items()}
    asyncio.run(_run(_guests, Path(sys.argv[2])))
