"""The front desk: what people ask of rollouts becomes entries in the ledger; the worker obeys them."""

from collections.abc import Sequence
from dataclasses import dataclass

from zlh_hooks.application.ports import Ledger
from zlh_hooks.domain.entry import Draft, Kind
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.plan import Plan, dump_plan
from zlh_hooks.domain.progress import CAN_GO_BACK, FINALIZE, Progress, fold_progress, group_by_rollout, has_new_order
from zlh_hooks.domain.steps import HALF_WAY, RolloutEvent, RolloutState, TargetState

_ALLOWED = {
    "pause": (RolloutState.RUNNING,),
    "resume": (RolloutState.PAUSED,),
    "abort": (RolloutState.PLANNED, RolloutState.RUNNING, RolloutState.PAUSED),
    "revert": (
        RolloutState.RUNNING,
        RolloutState.PAUSED,
        RolloutState.SUCCEEDED,
        RolloutState.ABORTED,
        RolloutState.STUCK,
    ),
    FINALIZE: (RolloutState.SUCCEEDED, RolloutState.ABORTED),
}


def list_progress(ledger: Ledger) -> tuple[Progress, ...]:
    """Every rollout of the ledger, oldest first."""
    return tuple(fold_progress(entries) for entries in group_by_rollout(ledger.read()).values())


def find_executing(rollouts: Sequence[Progress]) -> Progress | None:
    """The rollout that a worker has, or will have, in hand."""
    return next((p for p in rollouts if p.is_executing or p.state is RolloutState.PLANNED), None)


def find_due(ledger: Ledger, rollouts: Sequence[Progress]) -> Progress | None:
    """The rollout that a worker has to carry on before anything else: one in hand, or one that is ordered back."""
    ended = (progress for progress in rollouts if progress.state in CAN_GO_BACK)
    ordered_back = (one for one in ended if has_new_order(ledger.read(one.plan.id), "revert"))
    return find_executing(rollouts) or next(ordered_back, None)


def describe_due(progress: Progress) -> str:
    """Which rollout is in the way, and how it stands; one that ended may be ordered back."""
    state = "ordered back" if progress.state in CAN_GO_BACK else progress.state
    return f"rollout {progress.plan.id} of {progress.plan.release.line} is {state}"


def list_owing(ledger: Ledger, rollout: str) -> list[Progress]:
    """Rollouts beside that one that ended and have still to bring guests to their end."""
    return [one for one in list_progress(ledger) if one.plan.id != rollout and one.is_soaking and one.count(*HALF_WAY)]


def _explain_settled(progress: Progress) -> str:
    """What is to be done instead of a way back."""
    if progress.plan.signed is None or not progress.count(TargetState.SETTLED):
        return "no old root is left to go back to"
    way = "agent pin --downgrade" if progress.plan.agents else "zlh-agent-plugin patch revert, in each guest,"
    return f"{way} leads back"


