"""``zlh-hooks patch``: packages of guests as a rollout. All else is ordered of it as of any rollout."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from zlh_hooks import wiring
from zlh_hooks.application.agent_report_desk import GuestReport
from zlh_hooks.cli.agent_keys import PasswordFile, open_ask
from zlh_hooks.cli.option import Config, Emergency, Json, PolicyFile, RolloutId, Yes
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.plan import print_plan
from zlh_hooks.cli.rollout import Detach, confirm_and_follow, take_back
from zlh_hooks.cli.view import describe_progress, render_headline
from zlh_hooks.domain.agent_report import AgentPatch, AgentWish
from zlh_hooks.domain.agent_wish import PatchOrder
from zlh_hooks.domain.errors import NotAllowed
from zlh_hooks.domain.plan import PatchPart, dump_plan
from zlh_hooks.domain.progress import Progress, TargetProgress

app = typer.Typer(no_args_is_help=True)
STATUS_COLUMNS = ("guest", "name", "state", "packages", "impact", "waits for a restart", "reason")


@app.command()
def start(
    security: Annotated[
        bool, typer.Option("--security", help="Every security fix that a guest's own sources have; spares freezes.")
    ] = False,
    package: Annotated[
        list[str] | None,
        typer.Option("--package", metavar="NAME=VERSION", help="Exactly this; once for each package."),
    ] = None,
    line: Annotated[str | None, typer.Option("--line", help="Guests of this line alone.")] = None,
    sign: Annotated[
        str | None, typer.Option("--sign", metavar="HOLDER", help="Sign all that it may show with this person's keys.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and change nothing.")] = False,
    config: Config = None,
    policy: PolicyFile = None,
    emergency: Emergency = False,
    password_file: PasswordFile = None,
    yes: Yes = False,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Show the plan, ask, and bring packages: canary, waves, everybody; back by itself if they are bad."""
    order = PatchOrder(line, security, tuple(package or ()))
    site, ask = wiring.open_site(config, policy), open_ask(password_file)
    if not dry_run:
        site.desk().refuse_second()
        if sign is None:
            raise typer.BadParameter("--sign HOLDER is wanted, for all that it may show; --dry-run shows the plan")
    prepared = site.prepare_signed(ask, order, security=security, emergency=emergency)
    if json and dry_run:
        return print_json(dump_plan(prepared.plan))
    if not json:
        print_plan(site, prepared.plan)
    if not dry_run:
        what = prepared.plan.release.version
        confirm_and_follow(site, prepared, what, ask, sign, yes=yes, detach=detach, json=json)


@app.command()
def status(rollout: RolloutId = None, config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """How a rollout of packages stands; guests are asked what it costs whoever plays, and what waits for a restart."""
    site = wiring.open_site(config, policy)
    progress, part = _find(site, rollout)
    found = site.agent_report_desk().find_reports([row.target.vmid for row in progress.targets])
    told = {vmid: _Told(row, part) for vmid, row in found.items()}
    if json:
        guests = {str(vmid): one.describe() for vmid, one in sorted(told.items())}
        return print_json(describe_progress(progress) | {"guests": guests})
    typer.echo(render_headline(progress))
    print_table(STATUS_COLUMNS, [_row(row, told) for row in progress.targets])


@app.command()
def revert(
    reason: Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger.")],
    rollout: RolloutId = None,
    config: Config = None,
    policy: PolicyFile = None,
    detach: Detach = False,
    json: Json = False,
) -> None:
    """Take the packages back from every guest, at any hour: the old ones were kept."""
    site = wiring.open_site(config, policy)
    progress, _ = _find(site, rollout)
    take_back(site, progress.plan.id, reason, detach, json)


def _find(site: wiring.Site, rollout: str | None) -> tuple[Progress, PatchPart]:
    """Of that id, or the latest that brought packages."""
    if rollout is not None:
        progress = site.desk().find(rollout)
        if progress.plan.patches is None:
            release = progress.plan.release
            said = f"rollout {rollout} is of {release.line} {release.version}: zlh-hooks rollout speaks of it"
            raise NotAllowed(said)
        return progress, progress.plan.patches
    for progress in reversed(site.list_progress()):
        if progress.plan.patches is not None:
            return progress, progress.plan.patches
    raise NotAllowed("there is no rollout of packages yet: zlh-hooks patch start")


class _Told:
    """What a guest says of one rollout's packages; nothing of others'."""

    def __init__(self, row: GuestReport, part: PatchPart) -> None:
        report, own = row.report, {*part.wishes.values(), *part.ways_back.values()}
        is_own = report is not None and report.wish is not None and report.wish.id in own
        self.wish: AgentWish | None = report.wish if report and is_own else None
        self.patch: AgentPatch | None = report.wished_patch if report and is_own else None
        self.outcome = report.wish_outcome if report and is_own else ""
        self.why = row.why

    @property
    def state(self) -> str:
        """What became of its wish."""
        if self.why:
            return f"not known: {self.why}"
        return (self.wish.state or "not tried") if self.wish else ""

    def describe(self) -> dict[str, Any]:
        """For --json."""
        patch = self.patch
        return {
            "packages": self.state,
            "reason": self.wish.reason if self.wish else "",
            "outcome": self.outcome,
            "impact": patch.impact if patch else "",
            "waits": [*patch.waits] if patch else [],
        }


def _row(row: TargetProgress, told: Mapping[int, _Told]) -> tuple[str, ...]:
    one, target = told.get(row.target.vmid), row.target
    patch = one.patch if one else None
    said = (one.state, patch.impact if patch else "", ", ".join(patch.waits) if patch else "") if one else ("", "", "")
    return (str(target.vmid), target.name, row.state, *said, row.reason)
