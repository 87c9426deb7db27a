"""What an emergency may be, as the policy writes it."""

from datetime import timedelta

from pydantic import Field

from zlh_hooks.domain.value import PositiveDuration, Value


class EmergencyRules(Value):
    """How long windows and promises may be passed over, and by when it is looked back on."""

    limit: PositiveDuration = Field(
        default=timedelta(hours=4), description="The longest allowance; who needs more declares anew."
    )
    review_within: PositiveDuration = Field(
        default=timedelta(hours=72), description="After its end: by when it must be reviewed."
    )
    drill_every: PositiveDuration = Field(
        default=timedelta(days=180), description="A drill older than this counts for nobody any more."
    )
    reason: str = Field(default="", description="Why there is such a way at all.")
