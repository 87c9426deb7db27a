"""TCP: the port accepts connections."""

from zlh_hooks.adapters.probes.answer import Answer, Question
from zlh_hooks.adapters.probes.wire import open_wire
from zlh_hooks.domain.probe import TcpProbe


def ask_tcp(probe: TcpProbe, question: Question) -> Answer:
    """Connect and close."""
    with open_wire(question.address, probe.port, question.deadline, limit_bytes=0):
        return Answer(f"port {probe.port} accepts connections")
