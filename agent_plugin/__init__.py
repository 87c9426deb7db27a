"""The part that stands alone inside a guest; it imports nothing of the controller. Python 3.10 and newer."""

from datetime import datetime, timezone

BUILT = datetime(2026, 11, 26, tzinfo=timezone.utc)
"""When this plugin was made: a clock that shows an earlier time is wrong."""
