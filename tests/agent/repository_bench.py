"""A repository of two people on disk, with keys that cost little, and what operators do with it."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent_plugin.desired import Build, Desired, Pin, Ring
from agent_plugin.desired_wire import parse_state, render_state
from agent_plugin.opening import Opening
from agent_plugin.wish import Wish
from tests.agent.release import NAME
from zlh_hooks.adapters.tuf_folder import TufFolder
from zlh_hooks.adapters.tuf_key import KeyFolder
from zlh_hooks.adapters.tuf_publication import TufPublication
from zlh_hooks.adapters.tuf_repository import TufRepository
from zlh_hooks.domain.agent_release import Release
from zlh_hooks.domain.agent_trust import PERSON, Purpose, RoleRule, RoleRules, TrustRole

PASSWORD = "correct horse battery"
CHEAP = 2**4
RULES: RoleRules = {
    TrustRole.ROOT: RoleRule(2, timedelta(days=365)),
    TrustRole.TARGETS: RoleRule(2, timedelta(days=365)),
    TrustRole.RELEASES: RoleRule(1, timedelta(days=365)),
    TrustRole.DESIRED: RoleRule(1, timedelta(days=90)),
    TrustRole.SNAPSHOT: RoleRule(1, timedelta(days=90)),
    TrustRole.TIMESTAMP: RoleRule(1, timedelta(days=30)),
}
BYTES = b"an agent, and then some " * 100


def now() -> datetime:
    """Whole seconds: what is signed has no smaller ones."""
    return datetime.now(UTC).replace(microsecond=0)


def always(version: str, builds: Mapping[str, Build], **changes: object) -> Desired:
    """A state that gives everybody the version, at any time of these days."""
    opening = Opening("always", now() - timedelta(days=1), now() + timedelta(days=60))
    pin = replace(Pin(1, NAME, "all", version, version, builds), **changes)  # type: ignore[arg-type]
    return Desired(now(), windows=(opening,), rings=(Ring("all", percent=100),), pins=(pin,))


@dataclass
class RepositoryBench:
    """``public`` is what a web server carries."""

    home: Path
    rules: RoleRules = field(default_factory=lambda: dict(RULES))

    def __post_init__(self) -> None:
        self.public = self.home / "public"
        self.keys = KeyFolder(self.home / "keys", self.home / "online", lambda _holder, _new: PASSWORD, CHEAP)
        self.folder = TufFolder(self.home, self.public)
        self.repository = TufRepository(self.folder, self.keys, self.rules)
        self.publication = TufPublication(self.folder, self.keys, self.rules)

    def make_keys(self) -> None:
        for holder, purposes in {
            "anna": PERSON,
            "ben": PERSON,
            "sealed": (Purpose.ROOT,),
            "online": (Purpose.ONLINE,),
        }.items():
            self.keys.make(holder, purposes)

    def found(self) -> None:
        """Two people, all signed and published, with nothing released."""
        self.make_keys()
        self.repository.found(["anna", "ben"], "sealed", "online", now())
        self.sign("anna", "ben")
        self.publish()

    def sign(self, *holders: str) -> None:
        for holder in holders:
            self.repository.sign(holder)

    def publish(self, at: datetime | None = None) -> tuple[str, ...]:
        return self.publication.publish(at or now()).written

    def list_waiting(self) -> dict[TrustRole, str]:
        """Publish, and say which drafts wait, and why."""
        return {one.role: one.why for one in self.publication.publish(now()).waiting}

    def release(self, version: str, data: bytes = BYTES, **fields: str) -> Build:
        """Listed and signed by one; not published."""
        import hashlib

        release = Release(version, "all", hashlib.sha256(data).hexdigest(), len(data), **fields)
        self.repository.add_release(release, data, now())
        self.sign("ben")
        return Build(release.sha256, release.size)

    def want(self, version: str, build: Build, **changes: object) -> None:
        """Pinned for everybody and signed by one; not published."""
        self.repository.write_state(render_state(always(version, {"all": build}, **changes)), now())
        self.sign("anna")

    def wish(self, *wishes: Wish, **changes: object) -> None:
        """In place of all that was wished; published."""
        state = self._read_state()
        last = max([state.last_wish, *(wish.number for wish in wishes)])
        new = replace(state, wishes=wishes, last_wish=last, **changes)  # type: ignore[arg-type]
        self.repository.write_state(render_state(new), now())
        self.sign("anna")
        self.publish()

    def last_wish(self) -> int:
        """The highest number that was given."""
        return self._read_state().last_wish

    def _read_state(self) -> Desired:
        data = self.repository.read_state()
        return parse_state(data) if data else replace(always("0", {}), pins=())

    def roll_out(self, version: str, data: bytes = BYTES, **changes: object) -> None:
        """Released, pinned, published."""
        self.want(version, self.release(version, data), **changes)
        self.publish()


def make(home: Path) -> RepositoryBench:
    """A repository in which everybody wants version 1.5.0."""
    bench = RepositoryBench(home)
    bench.found()
    bench.roll_out("1.5.0")
    return bench


if __name__ == "__main__":
    make(Path(sys.argv[1]))
