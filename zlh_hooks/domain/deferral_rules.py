"""How far a customer may move the date of a change, as the policy writes it."""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from zlh_hooks.domain.duration import Duration, render_duration
from zlh_hooks.domain.flaw import Misfit, render_found
from zlh_hooks.domain.value import Value


class DeferralRules(Value):
    """The caps: counted on the clock of the policy's zone, from the date that was announced first."""

    limit: Duration = Field(
        default=timedelta(days=21), description="How long after it the last date may be; 0s: no date can be moved."
    )
    security_limit: Duration = Field(
        default=timedelta(days=7), description="The same for what closes a security hole; not longer than limit."
    )
    reason: str = Field(default="", description="Why so long; shown in the policy.")

    @model_validator(mode="after")
    def _check_security(self) -> Self:
        if self.security_limit > self.limit:
            given = "" if "security_limit" in self.model_fields_set else " (the default)"
            longest = f"at most limit ({render_duration(self.limit)}): a hole is worse than a restart"
            raise Misfit(("security_limit",), render_found(self.security_limit) + given, longest)
        return self

    def limit_for(self, security: bool) -> timedelta:
        """The cap of a change; none of nothing."""
        return self.security_limit if security else self.limit
