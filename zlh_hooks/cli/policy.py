"""``zlh-hooks policy``: check the policy, print its schema, render the pages that people read."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from zlh_hooks.application.launch import LaunchDesk
from zlh_hooks.cli.option import Config, Json, PolicyFile, UnreadConfig, UnreadPolicyFile
from zlh_hooks.cli.output import print_json
from zlh_hooks.domain.errors import ZlhError
from zlh_hooks.domain.handbook import Page
from zlh_hooks.domain.policy import Policy
from zlh_hooks.domain.window import list_hints
from zlh_hooks.settings import find_policy, list_fragments, load_policy

app = typer.Typer(no_args_is_help=True)
SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@app.command()
def check(_config: UnreadConfig = None, policy: PolicyFile = None, json: Json = False) -> None:
    """Read the policy and say whether it is sound; exit 2 and every fault if it is not."""
    loaded = load_policy(policy)
    hints = list_hints(loaded, datetime.now(UTC))
    files = [str(file) for file in list_fragments(find_policy(policy))]
    if json:
        print_json({"files": files, "hints": hints, "policy": loaded.model_dump(mode="json")})
        return
    counts = f"{len(loaded.windows)} windows, {len(loaded.kinds)} kinds of guests, {len(loaded.lines)} lines"
    typer.echo(f"{', '.join(files)}: sound ({counts}, times in {loaded.time_zone})")
    for hint in hints:
        typer.echo(f"note: {hint}")


@app.command()
def schema(_config: UnreadConfig = None, _policy: UnreadPolicyFile = None) -> None:
    """Print the policy's JSON Schema, for editors."""
    print_json({"$schema": SCHEMA_DIALECT} | Policy.model_json_schema())


@app.command()
def render(
    pages: Annotated[list[Page] | None, typer.Argument(help="Which pages; all if left out.")] = None,
    html: Annotated[bool, typer.Option("--html", help="HTML instead of Markdown; no scripts, one file each.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file for one page, or a folder; else it is printed.")
    ] = None,
    config: Config = None,
    policy: PolicyFile = None,
) -> None:
    """Print the pages for customers and for the people on duty, from the policy as it is enforced.

    What is written to files is recorded in the ledger, for `zlh-hooks ready`.
    """
    from zlh_hooks import wiring

    wanted = tuple(dict.fromkeys(pages or Page))
    if output is None and len(wanted) > 1:
        raise typer.BadParameter("several pages go into a folder: --output DIR", param_hint="--output")
    loaded = load_policy(policy)
    if output is None:
        typer.echo(wiring.open_press(loaded, html, wanted).render(wanted[0]), nl=False)
        return
    desk = _find_desk(config, policy)
    press = wiring.open_press(desk.confirmed() if desk else loaded, html, wanted)
    written = []
    for path in press.publish(output):
        typer.echo(path)
        written.append(path)
    if desk:
        desk.note_rendered(zip(wanted, written, strict=True))


def _find_desk(config: Path | None, policy: Path | None) -> LaunchDesk | None:
    """Where it is recorded which pages were rendered; None, and said so, where no ledger can be reached."""
    from zlh_hooks import wiring

    try:
        return wiring.open_site(config, policy).launch_desk()
    except ZlhError as error:
        typer.echo(f"not recorded, and `zlh-hooks ready` will not know of it: {error}", err=True)
        return None
