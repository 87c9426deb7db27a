"""``zlh-hooks agent``: which agent and packages guests get. What is said counts when it was signed and published."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from zlh_hooks import wiring
from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.cli import agent_keys, agent_report
from zlh_hooks.cli.agent_keys import PasswordFile, open_ask
from zlh_hooks.cli.option import Config, Json, PolicyFile, Yes
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.cli.question import make_sure
from zlh_hooks.domain.agent_release import PinOrder, PinRow, Release, Span, span_of
from zlh_hooks.domain.agent_trust import Expiry, Standing, ThresholdGap, TrustRole, Waiting
from zlh_hooks.domain.agent_wish import WishOrder
from zlh_hooks.domain.agent_word import SHORT_DIGEST, compare
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.domain.window_rule import Component

app = typer.Typer(no_args_is_help=True)
app.add_typer(agent_keys.app, name="keys", help="Whose signatures count.")
app.command()(agent_report.reports)
app.command()(agent_report.accept_key)
Line = Annotated[str, typer.Argument(help="A line of the policy.")]
Ring = Annotated[str, typer.Argument(help="A ring of the policy.")]
Versions = Annotated[str, typer.Argument(help="A version or a specifier, such as 1.5.1 or '>=1.5,<1.5.2'.")]
From = Annotated[str, typer.Option("--from", help="Which versions may be replaced by it: a specifier.")]
BackTo = Annotated[str, typer.Option("--back-to", help="To which versions a guest may go back from it: a specifier.")]
SignAs = Annotated[str | None, typer.Option("--sign", metavar="HOLDER", help="Sign it at once with these keys.")]
STANDING_COLUMNS = ("document", "version", "state", "ends (UTC)", "signed by", "still needed")
RELEASE_COLUMNS = ("release", "machine", "SHA-256", "may follow", "may be left for", "state")
PIN_COLUMNS = ("pin", "line", "ring", "asked", "version", "leads back", "beside windows", "state")
WISH_COLUMNS = ("wish", "line", "ring", "packages", "beside windows", "id", "state")
SHORT_ID = 12
GAP_COLUMNS = ("document", "signatures needed", "by the policy", "what lets the policy count")
EXPIRY_COLUMNS = ("document", "version", "ends (UTC)", "state", "what renews it")


def _open(config: Path | None, policy: Path | None) -> AgentDesk:
    return wiring.open_site(config, policy).agent_desk(open_ask(None), _tell)


def _tell(text: str) -> None:
    typer.echo(f"note: {text}", err=True)


def _sign(
    role: TrustRole, holder: str | None, password_file: Path | None, config: Path | None, policy: Path | None
) -> None:
    """Only the document that was just drafted: what else waits is looked at first. All that is new in it is shown."""
    agent_keys.print_news(_open(config, policy), [role])
    if holder is None:
        typer.echo("drafted; sign it: zlh-hooks agent keys sign, then zlh-hooks agent publish")
        return
    signed = agent_keys.open_desk(config, policy, password_file).sign(holder, [role])
    typer.echo(f"{holder} signed {', '.join(signed)}; show it to guests: zlh-hooks agent publish")


@app.command()
def release(
    file: Annotated[Path, typer.Argument(help="The build: a .tar.gz.")],
    version: Annotated[str, typer.Option("--version", help="Its version, such as 1.5.0.")],
    machine: Annotated[str, typer.Option("--machine", help="all, amd64 or arm64.")] = "all",
    come_from: From = "",
    back_to: BackTo = "",
    sign: SignAs = None,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """List a build. Nobody installs it before it is pinned."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsError(str(file), "file", error.strerror or str(error), "the build's .tar.gz") from error
    known = _open(config, policy).release(version, machine, data, come_from, back_to)
    typer.echo(f"{known.version} for {known.machine}: {known.size} bytes, SHA-256 {known.sha256}")
    _sign(TrustRole.RELEASES, sign, password_file, config, policy)


