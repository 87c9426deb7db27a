"""``zlh-hooks agent reports`` and ``accept-key``: what guests say of their agents, and which keys count for them."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from zlh_hooks import wiring
from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.cli.option import Config, Json, PolicyFile
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.agent_report import AgentPatch, AgentWish

REPORT_COLUMNS = (
    *("guest", "name", "standing", "release", "last swap", "last patch", "wish"),
    *("at (UTC)", "key", "what is wrong"),
)
_SHORT_KEY = 12


def reports(
    vmids: Annotated[
        list[int] | None, typer.Argument(metavar="[VMID]...", help="Guests; left out: all that run and are of a kind.")
    ] = None,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Ask guests for their signed reports.

    Exit code 1 if a key was refused, if what answered is no report, or if a guest was served what it does not believe.
    """
    found = wiring.open_site(config, policy).agent_report_desk().list_reports(vmids or ())
    if json:
        print_json([_describe(one) for one in found])
    else:
        print_table(REPORT_COLUMNS, [_row(one) for one in found])
    if any(one.needs_a_person for one in found):
        raise typer.Exit(1)


def accept_key(
    vmid: Annotated[int, typer.Argument(help="The guest's number.")],
    key: Annotated[str, typer.Argument(help="What `zlh-agent-plugin key` prints in the guest.")],
    reason: Annotated[str, typer.Option("--reason", help="Why it changed; recorded in the ledger.")],
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Let this key count for the guest from now on."""
    wiring.open_site(config, policy).agent_report_desk().accept_key(vmid, key, reason)
    typer.echo(f"guest {vmid}: reports signed with {key} are believed")


def _row(one: GuestReport) -> tuple[str, ...]:
    first = (str(one.guest.vmid), one.guest.name, one.standing.value)
    report = one.report
    if report is None:
        return (*first, "", "", "", "", "", "", one.why)
    swap = " ".join(part for part in (report.wanted, report.outcome or report.step) if part)
    release = f"{report.current or 'none'}{' (on trial)' if report.on_trial else ''}"
    at, wrong = f"{report.at:%Y-%m-%d %H:%M}", "; ".join(report.list_wrong())
    packages = _render_patch(report.patch), _render_wish(report.wish)
    return (*first, release, swap, *packages, at, report.key[:_SHORT_KEY], wrong)


def _render_patch(patch: AgentPatch | None) -> str:
    if patch is None:
        return ""
    waits = f"{len(patch.waits)} to restart" if patch.waits else ""
    return ", ".join(filter(None, (patch.outcome or patch.step, patch.impact, waits)))


def _render_wish(wish: AgentWish | None) -> str:
    return f"{wish.number} {wish.state or 'not tried'}" if wish else ""


def _describe(one: GuestReport) -> dict[str, Any]:
    return {
        "vmid": one.guest.vmid,
        "name": one.guest.name,
        "standing": one.standing,
        "why": one.why,
        "report": asdict(one.report) if one.report else None,
    }
