"""The Prober: asks by kind, times it, and turns whatever happens into a Measurement."""

import ipaddress
from datetime import timedelta
from typing import assert_never

from zlh_hooks.adapters.probes.agent import ask_agent
from zlh_hooks.adapters.probes.answer import (
    Answer,
    BadAnswer,
    Question,
    Unmeasured,
    clean_text,
    describe_error,
    is_guests_fault,
)
from zlh_hooks.adapters.probes.http import ask_http
from zlh_hooks.adapters.probes.minecraft import ask_minecraft
from zlh_hooks.adapters.probes.prometheus import ask_prometheus
from zlh_hooks.adapters.probes.source import ask_source
from zlh_hooks.adapters.probes.tcp import ask_tcp
from zlh_hooks.adapters.probes.wire import Deadline
from zlh_hooks.application.ports import Clock
from zlh_hooks.domain.evidence import Measurement, Verdict
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.probe import (
    AgentProbe,
    HttpProbe,
    MinecraftProbe,
    Probe,
    PrometheusProbe,
    SourceProbe,
    TcpProbe,
)


class Probes:
    """Port ``Prober``. Holds no state: safe to share between threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def measure(self, probe: Probe, guest: GuestRef, address: str | None) -> Measurement:
        """Unhealthy is what the guest did or failed to do; error is what kept us from knowing."""
        at, began = self._clock.now(), self._clock.monotonic()
        verdict, answer = self._judge(probe, guest, address)
        took = timedelta(seconds=self._clock.monotonic() - began)
        facts = {name: clean_text(value) for name, value in answer.facts.items()}
        return Measurement(probe.label, verdict, clean_text(answer.detail), at, took, facts)

    def _judge(self, probe: Probe, guest: GuestRef, address: str | None) -> tuple[Verdict, Answer]:
        if address is None:
            return Verdict.UNHEALTHY, Answer("the guest has no address yet")
        deadline = Deadline(self._clock, probe.timeout)
        try:
            _check_address(address)
            return Verdict.HEALTHY, ask(probe, Question(guest, address, deadline))
        except BadAnswer as error:
            return Verdict.UNHEALTHY, Answer(str(error))
        except Unmeasured as error:
            return Verdict.ERROR, Answer(str(error))
        except OSError as error:
            verdict = Verdict.UNHEALTHY if is_guests_fault(error) else Verdict.ERROR
            return verdict, Answer(f"{address}: {describe_error(error, deadline)}")


def ask(probe: Probe, question: Question) -> Answer:
    """The kind's own way of asking."""
    match probe:
        case HttpProbe():
            return ask_http(probe, question)
        case TcpProbe():
            return ask_tcp(probe, question)
        case AgentProbe():
            return ask_agent(probe, question)
        case MinecraftProbe():
            return ask_minecraft(probe, question)
        case SourceProbe():
            return ask_source(probe, question)
        case PrometheusProbe():
            return ask_prometheus(probe, question)
    assert_never(probe)


def _check_address(address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise Unmeasured(f"{address!r} is not an IP address") from error
