"""How carefully a rollout goes: batches, deadlines, budgets."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import chain, repeat
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, model_validator

from zlh_hooks.domain.duration import Duration, render_duration
from zlh_hooks.domain.flaw import Misfit, render_found
from zlh_hooks.domain.interlock import InterlockRules
from zlh_hooks.domain.value import Count, PositiveDuration, Value

Positive = Annotated[StrictInt, Field(ge=1)]
NotNegative = Annotated[StrictInt, Field(ge=0)]
MODES_OF_BOOLEANS: Mapping[bool, str] = {True: "any-time", False: "never"}
"""What ``exchange_pending`` was before it was a choice of three."""


def _refuse_boolean(value: object) -> object:
    if isinstance(value, bool):
        found = f"{render_found(value)}, as in earlier versions"
        raise Misfit((), found, f'"{MODES_OF_BOOLEANS[value]}", which it has become, or "in-window", the default')
    return value


PendingMode = Annotated[Literal["in-window", "any-time", "never"], BeforeValidator(_refuse_boolean)]


class RolloutRules(Value):
    """The rules of every rollout. Names are Nomad's where it has the same thing."""

    canary: Count = Field(
        default=Count(number=1), description="Targets that get the release before all others: a number or a %."
    )
    waves: tuple[Count, ...] = Field(
        default=tuple(Count(number=share, is_percent=True) for share in (25, 50, 100)),
        min_length=1,
        description="Size of each batch after the canary: a number of targets or a % of all; the last one repeats.",
    )
    min_healthy_time: Duration = Field(
        default=timedelta(seconds=60), description="How long a target must stay healthy to count as healthy."
    )
    healthy_deadline: Duration = Field(
        default=timedelta(minutes=5), description="A target that is not healthy by then goes back."
    )
    progress_deadline: Duration = Field(
        default=timedelta(minutes=30),
        description="The rollout pauses if no target became healthy for so long; of guests that "
        "follow what is signed, for so long beyond the time that each may take.",
    )
    max_failures: NotNegative = Field(default=1, description="More failed targets than this revert the whole rollout.")
    max_errors: NotNegative = Field(
        default=3, description="More targets than this that cannot be measured or reached pause the rollout."
    )
    max_parallel: Positive = Field(default=4, description="Targets in work at once, in all.")
    max_parallel_per_node: Positive = Field(default=2, description="Targets in work at once on one node.")
    soak: Duration = Field(
        default=timedelta(hours=72), description="How long old roots are kept after the promotion, for a way back."
    )
    shutdown_timeout: PositiveDuration = Field(
        default=timedelta(seconds=120), description="Time for a guest's clean shutdown before it is stopped hard."
    )
    start_timeout: PositiveDuration = Field(default=timedelta(seconds=180), description="Time for a guest's start.")
    lock_wait: Duration = Field(
        default=timedelta(minutes=10),
        description="How long to wait for a lock (of a backup, say) or for a storage that is away, before skipping.",
    )
    expected_duration: PositiveDuration = Field(
        default=timedelta(minutes=3), description="What one target takes, until this rollout has measured it."
    )
    expected_interruption: PositiveDuration = Field(
        default=timedelta(minutes=2), description="How long a guest is away: told to customers, and chooses the ladder."
    )
    wait_until_empty: PositiveDuration | None = Field(
        default=None, description="Wait at most so long until no player is on the server; left out: do not wait."
    )
    exchange_pending: PendingMode = Field(
        default="in-window",
        description="When the customer's own restart may bring the new root, which is proved then. `in-window`: while "
        "it waits, its turn come and its window open, for players or for others' work. `any-time`: also outside of "
        "windows, never in a freeze; as `in-window` where owners are told a date ([notices]). `never`: only ours.",
    )
    backup_within: PositiveDuration | None = Field(
        default=None,
        description="Leave out a guest whose last good backup, as noted by vzdump's hook, is older; left out: any.",
    )
    interlock: InterlockRules = Field(
        default=InterlockRules(),
        description="What others' work on a guest's node does to its turn: `wait`, `skip`, `refuse` or `ignore`.",
    )
    auto_promote: StrictBool = Field(
        default=True, description="Move `stable` when all waves are healthy, without asking a person."
    )
    ha: Literal["skip", "ignore"] = Field(
        default="skip", description="HA-managed guests: leave them out, or set them to `ignored` meanwhile."
    )
    lease: PositiveDuration = Field(
        default=timedelta(seconds=60),
        description="After so long without a sign of life a worker or watcher counts as dead.",
    )

    @model_validator(mode="after")
    def _check_deadlines(self) -> Self:
        self._check_above("healthy_deadline", "min_healthy_time")
        self._check_above("progress_deadline", "healthy_deadline")
        return self

    def _check_above(self, name: str, lower: str) -> None:
        value, floor = getattr(self, name), getattr(self, lower)
        if value <= floor:
            found = render_duration(value) + ("" if name in self.model_fields_set else " (the default)")
            raise Misfit((name,), found, f"more than {lower} ({render_duration(floor)})")

    def plan_batches(self, targets: int, without_canary: bool = False) -> tuple[int, ...]:
        """Sizes of the canary (unless there is none) and the waves for so many targets. They sum to it; none is 0."""
        canary = () if without_canary else (self.canary,)
        sizes: list[int] = []
        for count in chain(canary, self.waves, repeat(self.waves[-1])):
            left = targets - sum(sizes)
            if left <= 0:
                break
            sizes.append(min(left, count.of(targets)))
        return tuple(sizes)
