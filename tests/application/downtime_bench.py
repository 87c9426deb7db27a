"""A bench whose downtime is reckoned: customers who are told, a watcher that looks from outside, and a desk that adds up."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from tests.application.notice_bench import TellingBench, make_telling_policy
from zlh_hooks.application.downtime_desk import DowntimeDesk, Report
from zlh_hooks.application.outage_source import open_sources
from zlh_hooks.application.watcher import Outlook, Watcher, find_last_alive
from zlh_hooks.application.worker import HeldLease
from zlh_hooks.domain.downtime import Account
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.month import Month
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.probe import Probe
from zlh_hooks.domain.span import measure

MONTH = Month(2026, 11)
LEASE = timedelta(seconds=60)
PROBE = {"kind": "tcp", "port": 443, "interval": "30s", "needed_failures": 3}
REFERENCE = "reference"


def make_promising_policy(watch: dict[str, Any] | None = None, emergencies: str = "planned", **more: Any) -> Policy:
    """The telling bench's policy with a promise. ``watch``: point to who is behind it."""
    points = {
        name: {"title": name.title(), "component": "edge", "behind": behind, "probe": PROBE}
        for name, behind in (watch or {}).items()
    }
    rules: dict[str, Any] = {
        "goal_percent": 99.99,
        "emergencies": emergencies,
        "credits": [{"below_percent": 99.99, "credit_percent": 10}],
    }
    if points:
        rules["watch"] = {"reference": {"kind": "tcp", "port": 443}, "points": points}
    policy = make_telling_policy(**more).model_dump(mode="json", exclude_none=True)
    return Policy.model_validate(policy | {"availability": rules})


class Killed(BaseException):
    """The watcher is gone; no code of it runs any more."""


@dataclass
class Outside:
    """What there is to be seen from outside: which points are away, and which cannot be measured at all."""

    clock: Any
    away: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def measure(self, probe: Probe, guest: GuestRef, address: str | None) -> Measurement:
        self.asked.append(guest.node)
        verdict = Verdict.UNHEALTHY if guest.node in self.away else Verdict.HEALTHY
        verdict = Verdict.ERROR if guest.node in self.odd else verdict
        return Measurement(probe.label, verdict, "as it is", self.clock.now(), timedelta(0))


@dataclass
class DowntimeBench(TellingBench):
    """``happen`` is what comes about, by the second since the watcher began."""

    policy: Policy = field(default_factory=make_promising_policy)
    happen: dict[int, Callable[[], object]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.outside = Outside(self.clock)

    def watch(self, seconds: int) -> None:
        """A watcher looks for so long, and ends in order; ``Killed`` at that moment if that is what happens then."""
        assert self.policy.availability is not None and self.policy.availability.watch is not None
        rules, lease = self.policy.availability.watch, self.ledger.watch_lease
        before, started = lease.read(), self.clock.monotonic()
        held = HeldLease(lease, lease.take("watcher", LEASE), LEASE, self.clock)

        def pause(length: timedelta) -> bool:
            for second in sorted(self.happen):
                if started + second <= self.clock.monotonic():
                    self.happen.pop(second)()
            self.clock.sleep(length)
            return self.clock.monotonic() >= started + seconds

        outlook = Outlook(rules, dict.fromkeys(rules.points, "203.0.113.1"), "198.51.100.1")
        watcher = Watcher(self.ledger, self.clock, self.outside, outlook, held, self.said.append, pause)
        watcher.run(find_last_alive(before, LEASE, self.clock.now()))
        lease.release(held.holder)

    def see(self, name: str, **data: Any) -> None:
        """A watcher records it."""
        self.ledger.append(Draft(Kind.EVIDENCE, name, data=data))

    def kill(self) -> None:
        """To be put among what happens."""
        raise Killed

    def downtime_desk(self) -> DowntimeDesk:
        """Where it is reckoned."""
        return DowntimeDesk(
            self.ledger.read,
            self.ledger.append,
            self.clock,
            self.policy,
            self.datacentre,
            self.directory,
            self._open_sources,
            "tester",
        )

    def _open_sources(self, entries: Any) -> tuple[Any, ...]:
        assert self.policy.availability is not None
        now = self.clock.now()
        last_alive = find_last_alive(self.ledger.watch_lease.read(), LEASE, now)
        return open_sources(self.policy.availability, entries, last_alive or now)

    def report(self) -> Report:
        """The month so far."""
        return self.downtime_desk().report(MONTH)

    def account(self, vmid: int) -> Account:
        """One guest's."""
        return next(one for one in self.report().accounts if one.guest.vmid == vmid)

    def seconds(self, vmid: int) -> tuple[float, float, float]:
        """Planned, unplanned, unknown."""
        found = self.account(vmid).downtime
        parts = (measure(spans).total_seconds() for spans in (found.planned, found.unplanned, found.unknown))
        planned, unplanned, unknown = parts
        return planned, unplanned, unknown
