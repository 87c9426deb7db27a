"""A guest's place in the HA manager: taken from it for the length of a change, and given back.

Who runs the platform may take a guest from the manager meanwhile: then there is nothing to give back, and nothing to
keep off. Both must show it, a write that has no effect and a look: a guest that is ``ignored`` looks as if it were none
of the manager's own to a token that may not read HA resources.
"""

from dataclasses import dataclass

from zlh_hooks.application.journal import Journal
from zlh_hooks.application.ports import Cluster
from zlh_hooks.application.step import Data, Found
from zlh_hooks.domain.entry import Kind
from zlh_hooks.domain.errors import GuestMissing, HeldUp, TargetError
from zlh_hooks.domain.guest import GuestRef

_HA = "ha"
"""Evidence: the state that the guest had there; note: why it does not get that back."""


@dataclass(frozen=True, slots=True)
class WriteHaState:
    """Tell the HA manager to keep its hands off, or to take the guest back."""

    name: str
    cluster: Cluster
    guest: GuestRef
    state: str

    def plan(self) -> Data:
        return {"state": self.state}

    def find(self, intent: Data) -> Found:
        power = self.cluster.inventory.read_power(self.guest)
        return {} if power.ha_state == self.state else None

    def act(self, intent: Data) -> None:
        self.cluster.availability.write_ha_state(self.guest.vmid, self.state)


def keep_off(cluster: Cluster, ref: GuestRef, journal: Journal, name: str) -> None:
    """Take the guest from the HA manager, which would answer our stops and starts with its own."""
    power = cluster.inventory.read_power(ref)
    if power.ha_managed and power.ha_state != "ignored":
        journal.write(Kind.EVIDENCE, _HA, {"state": power.ha_state})
        _write(journal, WriteHaState(name, cluster, ref, "ignored"))


def is_kept_off(journal: Journal) -> bool:
    """Whether the guest was taken from the HA manager, and its exchange was not withdrawn since."""
    return journal.evidence(_HA) is not None


def give_back(cluster: Cluster, ref: GuestRef, journal: Journal, name: str) -> None:
    """Give the HA manager back what it had, if it was taken from it and is its still."""
    known = journal.evidence(_HA)
    if known is None:
        return
    was_refused = journal.failure(name) is not None
    refusal = _write(journal, WriteHaState(name, cluster, ref, str(known["state"])))
    if refusal is not None and not was_refused:
        reason = f"somebody else took it from the HA manager, and so it stays: {refusal}"
        journal.write(Kind.NOTE, _HA, {"reason": reason})


def _write(journal: Journal, step: WriteHaState) -> TargetError | None:
    """Why the HA manager has nothing to do with the guest any more; None if it was told."""
    try:
        journal.redo(step)  # a way back that is taken up again has taken it off, and given it back, before
    except (HeldUp, GuestMissing):
        raise
    except TargetError as error:  # no such resource; or it was taken away in the moment after the write
        if step.cluster.inventory.read_power(step.guest).ha_state is None:
            return error
        raise
    return None
