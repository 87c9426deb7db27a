"""What the plugin remembers over its own death: the swap under way, and the releases that failed here."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from agent_plugin.record import find_record, load_record, save_record
from agent_plugin.steps import SWAP, Step
from agent_plugin.story import Event
from agent_plugin.wanted import Wanted

MOST_TRIES = 10
"""So often a release may fail here without being to blame (road, disk) before it is blocked as well."""


MOST_BLOCKS = 100
"""The oldest are forgotten: a list that only grows would fill the disk one day."""


@dataclass(frozen=True)
class Before:
    """What was seen before the flip, to be compared with afterwards. Versions and ids are empty if there was none.

    ``well``: the agent was healthy; ``version`` is what it called itself; ``answered`` are the paths and ``reached``
    the addresses that answered; ``cursor`` is where the journal ended.
    """

    well: bool = False
    version: str = ""
    invocation: str = ""
    cursor: str = ""
    answered: tuple[str, ...] = ()
    reached: tuple[str, ...] = ()


@dataclass(frozen=True)
class Transaction:
    """One swap. ``origin``: the release that ran before, empty if none; ``existed``: the wanted one was here already.

    ``taken_back``: a person leaves ``origin``; ``blame``: it failed, and the release is why.
    """

    txn: str
    wanted: Wanted
    origin: str
    step: Step = Step.PLAN
    transitions: int = 0
    existed: bool = False
    taken_back: bool = False
    before: Before = Before()
    outcome: str = ""
    reason: str = ""
    blame: bool = False

    @property
    def release(self) -> str:
        """The release it brings."""
        return self.wanted.release

    def after(self, event: Event) -> "Transaction":
        """The same swap one step on."""
        return replace(self, step=SWAP.advance(self.step, event), transitions=self.transitions + 1)

    @property
    def has_no_road(self) -> bool:
        """Whether it ended because the archive could not be brought: what came of it may be gone on with."""
        return self.outcome in ("", "failed") and self.reason.startswith(f"{Step.DOWNLOAD.value}:")

    @property
    def is_open(self) -> bool:
        """Whether something is left to do."""
        return self.step is not Step.END


def begin(wanted: Wanted, origin: str, existed: bool, taken_back: bool = False) -> Transaction:
    """A new swap; ``origin``: the release that runs now, empty if none; ``existed``: the wanted one is here already."""
    return Transaction(secrets.token_hex(6), wanted, origin, existed=existed, taken_back=taken_back)


def load_transaction(path: Path) -> "Transaction | None":
    """The last swap; None if there was none. ``ValueError`` if the file holds something else."""
    return load_record(path, _parse_transaction)


def find_transaction(path: Path) -> "Transaction | None":
    """The last swap, for telling of it; a damaged file tells nothing."""
    return find_record(path, _parse_transaction)


def _parse_transaction(values: "dict[str, Any]") -> Transaction:
    wanted, step = dict(values.pop("wanted")), Step(values.pop("step"))
    wanted["back_to"] = tuple(wanted["back_to"])
    before = parse_before(values.pop("before"))
    return Transaction(wanted=Wanted(**wanted), before=before, step=step, **values)


def parse_before(found: "Mapping[str, Any]") -> Before:
    """As :func:`dataclasses.asdict` wrote it."""
    return Before(**{**found, "answered": tuple(found["answered"]), "reached": tuple(found["reached"])})


def save_transaction(path: Path, transaction: Transaction) -> None:
    """``OSError`` leaves what was there."""
    save_record(path, asdict(transaction))


@dataclass(frozen=True)
class Block:
    """Why a release is not tried here; ``tries`` counts failures that it was not to blame for.

    ``pin``: the number of the pin under which it failed, 0 if a person brought it.
    """

    reason: str = ""
    tries: int = 0
    pin: int = 0

    @property
    def holds(self) -> bool:
        """Whether it may not be tried."""
        return bool(self.reason)


class BlockList:
    """The releases that failed here. A file that cannot be read blocks nothing: the nets still hold."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> "dict[str, Block]":
        """Release to its block."""
        return find_record(self._path, _parse_blocks) or {}

    def find(self, release: str) -> Block:
        """An empty one if it never failed."""
        return self.read().get(release, Block())

    def block(self, release: str, reason: str, pin: int = 0) -> None:
        """Not again, until it is lifted or pinned anew."""
        self._set(release, Block(reason, self.find(release).tries, pin))

    def count(self, release: str, reason: str, pin: int = 0) -> None:
        """One more failure that it is not to blame for."""
        tries = self.find(release).tries + 1
        blocked = f"failed {tries} times, last: {reason}" if tries >= MOST_TRIES else ""
        self._set(release, Block(blocked, tries, pin))

    def lift(self, release: str) -> None:
        """It was pinned anew, or proved: it may be tried."""
        blocks = self.read()
        if blocks.pop(release, None):
            self._write(blocks)

    def _set(self, release: str, block: Block) -> None:
        others = {name: old for name, old in self.read().items() if name != release}
        newest = list({**others, release: block}.items())[-MOST_BLOCKS:]
        self._write(dict(newest))

    def _write(self, blocks: Mapping[str, Block]) -> None:
        save_record(self._path, {name: asdict(block) for name, block in blocks.items()})


def _parse_blocks(found: "dict[str, Any]") -> "dict[str, Block]":
    return {release: Block(**entry) for release, entry in found.items()}
