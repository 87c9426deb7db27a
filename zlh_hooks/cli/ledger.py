"""``zlh-hooks ledger``: look at the record, prove it, copy it."""

import json as plain
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer

from zlh_hooks import wiring
from zlh_hooks.cli.option import Config, Json
from zlh_hooks.cli.output import print_json, print_table
from zlh_hooks.domain.entry import GENESIS, Entry
from zlh_hooks.domain.errors import NotAllowed, SettingsError
from zlh_hooks.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True)
COLUMNS = ("entry", "at (UTC)", "rollout", "guest", "kind", "name", "data")


@app.command()
def show(
    rollout: Annotated[str | None, typer.Option("--rollout", help="Only entries of this rollout.")] = None,
    target: Annotated[int | None, typer.Option("--target", help="Only entries of this guest (VMID).")] = None,
    last: Annotated[int | None, typer.Option("--last", help="Only the newest N of them.", min=1)] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Print entries, oldest first."""
    with closing(wiring.open_ledger(_find(config))) as ledger:
        entries = ledger.read(rollout)
    if rollout is not None and not entries:
        raise NotAllowed(f"the ledger has no entry of a rollout {rollout}: zlh-hooks rollout list")
    of_target = [entry for entry in entries if target is None or entry.target == target]
    chosen = of_target[-last:] if last else of_target
    if json:
        print_json([_describe(entry) for entry in chosen])
    else:
        print_table(COLUMNS, [_row(entry) for entry in chosen])


@app.command()
def verify(config: Config = None, json: Json = False) -> None:
    """Follow the whole chain, and look at the file too.

    Entries cut off at its end show only in the last digest: keep that elsewhere.
    """
    settings = _find(config)
    with closing(wiring.open_ledger(settings)) as ledger:
        entries = ledger.verify()
    last = entries[-1].digest if entries else GENESIS
    if json:
        print_json({"entries": len(entries), "last_digest": last})
    else:
        typer.echo(f"{settings.ledger.path}: {len(entries)} entries, each as it was written; last digest {last}")


@app.command()
def copy(
    destination: Annotated[Path, typer.Argument(help="A new file; one that exists is never replaced.")],
    config: Config = None,
) -> None:
    """Write a verified copy that is consistent, also while a worker records.

    To restore one, end the worker, remove the ledger with its -wal and -shm files, and put the copy in its place.
    """
    with closing(wiring.open_ledger(_find(config))) as ledger:
        ledger.copy_to(destination)
    typer.echo(f"{destination}: copied and verified")


def _find(config: Path | None) -> Settings:
    """Settings whose ledger is there: who only looks must not make an empty one where a path is mistyped."""
    settings = load_settings(config)
    path = settings.ledger.path
    try:
        path.stat()
    except OSError as error:
        found = (error.strerror or "nothing").lower()
        raise SettingsError(str(path), "ledger.path", found, "a ledger; the first rollout makes it") from error
    return settings


def _row(entry: Entry) -> tuple[str, ...]:
    target = "" if entry.target is None else str(entry.target)
    at = entry.at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    data = plain.dumps(entry.data) if entry.data else ""
    return (str(entry.sequence), at, entry.rollout, target, entry.kind.value, entry.name, data)


def _describe(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "at": entry.at.isoformat(),
        "kind": entry.kind.value,
        "name": entry.name,
        "rollout": entry.rollout,
        "target": entry.target,
        "data": entry.data,
        "previous": entry.previous,
        "digest": entry.digest,
    }
