"""How available a server was, exactly, and what the policy's rule proposes to credit for it. Pure."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

from zlh_hooks.domain.availability_rules import AvailabilityRules


def reckon_available(length: timedelta, away: timedelta) -> Fraction:
    """Percent of ``length`` that is left when ``away`` is taken from it; exact. ``length`` is above zero."""
    return 100 * (1 - Fraction(away // timedelta.resolution, length // timedelta.resolution))


def propose_credit(rules: AvailabilityRules, available_percent: Fraction) -> Decimal:
    """Percent of the month's fee: that of the largest step whose bound was missed, and never more than the cap."""
    missed = [one.credit_percent for one in rules.credits if available_percent < Fraction(one.below_percent)]
    return min(max(missed, default=Decimal(0)), rules.cap_percent)


def render_percent(percent: Fraction) -> str:
    """With three decimals, rounded down: what missed a bound never reads as if it had met it."""
    thousandths = percent * 1000 // 1
    return f"{thousandths // 1000}.{thousandths % 1000:03}"
