"""The part of the composition root that joins the dead man's switch; ``wiring`` has all the rest."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from zlh_hooks import wiring
from zlh_hooks.adapters.alarm import ChannelAlarm
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.dead_man_memory import FileMemory
from zlh_hooks.adapters.heartbeat import LIMIT_BYTES, UrlPulse, check_url
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.web import Web
from zlh_hooks.application.dead_man import DeadMan, Grounds, Sight, look
from zlh_hooks.application.ports import Alarm
from zlh_hooks.dead_man_settings import DeadManSettings
from zlh_hooks.domain.dead_man import Fault, Memory
from zlh_hooks.domain.dead_man_point import TESTED, DeadManReach
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.notice_wiring import open_mail, open_webhook
from zlh_hooks.settings import Settings, find_settings, load_settings, read_secret

TIMEOUT = timedelta(seconds=10)
"""How long the answer to a heartbeat may take."""


def open_dead_man(config: Path | None, policy: Path | None, say: Callable[[str], None]) -> DeadMan:
    """Reads its own table, and no more: a policy that is wrong is a fault that it tells of. ``SettingsError`` else."""
    settings = load_settings(config)
    rules, clock = settings.dead_man, SystemClock()
    if rules is None:
        expected = "who is told, and by what: docs/reference/dead-man.md"
        raise SettingsError(str(find_settings(config)), "dead_man", "nothing", expected)
    return DeadMan(
        settings.worker.name,
        lambda memory: _look(config, policy, memory),
        open_alarms(rules),
        open_pulse(rules),
        FileMemory(rules.memory),
        clock,
        say,
    )


def _look(config: Path | None, policy: Path | None, memory: Memory) -> Sight:
    try:
        site = wiring.open_site(config, policy)
    except SettingsError as error:
        return Sight((Fault("policy", f"no worker can start, for the policy is wrong: {error}"),))
    grounds = Grounds(
        lambda: site.ledger if site.has_ledger() else None,
        lambda: site.ledger.lease.read(),
        lambda: site.cluster.inventory,
        site.holder,
    )
    return look(grounds, memory, site.clock)


def open_alarms(rules: DeadManSettings) -> tuple[Alarm, ...]:
    """Every way to whoever is on duty. Secrets are read now."""
    alarms: list[Alarm] = []
    if rules.mail is not None:
        alarms.append(ChannelAlarm(open_mail(rules.mail, "dead_man.mail", label="alarm"), rules.mail.to))
    if rules.webhook is not None:
        key = "dead_man.webhook.url_file"
        url = check_url(read_secret(rules.webhook.url_file, key), key)
        alarms.append(ChannelAlarm(open_webhook(rules.webhook, "dead_man.webhook"), (url,)))
    return tuple(alarms)


def open_pulse(rules: DeadManSettings) -> UrlPulse | None:
    """The heartbeat, if there is one."""
    if rules.heartbeat_url_file is None:
        return None
    key = "dead_man.heartbeat_url_file"
    url = check_url(read_secret(rules.heartbeat_url_file, key), key)
    return UrlPulse(url, Web(SystemClock(), open_trust(None, key), TIMEOUT, LIMIT_BYTES))


def note_test(config: Path | None, policy: Path | None) -> None:
    """Every way has worked: evidence for the launch gate."""
    site = wiring.open_site(config, policy)
    site.ledger.append(Draft(Kind.EVIDENCE, TESTED, data={"author": site.author}))


def find_reach(settings: Settings) -> DeadManReach | None:
    """For the launch gate; None if the settings name nobody."""
    rules = settings.dead_man
    if rules is None:
        return None
    ways = {"mail": rules.mail, "webhook": rules.webhook}
    is_other = rules.mail is not None and (settings.mail is None or settings.mail.host != rules.mail.host)
    return DeadManReach(
        tuple(name for name, way in ways.items() if way is not None),
        rules.heartbeat_url_file is not None,
        is_other or rules.webhook is not None,
        FileMemory(rules.memory).read().looked_at,
    )
