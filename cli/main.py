"""The `mergekey` command. Modules import large packages inside functions, so that the command starts fast."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from cli import dead_letters, teams
from cli.api import EXIT_CODES
from cli.findings import findings, status
from cli.schema import schema
from cli.sweep import sweep
from cli.validate import validate

app = typer.Typer(
    name="mergekey",
    help="Self-service access to AI models: merge a YAML file, fetch a key.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mergekey {metadata.version('mergekey')}")
        raise typer.Exit


@app.callback()
def mergekey(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Self-service access to AI models: merge a YAML file, fetch a key."""


app.command()(validate)
app.command()(schema)
app.add_typer(dead_letters.app, name="dead-letters")
app.command(epilog=EXIT_CODES)(sweep)
app.command(epilog=EXIT_CODES)(findings)
app.command(epilog=EXIT_CODES)(status)
app.add_typer(teams.app, name="teams")
app.command(epilog=EXIT_CODES)(teams.models)
