"""Maintenance windows, staged template rollouts and a proved way back, for hosting platforms on Proxmox VE.

The library surface, for platforms that ask instead of calling the command line:

- ``load_settings``, ``load_policy``: the two files, checked; ``Settings``, ``Policy``.
- ``decide``: may restricted work on a component begin now, and if not, when; ``next_occurrence`` and
  ``list_occurrences``: its windows. Pure: ``now`` is passed in, aware.
- ``open_proxmox(settings).list_guests()``: one request; ``parse_catalogue`` makes lines and versions of it,
  ``choose_template`` says from which template to clone a new guest, ``list_born`` who was born from a version.
- ``open_ledger(settings).read()``: the record, as ``Entry`` values of a ``Kind``.
- ``ZlhError`` and its kinds, by what their reader does next (``SettingsError``, ``NotAllowed``, ``TargetError``,
  ``RoadError``).

All else may change with any version. Names are imported when they are first used: ``import zlh_hooks`` costs nothing.
See ``docs/examples/pick.py``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zlh_hooks.domain.entry import Entry, Kind
    from zlh_hooks.domain.errors import NotAllowed, RoadError, SettingsError, TargetError, ZlhError
    from zlh_hooks.domain.guest import GuestRef, GuestSummary
    from zlh_hooks.domain.line import (
        Catalogue,
        Choice,
        Problem,
        TemplateVersion,
        choose_template,
        list_born,
        parse_catalogue,
        parse_line,
    )
    from zlh_hooks.domain.policy import Component, Policy
    from zlh_hooks.domain.window import Decision, Occurrence, decide, list_occurrences, next_occurrence
    from zlh_hooks.settings import Settings, load_policy, load_settings
    from zlh_hooks.wiring import open_ledger, open_proxmox

__all__ = [
    "Catalogue",
    "Choice",
    "Component",
    "Decision",
    "Entry",
    "GuestRef",
    "GuestSummary",
    "Kind",
    "NotAllowed",
    "Occurrence",
    "Policy",
    "Problem",
    "RoadError",
    "Settings",
    "SettingsError",
    "TargetError",
    "TemplateVersion",
    "ZlhError",
    "choose_template",
    "decide",
    "list_born",
    "list_occurrences",
    "load_policy",
    "load_settings",
    "next_occurrence",
    "open_ledger",
    "open_proxmox",
    "parse_catalogue",
    "parse_line",
]

_HOMES = {
    "domain.entry": ("Entry", "Kind"),
    "domain.errors": ("NotAllowed", "RoadError", "SettingsError", "TargetError", "ZlhError"),
    "domain.guest": ("GuestRef", "GuestSummary"),
    "domain.line": (
        *("Catalogue", "Choice", "Problem", "TemplateVersion"),
        *("choose_template", "list_born", "parse_catalogue", "parse_line"),
    ),
    "domain.policy": ("Component", "Policy"),
    "domain.window": ("Decision", "Occurrence", "decide", "list_occurrences", "next_occurrence"),
    "settings": ("Settings", "load_policy", "load_settings"),
    "wiring": ("open_ledger", "open_proxmox"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
