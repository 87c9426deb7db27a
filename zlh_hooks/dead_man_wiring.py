"""The part of the composition root that joins the dead man's switch; ``wiring`` has all the rest."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from zlh_hooks import wiring
from zlh_hooks.adapters.alarm import ChannelAlarm
from zlh_hooks.adapters.clock import SystemClock
from zlh_hooks.adapters.dead_man_memory import FileMemory
from zlh_hooks.adapters.heartbeat import LIMIT_BYTES, UrlPulse, check_url
from zlh_hooks.adapters.trust import open_trust
from zlh_hooks.adapters.web import Web
from zlh_hooks.application.dead_man import DeadMan, Grounds, Sight, Ways, look
from zlh_hooks.application.ports import Alarm
from zlh_hooks.application.side_by_side import begin, find_failure
from zlh_hooks.dead_man_settings import DeadManSettings
from zlh_hooks.domain.dead_man import Fault, Memory
from zlh_hooks.domain.dead_man_point import TESTED, DeadManReach
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.notice_wiring import open_mail, open_webhook
from zlh_hooks.settings import (
    Settings,
    WorkerSettings,
    find_settings,
    load_dead_man,
    load_settings,
    read_secret,
)

T = TypeVar("T")
TIMEOUT = timedelta(seconds=10)
"""How long the answer to a heartbeat may take, and the reading of a secret."""


def open_dead_man(config: Path | None, policy: Path | None, say: Callable[[str], None]) -> DeadMan:
    """Reads its own table, and no more: whatever else is wrong is a fault that it tells of. ``SettingsError`` else."""
    rules, clock = load_dead_man(config), SystemClock()
    if rules is None:
        load_settings(config)  # what is wrong there may be why
        expected = "who is told, and by what: docs/reference/dead-man.md"
        raise SettingsError(str(find_settings(config)), "dead_man", "nothing", expected)
    return DeadMan(
        _read_name(config),
        lambda memory: _look(config, policy, memory),
        open_ways(rules),
        FileMemory(rules.memory),
        clock,
        say,
    )


def _read_name(config: Path | None) -> str:
    """This controller's; of settings that are wrong, the machine's."""
    try:
        return load_settings(config).worker.name
    except SettingsError:
        return WorkerSettings().name


def _look(config: Path | None, policy: Path | None, memory: Memory) -> Sight:
    if (flaws := _find_flaws(config)) is not None:
        return Sight((flaws,))
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


def _find_flaws(config: Path | None) -> Fault | None:
    """Only where they are: what stands there in a secret's place must not leave the machine."""
    try:
        load_settings(config)
    except SettingsError as error:
        places = ", ".join(f"{one.file}: {one.key}" for one in (error, *error.more))
        return Fault("settings", f"no worker can start, for the settings are wrong: {places}")
    return None


def open_ways(rules: DeadManSettings) -> Ways:
    """Secrets are read now. What is wrong with one way keeps no other from telling it."""
    broken: list[Fault] = []
    mail = _try_open("mail", lambda: _open_mail(rules), broken) or ()
    webhook = _try_open("webhook", lambda: _open_webhook(rules), broken) or ()
    return Ways((*mail, *webhook), _try_open("heartbeat", lambda: _open_pulse(rules), broken), tuple(broken))


def _try_open(name: str, open_way: Callable[[], T], broken: list[Fault]) -> T | None:
    done = begin(open_way)
    failure = find_failure(done, TIMEOUT)
    if failure:
        broken.append(Fault(name, f"no way for alarms: {failure}"))
    return None if failure else done.result()


def _open_mail(rules: DeadManSettings) -> tuple[Alarm, ...]:
    """Each address is told, and told again, by itself."""
    if rules.mail is None:
        return ()
    channel = open_mail(rules.mail, "dead_man.mail", label="alarm")
    return tuple(ChannelAlarm(f"mail to {address}", channel, address) for address in dict.fromkeys(rules.mail.to))


def _open_webhook(rules: DeadManSettings) -> tuple[Alarm, ...]:
    if rules.webhook is None:
        return ()
    url = _read_url(rules.webhook.url_file, "dead_man.webhook.url_file")
    return (ChannelAlarm("webhook", open_webhook(rules.webhook, "dead_man.webhook"), url),)


def _open_pulse(rules: DeadManSettings) -> UrlPulse | None:
    if rules.heartbeat_url_file is None:
        return None
    key = "dead_man.heartbeat_url_file"
    web = Web(SystemClock(), open_trust(None, key), TIMEOUT, LIMIT_BYTES)
    return UrlPulse(_read_url(rules.heartbeat_url_file, key), web)


def _read_url(path: Path, key: str) -> str:
    return check_url(read_secret(path, key), key)


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
