"""``zlh-hooks policy``: check the policy and print its schema."""

import typer

from zlh_hooks.cli.option import Json, PolicyFile
from zlh_hooks.cli.output import print_json
from zlh_hooks.domain.policy import Policy
from zlh_hooks.settings import find_policy, load_policy

app = typer.Typer(no_args_is_help=True)


@app.command()
def check(policy: PolicyFile = None, json: Json = False) -> None:
    """Read the policy and say whether it is sound; exit 2 and every fault if it is not."""
    loaded = load_policy(policy)
    if json:
        print_json(loaded.model_dump(mode="json"))
        return
    counts = f"{len(loaded.windows)} windows, {len(loaded.kinds)} kinds of guests, {len(loaded.lines)} lines"
    typer.echo(f"{find_policy(policy)}: sound ({counts}, times in {loaded.time_zone})")


@app.command()
def schema() -> None:
    """Print the policy's JSON Schema, for editors."""
    print_json(Policy.model_json_schema())
