"""How long guests are waited for of which nobody becomes healthy."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(slots=True)
class Standstill:
    """Counts only what is waited for guests; not for windows, nor while a person has paused."""

    waited: timedelta = timedelta(0)
    healthy: int = 0

    def note(self, waited: timedelta, healthy: int) -> None:
        """So much longer; ``healthy``: how many guests are by now."""
        self.waited = self.waited + waited if healthy == self.healthy else timedelta(0)
        self.healthy = healthy

    def is_over(self, limit: timedelta) -> bool:
        """Whether it was too long; then it begins anew."""
        if self.waited <= limit:
            return False
        self.waited = timedelta(0)
        return True
