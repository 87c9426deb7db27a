"""Asking a person before something is done."""

import typer


def make_sure(question: str, *, yes: bool, err: bool = False) -> None:
    """Go on only if a person says so, or has by ``--yes``; else ``typer.Abort``. ``err``: asked on standard error."""
    if not (yes or _ask(question, err)):
        raise typer.Abort


def _ask(question: str, err: bool) -> bool:
    try:
        return typer.confirm(question, err=err)
    except typer.Abort:
        typer.echo("\nno answer, and nothing was done: --yes is one", err=True)
        raise
