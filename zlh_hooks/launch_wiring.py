"""The part of the composition root that finds the launch gate's facts; ``wiring`` has all the rest."""

from zlh_hooks import wiring
from zlh_hooks.application.guest_hook import read_hooks
from zlh_hooks.application.launch import Survey
from zlh_hooks.dead_man_wiring import find_reach
from zlh_hooks.domain.guest_hook import GuestChoice
from zlh_hooks.notice_wiring import make_operator, open_channels, open_directory, open_links


def open_survey(site: wiring.Site) -> Survey:
    """Where they are found. Who only looks makes no ledger."""
    settings = site.settings
    return Survey(
        site.read_entries,
        lambda: open_directory(settings),
        lambda: open_channels(settings),
        lambda: open_links(settings),
        make_operator(settings),
        settings.feed is not None,
        lambda: site.emergency_desk().list_debts() if site.has_ledger() else (),
        lambda: site.deferral_desk().list_overdue() if site.has_ledger() else (),
        lambda: find_reach(settings),
        site.ask_rights,
        lambda: read_hooks(site.cluster.inventory, site.policy, GuestChoice()),
        wiring.is_file,
        site.clock,
        site.clock,
    )