@app.command()
def pin(
    line: Line,
    ring: Ring,
    asked: Versions,
    come_from: From = "",
    back_to: BackTo = "",
    downgrade: Annotated[bool, typer.Option("--downgrade", help="Guests with a newer version go back to it.")] = False,
    emergency: Annotated[bool, typer.Option("--emergency", help="Now, under the emergency that is open.")] = False,
    sign: SignAs = None,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Give a ring of a line a version: the newest that was asked for, fixed until the next pin."""
    span = _find_emergency(config, policy) if emergency else None
    order = PinOrder(line, ring, asked, come_from, back_to, downgrade, span)
    version = _open(config, policy).pin(order)
    typer.echo(f"line {line}, ring {ring}: {version}")
    _sign(TrustRole.DESIRED, sign, password_file, config, policy)


@app.command()
def wish(
    line: Line,
    ring: Ring,
    security: Annotated[
        bool, typer.Option("--security", help="Every security fix that the guest's own sources have.")
    ] = False,
    packages: Annotated[
        list[str] | None, typer.Option("--package", metavar="NAME=VERSION", help="Exactly this; may be repeated.")
    ] = None,
    nothing: Annotated[bool, typer.Option("--none", help="Leave the ring's packages as they are.")] = False,
    emergency: Annotated[bool, typer.Option("--emergency", help="Now, under the emergency that is open.")] = False,
    sign: SignAs = None,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Let a ring's guests patch their packages, once; what failed in a guest is tried again under a new wish."""
    span = _find_emergency(config, policy) if emergency else None
    order = WishOrder(line, ring, security, tuple(packages or ()), nothing, span)
    row = _open(config, policy).wish(order)
    typer.echo(f"line {line}, ring {ring}: wish {row.number}, {row.packages}")
    _sign(TrustRole.DESIRED, sign, password_file, config, policy)


@app.command()
def unwish(
    line: Line,
    ring: Ring,
    sign: SignAs = None,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Wish nothing for a ring any more. Guests that have patched keep what they have."""
    _open(config, policy).unwish(line, ring)
    _sign(TrustRole.DESIRED, sign, password_file, config, policy)


def _find_emergency(config: Path | None, policy: Path | None) -> Span:
    return span_of(wiring.open_site(config, policy).emergency_desk().require_open(Component.AGENT))


@app.command()
def unpin(
    line: Line,
    ring: Ring,
    sign: SignAs = None,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Let a ring follow the next ring that its guests are in."""
    _open(config, policy).unpin(line, ring)
    _sign(TrustRole.DESIRED, sign, password_file, config, policy)


@app.command()
def block(
    versions: Versions,
    reason: Annotated[str, typer.Option("--reason", help="Why; guests report it.")],
    sign: SignAs = None,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Let nobody install these versions any more, whatever is pinned."""
    _open(config, policy).block(versions, reason)
    _sign(TrustRole.DESIRED, sign, password_file, config, policy)


@app.command()
def unblock(
    versions: Versions,
    sign: SignAs = None,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Let these versions be installed again."""
    _open(config, policy).unblock(versions)
    _sign(TrustRole.DESIRED, sign, password_file, config, policy)


@app.command()
def refresh(
    sign: SignAs = None, password_file: PasswordFile = None, config: Config = None, policy: PolicyFile = None
) -> None:
    """Tell agents of changed windows, rings and tags: the same pins, seen with the present policy."""
    _open(config, policy).refresh()
    _sign(TrustRole.DESIRED, sign, password_file, config, policy)


@app.command()
def publish(
    check: Annotated[bool, typer.Option("--check", help="Publish nothing: exit 1 if something ends soon.")] = False,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Show guests what is signed, and say anew that it is the newest. Run it daily from a timer."""
    desk = _open(config, policy)
    if not check:
        done = desk.publish()
        print_json(asdict(done)) if json else typer.echo(
            "\n".join([*done.written, *map(_render_waiting, done.waiting)])
        )
        return
    expiries, gaps = desk.list_expiries(), desk.list_threshold_gaps()
    if json:
        print_json({
            "documents": [_describe_expiry(expiry) for expiry in expiries],
            "thresholds": [_describe_gap(gap) for gap in gaps],
        })  # fmt: skip
    else:
        print_table(EXPIRY_COLUMNS, [_expiry_row(expiry) for expiry in expiries])
        _print_gaps(gaps)
    if not expiries or gaps or any(expiry.warns for expiry in expiries):
        raise typer.Exit(1)


def _print_gaps(gaps: Sequence[ThresholdGap]) -> None:
    if gaps:
        rows = [(gap.role, str(gap.published), str(gap.wanted), gap.remedy) for gap in gaps]
        print_table(GAP_COLUMNS, rows)


def _describe_gap(gap: ThresholdGap) -> dict[str, Any]:
    return {**asdict(gap), "remedy": gap.remedy}


def _render_waiting(one: Waiting) -> str:
    said = f"{one.role} {one.version}"
    return f"waits: {one.why}" if one.why.startswith(said) else f"waits: {said}: {one.why}"


@app.command()
def drop(
    role: Annotated[list[TrustRole] | None, typer.Argument(help="Documents; all drafts if left out.")] = None,
    yes: Yes = False,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Forget drafts that were not published, with the signatures that they have. What is published stays."""
    drafts = [one for one in _open(config, policy).list_standings() if one.is_draft and one.role in (role or TrustRole)]
    if not drafts:
        typer.echo("no such draft waits")
        return
    for one in drafts:
        typer.echo(f"{one.role} {one.version}: signed by {', '.join(one.signed_by) or 'nobody'}")
    make_sure("Drop it? Who drafted it has to say it again", yes=yes)
    dropped = agent_keys.open_desk(config, policy, None).drop([one.role for one in drafts])
    typer.echo(f"dropped {', '.join(dropped)}")


def _expiry_row(expiry: Expiry) -> tuple[str, ...]:
    state = "OVER" if expiry.over else "ends soon" if expiry.warns else "good"
    return expiry.role, str(expiry.version), f"{expiry.expires:%Y-%m-%d %H:%M}", state, expiry.remedy


def _describe_expiry(expiry: Expiry) -> dict[str, Any]:
    return {
        "document": expiry.role,
        "version": expiry.version,
        "expires": expiry.expires,
        "warns": expiry.warns,
        "over": expiry.over,
        "remedy": expiry.remedy,
    }


@app.command()
def status(config: Config = None, policy: PolicyFile = None, json: Json = False) -> None:
    """How the documents stand, who must sign, and what is released, pinned, wished and blocked."""
    desk = _open(config, policy)
    standings, gaps = desk.list_standings(), desk.list_threshold_gaps()
    live, word = desk.read_word(published=True), desk.read_word()
    releases, pins = compare(live.releases, word.releases), compare(live.pins, word.pins)
    wishes, blocked = compare(live.wishes, word.wishes), compare(live.blocked, word.blocked)
    if json:
        print_json({
            "documents": [_describe_standing(standing) for standing in standings],
            "thresholds": [_describe_gap(gap) for gap in gaps],
            "releases": [{**asdict(one), "state": stand} for one, stand in releases],
            "pins": [{**asdict(pin), "state": stand} for pin, stand in pins],
            "wishes": [{**asdict(row), "state": stand} for row, stand in wishes],
            "blocked": [{"versions": one[0], "reason": one[1], "state": stand} for one, stand in blocked],
        })  # fmt: skip
        return
    print_table(STANDING_COLUMNS, [_standing_row(standing) for standing in standings])
    _print_gaps(gaps)
    print_table(RELEASE_COLUMNS, [(*_release_row(one), stand) for one, stand in releases])
    print_table(PIN_COLUMNS, [(*_pin_row(pin), stand) for pin, stand in pins])
    print_table(WISH_COLUMNS, [
        (str(row.number), row.line, row.ring, row.packages, row.emergency, row.id[:SHORT_ID], stand)
        for row, stand in wishes
    ])  # fmt: skip
    print_table(("blocked", "reason", "state"), [(*one, stand) for one, stand in blocked])


def _release_row(one: Release) -> tuple[str, ...]:
    return one.version, one.machine, one.sha256[:SHORT_DIGEST], one.come_from or "any", one.back_to or "any"


def _pin_row(pin: PinRow) -> tuple[str, ...]:
    leads_back = "yes" if pin.downgrade else "no"
    return str(pin.number), pin.line, pin.ring, pin.asked, pin.version, leads_back, pin.emergency


def _standing_row(one: Standing) -> tuple[str, ...]:
    needed = f"{one.missing} of {', '.join(one.may_sign)}" if one.missing else ""
    state, end = "draft" if one.is_draft else "published", f"{one.expires:%Y-%m-%d %H:%M}"
    return one.role, str(one.version), state, end, ", ".join(one.signed_by), needed


def _describe_standing(one: Standing) -> dict[str, Any]:
    return {
        "document": one.role,
        "version": one.version,
        "draft": one.is_draft,
        "expires": one.expires,
        "signed_by": one.signed_by,
        "may_sign": one.may_sign,
        "missing": one.missing,
    }


@app.command()
def explain(
    vmid: Annotated[int, typer.Argument(help="The guest's number.")],
    line: Annotated[str | None, typer.Option("--line", help="Its line; looked up in Proxmox if left out.")] = None,
    installed: Annotated[
        str | None, typer.Option("--installed", help="The version that it has; it is asked if left out.")
    ] = None,
    machine: Annotated[str | None, typer.Option("--machine", help="What it runs on, such as amd64.")] = None,
    config: Config = None,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Print the rules that decide for a guest now, its packages too; the guest decides with the same ones."""
    found = _open(config, policy).explain(vmid, line, installed, machine)
    if json:
        print_json({name: getattr(found, name) for name in found.__dataclass_fields__})
    else:
        typer.echo(f"guest {found.vmid}, which has {found.installed or 'no release'} ({found.source})")
        typer.echo(f"guest {found.vmid}: {found.ruling}: {found.rule}{_tell_live(found.live)}")
        typer.echo(f"guest {found.vmid}, packages: {found.wish}: {found.wish_rule}{_tell_live(found.live_wish)}")


def _tell_live(live: str) -> str:
    return f"\n  which is a draft; guests see: {live}" if live else ""


@app.command()
def root(
    output: Annotated[Path, typer.Option("--output", help="The file to write.")],
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Write the root document that guests carry; it is public."""
    wiring.write_new(output, _open(config, policy).read_root(), 0o644)
    typer.echo(output)
