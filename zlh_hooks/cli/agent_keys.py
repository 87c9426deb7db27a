"""``zlh-hooks agent keys``: whose signatures count. Changes are drafts until enough people have signed them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.application.agent_desk import AgentDesk
from zlh_hooks.application.agent_key_desk import AgentKeyDesk
from zlh_hooks.cli.option import Config, PolicyFile, Yes
from zlh_hooks.cli.question import make_sure
from zlh_hooks.domain.agent_trust import PERSON, SIGNED_BY_PEOPLE, Purpose, Standing, TrustRole
from zlh_hooks.domain.agent_word import list_news
from zlh_hooks.domain.errors import SettingsError
from zlh_hooks.settings import read_secret

app = typer.Typer(no_args_is_help=True)
Holder = Annotated[str, typer.Argument(help="A short name: a person, the sealed key, the machine.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option("--password-file", help="Holds the key's password; not world-readable. Left out: you are asked."),
]


Ask = Callable[[str, bool], str]
"""Whose password, and whether it is a new one."""


def open_ask(password_file: Path | None) -> Ask:
    """Passwords come from a file or from whoever sits here, never from arguments."""

    def ask(holder: str, is_new: bool) -> str:
        if password_file is not None:
            return read_secret(password_file, "--password-file")
        text = f"{'New password' if is_new else 'Password'} for the keys of {holder}"
        return str(typer.prompt(text, hide_input=True, confirmation_prompt=is_new, err=True))

    return ask


def open_desk(config: Path | None, policy: Path | None, password_file: Path | None) -> AgentKeyDesk:
    """The desk of this site."""
    return wiring.open_site(config, policy).agent_key_desk(open_ask(password_file))


@app.command()
def found(
    person: Annotated[list[str], typer.Argument(help="Short names of the people who sign, such as anna ben.")],
    sealed: Annotated[str, typer.Option("--sealed", help="Name of the key that goes into a safe.")] = "sealed",
    online: Annotated[str, typer.Option("--online", help="Name of the key of the machine that publishes.")] = "online",
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Begin: make the keys that are not here yet, and a repository in which they count."""
    signed = open_desk(config, policy, password_file).found(person, sealed, online)
    typer.echo(f"signed by {', '.join(signed) or 'nobody here'}")
    typer.echo(f"Move {sealed}.root.key to where nobody signs by habit. Next: zlh-hooks agent status")


@app.command()
def new(
    holder: Holder,
    root: Annotated[bool, typer.Option("--root", help="A root key alone, to be sealed.")] = False,
    online: Annotated[bool, typer.Option("--online", help="An online key alone, for a machine.")] = False,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Make key files: a person's three, or one alone. They count when they were added, signed and published."""
    if root and online:
        raise typer.BadParameter("--root or --online, not both")
    purposes = (Purpose.ROOT,) if root else (Purpose.ONLINE,) if online else PERSON
    open_desk(config, policy, password_file).make(holder, purposes)
    typer.echo(f"made {', '.join(purposes)} keys of {holder}; others need {holder}.public.json alone")


@app.command()
def add_person(holder: Holder, config: Config = None, policy: PolicyFile = None) -> None:
    """Let a person's keys count. Their HOLDER.public.json must be among this machine's keys."""
    open_desk(config, policy, None).add_person(holder)
    _tell_draft()


@app.command()
def remove_person(holder: Holder, config: Config = None, policy: PolicyFile = None) -> None:
    """Let a person's keys, or the sealed key, count no more."""
    open_desk(config, policy, None).remove_person(holder)
    _tell_draft()


@app.command()
def replace_online(holder: Holder, config: Config = None, policy: PolicyFile = None) -> None:
    """Let the machine sign with another key, after the old one was lost or stolen."""
    open_desk(config, policy, None).replace_online(holder)
    _tell_draft()


@app.command()
def renew(
    role: Annotated[list[TrustRole] | None, typer.Argument(help="Documents; all that people sign if left out.")] = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Give documents a new end, before the old one comes."""
    open_desk(config, policy, None).renew(role or ())
    _tell_draft()


@app.command()
def sign(
    holder: Holder,
    role: Annotated[list[TrustRole] | None, typer.Argument(help="Documents; all that wait if left out.")] = None,
    yes: Yes = False,
    password_file: PasswordFile = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Show the drafts that wait for you, what is new in them and whose keys count by them, ask, and sign."""
    wanted = role or SIGNED_BY_PEOPLE
    desk = wiring.open_site(config, policy).agent_desk(open_ask(None))
    standings = desk.list_standings()
    waiting = [one for one in standings if one.is_draft and one.role in wanted and holder in one.may_sign]
    if not waiting:
        typer.echo(f"nothing waits for {holder}")
        return
    known = {one.role: render_holders(one) for one in standings if not one.is_draft}
    for one in waiting:
        typer.echo(f"{one.role} {one.version}: {render_holders(one)} count; until now {known.get(one.role, 'nobody')}")
    print_news(desk, [one.role for one in waiting])
    make_sure(f"Sign as {holder}?", yes=yes)
    signed = open_desk(config, policy, password_file).sign(holder, [one.role for one in waiting])
    typer.echo(f"{holder} signed {', '.join(signed)}")


@app.command("import")
def take(
    folder: Annotated[Path, typer.Argument(help="A copy of the folder of drafts ([agents] folder), signed elsewhere.")],
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Take the signatures that people have given elsewhere, beside those that are here."""
    if not folder.is_dir():
        raise SettingsError(str(folder), "folder", "no folder", "a copy of the folder of drafts, signed elsewhere")
    taken = open_desk(config, policy, None).take_signatures(folder)
    typer.echo(f"new signatures: {', '.join(taken) or 'none'}; what is still needed: zlh-hooks agent status")


def print_news(desk: AgentDesk, roles: Sequence[TrustRole]) -> None:
    """What whoever signs these drafts puts a name to."""
    news = list_news(desk.read_word(published=True), desk.read_word())
    for role in roles:
        for line in news.get(role, ()):
            typer.echo(f"  {role}: {line}")


def render_holders(one: Standing) -> str:
    """Everybody whose keys count for a document."""
    return ", ".join(sorted({*one.signed_by, *one.may_sign}))


def _tell_draft() -> None:
    typer.echo("drafted; who must sign it: zlh-hooks agent status")
