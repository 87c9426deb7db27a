"""``zlh-hooks init``: from an empty machine to a complete policy. Asks only what differs from site to site."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from zlh_hooks import wiring
from zlh_hooks.application.founding import NewFile, make_files, refuse_existing
from zlh_hooks.cli.option import Config, PolicyFile, render_options
from zlh_hooks.domain.attestation import CONFIRMED
from zlh_hooks.domain.errors import ZlhError
from zlh_hooks.domain.founding import (
    ASKED,
    NOT_ASKED,
    QUESTIONS,
    Answers,
    check_answer,
    render_settings,
    render_site,
)
from zlh_hooks.domain.handbook import render_unconfirmed
from zlh_hooks.domain.wording import render_list
from zlh_hooks.settings import SHIPPED_POLICY, find_policy, find_settings, load_policy, load_settings

SITE = "site.toml"


def found_site(
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing: this machine's time zone, and placeholders to confirm.")
    ] = False,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Write a complete policy, what differs here, and how to reach Proxmox. No file that exists is touched."""
    place, reach = find_policy(policy).absolute(), find_settings(config).absolute()
    site = place.with_suffix(".d") / SITE
    refuse_existing([NewFile(path, "", 0) for path in (place, site, reach)])
    answers = Answers(time_zone=wiring.read_time_zone(), token_file=reach.parent / "token")
    answers = answers if defaults else _ask(answers)
    files = (
        NewFile(site, render_site(answers, (*ASKED, *NOT_ASKED)), 0o640),
        NewFile(reach, render_settings(answers), 0o640),
        NewFile(place, SHIPPED_POLICY.read_text(encoding="utf-8"), 0o644),
    )
    make_files(files, wiring.write_new)
    load_policy(place)
    load_settings(reach)
    confirmed = () if defaults else _confirm(reach, place)
    unconfirmed = tuple(key for key in (*ASKED, *NOT_ASKED) if key not in confirmed)
    _tell(files, answers, unconfirmed, render_options(config, policy))


def _confirm(config: Path, policy: Path) -> tuple[str, ...]:
    """What a person has just typed is confirmed, where that can be recorded."""
    try:
        desk = wiring.open_site(config, policy).launch_desk()
        for key in ASKED:
            desk.attest(CONFIRMED + key, "typed at init")
    except ZlhError as error:
        typer.echo(f"What you typed is confirmed by nobody yet, because that cannot be recorded: {error}", err=True)
        return ()
    return ASKED


def _ask(known: Answers) -> Answers:
    try:
        given = {key: _ask_one(key, question, str(getattr(known, key))) for key, question in QUESTIONS}
    except typer.Abort:
        typer.echo("\nno answer, and nothing was written: --defaults asks nothing", err=True)
        raise
    return Answers.model_validate(given)


def _ask_one(key: str, question: str, default: str) -> str:
    def check(text: str) -> str:
        try:
            return check_answer(key, text.strip())
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return str(typer.prompt(question, default=default, value_proc=check))


def _tell(files: tuple[NewFile, ...], answers: Answers, unconfirmed: tuple[str, ...], options: str) -> None:
    """What was made, what is still a guess, and what comes next."""
    site, reach, _ = files
    for file in files:
        typer.echo(f"wrote {file.path}")
    typer.echo(f"\nStill to be confirmed by a person, in {site.path} (zlh-hooks ready says how):")
    typer.echo(f"  {render_list(render_unconfirmed(unconfirmed))}")
    if "time_zone" in unconfirmed:
        typer.echo(f"  The time zone is this machine's: {answers.time_zone}")
    policy = options[options.find(" --policy") :] if " --policy" in options else ""
    typer.echo("\nNext:")
    typer.echo(f"  1. Look at {reach.path}, and on a host make the token:")
    typer.echo(f"       pveum user add {answers.user}; pveum user token add {answers.user} {answers.token_name}")
    typer.echo(f"     Its secret goes into {answers.token_file}, mode 0640.")
    typer.echo(f"  2. zlh-hooks policy check{policy}")
    typer.echo(f"  3. zlh-hooks ready pve{options}")
    typer.echo(
        f"  4. How customers are found and told goes into {reach.path} too: directory, mail, webhook, feed, operator,"
    )
    key = reach.path.parent / "deferral-key"
    typer.echo("     and deferral, for links by which they choose another date. Its key, for key_file:")
    typer.echo(f"       (umask 077; openssl rand -hex 32 > {shlex.quote(str(key))})")
    typer.echo(f"  5. zlh-hooks policy render --html --output pages/{options}")
    typer.echo("     pages/first-run.html is the way from here to the first window.")
    typer.echo(f"  6. zlh-hooks ready{options}")
    typer.echo("     It names all that is missing before the launch, and what makes it right.")
