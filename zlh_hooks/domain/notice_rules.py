"""How early customers hear of a change, as the policy writes it."""

from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StrictInt, model_validator

from zlh_hooks.domain.duration import Duration, render_duration
from zlh_hooks.domain.flaw import Misfit, render_found
from zlh_hooks.domain.value import PositiveDuration, Value


def _check_descending(leads: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
    if list(leads) != sorted(set(leads), reverse=True):
        raise ValueError('lead times from the longest to the shortest, each once, such as ["72h", "24h", "1h"]')
    return leads


class Ladder(Value):
    """The lead times of one size of interruption. The first is the promise: nothing starts sooner after it."""

    over: Duration = Field(
        default=timedelta(0), description="For interruptions longer than this; the largest that fits decides."
    )
    leads: Annotated[tuple[PositiveDuration, ...], AfterValidator(_check_descending)] = Field(
        min_length=1, description="How long before the start customers are told, longest first."
    )
    reason: str = Field(default="", description="Why so early; shown on the pages.")

    @property
    def promise(self) -> timedelta:
        """The age that a delivered notice must have before the change may start."""
        return self.leads[0]


class NoticeRules(Value):
    """When customers are told, and when a customer whom nobody can reach counts as told."""

    ladders: tuple[Ladder, ...] = Field(min_length=1, description="Lead times by the length of the interruption.")
    attempts: StrictInt = Field(
        default=5, ge=1, description="Failed attempts on each channel, after which a customer counts as unreachable."
    )
    retry: PositiveDuration = Field(default=timedelta(minutes=15), description="How long to wait between attempts.")

    @model_validator(mode="after")
    def _check_ladders(self) -> Self:
        lengths = [ladder.over for ladder in self.ladders]
        for position, length in enumerate(lengths):
            if length in lengths[:position]:
                raise Misfit(("ladders", position, "over"), render_found(length), "a length that no other ladder has")
        if timedelta(0) not in lengths:
            shortest = render_duration(min(lengths))
            raise Misfit(("ladders",), f"none for interruptions of up to {shortest}", 'one with over = "0s"')
        return self

    def ladder_for(self, interruption: timedelta) -> Ladder:
        """The ladder of a change that keeps one guest away for so long."""
        fitting = [ladder for ladder in self.ladders if ladder.over < interruption or not ladder.over]
        return max(fitting, key=lambda ladder: ladder.over)
