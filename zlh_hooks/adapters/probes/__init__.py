"""Health questions put to guests: one file per kind, ``Probes`` chooses."""

from zlh_hooks.adapters.probes.probes import Probes

__all__ = ["Probes"]
