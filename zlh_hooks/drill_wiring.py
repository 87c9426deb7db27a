"""Joins the real engine with the simulated site: a drill."""

from datetime import datetime

from zlh_hooks.application.drill import EmergencyDrill, Trainee
from zlh_hooks.application.engine import Engine
from zlh_hooks.application.herald import Roads
from zlh_hooks.application.proof import Examiner
from zlh_hooks.domain.drill import choose_start
from zlh_hooks.domain.notice import OPERATOR, Customer
from zlh_hooks.domain.notice_text import make_imprint
from zlh_hooks.domain.policy import Policy
from zlh_hooks.simulation.site import FIXED, open_simulated_site


def open_drill(policy: Policy, now: datetime, person: str, trainee: Trainee, *, bad: bool) -> EmergencyDrill:
    """Set in the night after ``now`` in which no window is open. No hook of a line is called."""
    site = open_simulated_site(policy, choose_start(policy, now), bad=bad)
    examiner = Examiner(site.cluster, site.cluster, site.clock)
    engine = Engine(site.cluster.cluster, examiner, site.ledger, site.clock, policy, lambda _: ())
    operator = Customer(OPERATOR, "", frozenset())
    roads = Roads(site.directory, (site.mail,), site.feed, operator, make_imprint(policy))
    drill = EmergencyDrill(engine, roads, site.line, FIXED, person, trainee)
    site.clock.on_sleep.append(drill.go_on)
    return drill
