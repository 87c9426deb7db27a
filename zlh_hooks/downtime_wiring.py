"""The part of the composition root that reckons downtime and watches from outside; ``wiring`` has all the rest."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from zlh_hooks import wiring
from zlh_hooks.adapters.file import write_over
from zlh_hooks.adapters.probes import Probes
from zlh_hooks.application.downtime_desk import DowntimeDesk, require_rules
from zlh_hooks.application.herald import EmptyDirectory
from zlh_hooks.application.outage_source import open_sources
from zlh_hooks.application.ports import OutageSource
from zlh_hooks.application.watcher import Outlook, Watcher, find_last_alive
from zlh_hooks.application.worker import HeldLease
from zlh_hooks.domain.entry import Entry
from zlh_hooks.domain.errors import NotAllowed, SettingsError
from zlh_hooks.domain.policy import Policy
from zlh_hooks.notice_wiring import open_directory
from zlh_hooks.settings import Settings, find_settings

FOR_OWNERS_EYES = 0o600
"""The mode of an export: it names customers."""


def open_desk(site: wiring.Site) -> DowntimeDesk:
    """Reckons what customers could not use."""
    return DowntimeDesk(
        site.read_entries,
        lambda draft: site.ledger.append(draft),
        site.clock,
        site.policy,
        site.cluster.inventory,
        open_directory(site.settings) or EmptyDirectory(),
        lambda entries: _open_sources(site, entries),
        site.author,
    )


def _open_sources(site: wiring.Site, entries: Sequence[Entry]) -> tuple[OutageSource, ...]:
    """A ledger without entries may not be there, and is not made by who only looks."""
    now, length = site.clock.now(), site.policy.rollout.lease
    last_alive = find_last_alive(site.ledger.watch_lease.read(), length, now) if entries else None
    return open_sources(require_rules(site.policy), entries, last_alive or now)


def open_outlook(settings: Settings, policy: Policy, file: Path) -> Outlook:
    """What is watched, and where; ``SettingsError`` names an address that is missing or of no point."""
    rules = require_rules(policy).watch
    if rules is None:
        raise NotAllowed("the policy has no [availability.watch]: nothing is watched from outside")
    if settings.watch is None:
        expected = "reference and addresses: where the points of [availability.watch] are"
        raise SettingsError(str(file), "watch", "nothing", expected)
    for name in rules.points:
        if name not in settings.watch.addresses:
            expected = f"the public IP address of {rules.points[name].title}"
            raise SettingsError(str(file), f"watch.addresses.{name}", "nothing", expected)
    for name in settings.watch.addresses:
        if name not in rules.points:
            expected = f"a point of the policy's [availability.watch]: {', '.join(rules.points)}"
            raise SettingsError(str(file), f"watch.addresses.{name}", f'"{name}"', expected)
    return Outlook(rules, settings.watch.addresses, settings.watch.reference)


def open_watcher(
    site: wiring.Site, say: Callable[[str], None], pause: Callable[[timedelta], bool], patience: timedelta
) -> Callable[[], None]:
    """Take the watcher's lease (``NotAllowed`` if another one holds it); returns what looks until ``pause`` says so."""
    outlook = open_outlook(site.settings, site.policy, find_settings(site.config_file))
    lease, length = site.ledger.watch_lease, site.policy.rollout.lease
    before = lease.read()
    held = HeldLease(lease, site.take_lease(lease, patience), length, site.clock)
    seen = find_last_alive(before, length, site.clock.now())
    watcher = Watcher(site.ledger, site.clock, Probes(site.clock), outlook, held, say, pause)

    def run() -> None:
        watcher.run(seen)
        lease.release(held.holder)

    return run


def write_export(path: Path, text: str) -> None:
    """The file whole, or not at all."""
    write_over(path, text, FOR_OWNERS_EYES)
