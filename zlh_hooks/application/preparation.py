"""Before any customer is touched: a twin of the template on each node, and a smoke guest that boots and is healthy."""

from dataclasses import dataclass
from datetime import timedelta

from zlh_hooks.application import root_step, scratch
from zlh_hooks.application.gate import Gate
from zlh_hooks.application.journal import Journal
from zlh_hooks.application.root_driver import RootDriver
from zlh_hooks.application.step import Data
from zlh_hooks.application.verdict import Inconclusive, Unhealthy
from zlh_hooks.domain import tag
from zlh_hooks.domain.errors import HeldUp, TargetError
from zlh_hooks.domain.guest import GuestRef
from zlh_hooks.domain.health import Facts, HealthRules, Outcome

GAP_PATIENCE = timedelta(minutes=30)
_LOOK_BACK = timedelta(hours=1)


@dataclass(slots=True)
class Preparation:
    """Twins and smoke guests of one rollout; everything here is undone by ``clear``."""

    driver: RootDriver
    journal: Journal
    gate: Gate

    def make_twin(self, node: str) -> GuestRef:
        """A stopped clone of the template from which all staging is cloned, so that the template is locked once.

        A template from which customers are cloned is only touched in a gap: when nothing is being cloned from it.
        """
        template = GuestRef(self.driver.plan.release.templates[node], node)
        name = f"twin.{node}.clone"
        if not self.journal.has_intent(name):
            self._wait_for_gap(template)
        storage = self.driver.cluster.inventory.read_config(template).rootfs.storage
        twin = self.driver.scratch_guests.clone(self.journal, name, template, storage, f"twin on {node}")
        rollout = self.driver.plan.id
        self.journal.retry(scratch.TameScratch(f"twin.{node}.tame", self.driver.cluster, twin, rollout))
        return twin

    def _wait_for_gap(self, template: GuestRef) -> None:
        tags = self.driver.cluster.inventory.read_config(template).tags
        if not tag.values_of(tag.CHANNEL, tags):
            return
        self.gate.tell(f"waiting for a gap in the provisioning from template {template}")
        if not self.gate.wait_until(lambda: self._is_idle(template), GAP_PATIENCE):
            raise TargetError(f"template {template} was provisioned from without a gap for {GAP_PATIENCE}")

    def _is_idle(self, template: GuestRef) -> bool:
        since = self.driver.clock.now() - _LOOK_BACK
        running = any(
            task.running for task in self.driver.cluster.tasks.list_tasks(template.node, template.vmid, since)
        )
        return not running and self.driver.cluster.inventory.read_config(template).lock is None

    def smoke(self, node: str, twin: GuestRef) -> Facts:
        """Boot a scratch guest of the release on the node and ask its probes; what it reports is what guests must.

        ``Unhealthy`` if it does not come up, ``Inconclusive`` if it could not be measured; any other ``TargetError``
        says nothing about the release.
        """
        known = self.journal.evidence(f"smoke.{node}")
        if known is None:
            guest = self._boot(node, twin)
            known = self._measure(node, guest)
        self._remove(f"smoke.{node}", node)
        facts: Facts = known["facts"]
        return facts

    def _boot(self, node: str, twin: GuestRef) -> GuestRef:
        plan, cluster = self.driver.plan, self.driver.cluster
        storage = cluster.inventory.read_config(twin).rootfs.storage
        guest = self.driver.scratch_guests.clone(self.journal, f"smoke.{node}.clone", twin, storage, f"smoke on {node}")
        net0 = plan.line.smoke_net0
        self.journal.retry(scratch.TameScratch(f"smoke.{node}.tame", cluster, guest, plan.id, net0))
        try:
            self.journal.retry(root_step.Start(f"smoke.{node}.start", cluster, guest))
        except HeldUp:
            raise
        except TargetError as error:
            raise Unhealthy(f"smoke guest on {node} does not start: {error}") from error
        return guest

    def _measure(self, node: str, guest: GuestRef) -> Data:
        plan = self.driver.plan
        probes = tuple(probe for probe in plan.line.probes if probe.in_smoke)
        rules = HealthRules(timedelta(0), plan.rules.healthy_deadline)
        proof = self.driver.examiner.examine(guest, probes, rules, {})
        reason = f"smoke guest on {node}: {proof.judgement.reason}"
        if proof.judgement.outcome is Outcome.INCONCLUSIVE:
            raise Inconclusive(reason)
        if proof.judgement.outcome is not Outcome.HEALTHY:
            raise Unhealthy(reason)
        return self.journal.once(f"smoke.{node}", lambda: {"facts": proof.facts, "judgement": reason})

    def clear(self) -> None:
        """Destroy every twin and smoke guest; idempotent. ``HeldUp`` while one is still being made."""
        self._clear(rests=False)

    def clear_in_the_end(self) -> None:
        """Like ``clear``, for who comes again: no lock is waited for, and what fails is tried less and less often."""
        self._clear(rests=True)

    def _clear(self, *, rests: bool) -> None:
        for node in self.driver.plan.release.templates:
            self._remove(f"smoke.{node}", node, rests=rests)
            self._remove(f"twin.{node}", node, rests=rests)

    def _remove(self, name: str, node: str, *, rests: bool = False) -> None:
        scratch_guests = self.driver.scratch_guests
        guest = scratch_guests.find_made(self.journal, f"{name}.clone", node)
        if guest is not None:
            stop = root_step.Stop(f"{name}.stop", self.driver.cluster, guest, timedelta(seconds=10))
            (self.journal.clear if rests else self.journal.retry)(stop)
            scratch_guests.destroy(self.journal, f"{name}.destroy", guest, rests=rests)
