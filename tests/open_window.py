"""Windows of a policy in which work may begin at any moment."""

ALWAYS_OPEN = """\
[[windows]]
name = "any-time"
rule = "FREQ=DAILY"
start = "00:00"
length_minutes = 1440

[[windows]]  # over midnight: work that no longer fits into the first one fits into this one
name = "over-midnight"
rule = "FREQ=DAILY"
start = "12:00"
length_minutes = 1440
"""