@dataclass(frozen=True, slots=True)
class Desk:
    """Takes orders. ``author`` is recorded with each."""

    ledger: Ledger
    author: str

    def find(self, rollout: str | None) -> Progress:
        """The rollout of that id, or the latest; ``NotAllowed`` names those there are."""
        rollouts = list_progress(self.ledger)
        if rollout is None and rollouts:
            return rollouts[-1]
        found = next((progress for progress in rollouts if progress.plan.id == rollout), None)
        if found is None:
            if not rollouts:
                raise NotAllowed("there is no rollout yet: zlh-hooks rollout start")
            known = ", ".join(progress.plan.id for progress in rollouts[-5:])
            raise NotAllowed(f"there is no rollout {rollout}; the latest are: {known}")
        return found

    def list_over(self) -> list[str]:
        """Rollouts that have ended and that no person can order back any more."""
        return [progress.plan.id for progress in list_progress(self.ledger) if progress.is_over]

    def refuse_second(self, beside: str = "") -> None:
        """``NotAllowed`` while another rollout than ``beside`` is not at its end, or is to go back; says what to do."""
        running = find_due(self.ledger, list_progress(self.ledger))
        if running is not None and running.plan.id != beside:
            way = f"watch it (rollout watch {running.plan.id}), or end it: rollout abort, revert or finalize --force"
            raise NotAllowed(f"{describe_due(running)}: {way}")

    def refuse_empty(self, plan: Plan) -> None:
        """``NotAllowed`` for a plan without guests."""
        if not plan.targets:
            raise NotAllowed(f"nothing to do: no guest would get {plan.release.line} {plan.release.version}")

    def submit(self, plan: Plan) -> None:
        """Put a plan into the ledger, from where the worker takes it up."""
        self.refuse_second()
        self.refuse_empty(plan)
        self.ledger.append(Draft(Kind.PLAN, "plan", plan.id, None, dump_plan(plan)))

    def check(self, verb: str, rollout: str | None) -> Progress:
        """The rollout that could be ordered so; ``NotAllowed`` if it is in no state for it."""
        progress = self.find(rollout)
        if progress.state not in _ALLOWED[verb]:
            can = " or ".join(other for other, states in _ALLOWED.items() if progress.state in states)
            left = f"; what it can: {can}" if can else ""
            raise NotAllowed(f"rollout {progress.plan.id} is {progress.state}: it cannot {verb}{left}")
        self._refuse_overtaken(verb, progress)
        return progress

    def order(self, verb: str, rollout: str | None, reason: str = "") -> Progress:
        """Write a command; ``NotAllowed`` if the rollout is in no state for it."""
        progress = self.check(verb, rollout)
        self.ledger.append(Draft(Kind.COMMAND, verb, progress.plan.id, None, self._signed(reason)))
        return progress

    def awaits_worker(self, progress: Progress) -> bool:
        """Whether a rollout at rest was ordered on or back, and no worker has taken that up yet, as far as seen."""
        entries = self.ledger.read(progress.plan.id)
        if fold_progress(entries).state is not progress.state:
            return True  # taken up since the caller looked: there is more to see
        if progress.state is RolloutState.PAUSED:
            return has_new_order(entries, "resume") or has_new_order(entries, "revert")
        return progress.state in CAN_GO_BACK and has_new_order(entries, "revert")

    def turn_back(self, line: str, version: str, reason: str) -> Progress | None:
        """Order a rollout of that version back if one is executing; None if there is none."""
        running = find_executing(list_progress(self.ledger))
        if running is None or (running.plan.release.line, running.plan.release.version) != (line, version):
            return None
        self.ledger.append(Draft(Kind.COMMAND, "revert", running.plan.id, None, self._signed(reason)))
        return running

    def _refuse_overtaken(self, verb: str, progress: Progress) -> None:
        """A finished rollout goes back only while no later one has changed its guests."""
        if verb != "revert" or progress.is_executing:
            return
        self.refuse_second(progress.plan.id)
        if progress.is_settled:
            raise NotAllowed(f"rollout {progress.plan.id} is settled: {_explain_settled(progress)}")
        mine = {target.vmid for target in progress.plan.targets}
        rollouts = [p for p in list_progress(self.ledger) if p.plan.component is progress.plan.component]
        later = [p for p in rollouts if p.plan.created > progress.plan.created]
        overtaken = next((p for p in later if p.is_soaking and mine & {t.vmid for t in p.plan.targets}), None)
        if overtaken is not None:
            raise NotAllowed(f"rollout {overtaken.plan.id} has changed these guests since: revert that one first")

    def close_by_force(self, rollout: str | None, reason: str) -> Progress:
        """End a rollout on paper when nothing else helps. Guests stay as they are; ``recover`` lists what is left."""
        progress = self.find(rollout)
        event = RolloutEvent.LEFT_STUCK if progress.state is RolloutState.REVERTING else RolloutEvent.ABORTED
        if not progress.is_executing and progress.state is not RolloutState.PLANNED:
            raise NotAllowed(f"rollout {progress.plan.id} is {progress.state}: there is nothing to force")
        data = self._signed(f"finalized by force: {reason}") | {"forced": True}
        self.ledger.append(Draft(Kind.EVENT, event, progress.plan.id, None, data))
        return self.find(progress.plan.id)

    def _signed(self, reason: str) -> dict[str, str | bool]:
        return {"author": self.author, "reason": reason} if reason else {"author": self.author}
