"""`mergekey teams` and `mergekey models`: the access of teams, and the models of the catalogue. An unknown
team gives exit code 1.
"""

from __future__ import annotations

import json
import urllib.parse
from typing import Annotated

import typer

from cli.api import EXIT_CODES, Api, AsJson, Audience, Url
from cli.recipes import RECIPES, lines_to_copy

app = typer.Typer(
    help="The access of teams, and the condition of each part.", epilog=EXIT_CODES, no_args_is_help=True
)


@app.command("list", epilog=EXIT_CODES)
def list_(url: Url, audience: Audience, as_json: AsJson = False) -> None:
    """List the teams that you may see: all with the app role Reader, otherwise those of your groups."""
    from cli.tables import wide_console
    from cli.team_tables import show_teams

    answer = Api(url, audience).get("teams")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    elif answer["teams"]:
        show_teams(wide_console(), answer["teams"])
    else:
        typer.echo("There are no teams that you may see.")


@app.command(epilog=EXIT_CODES)
def show(
    team: Annotated[str, typer.Argument(help="The team's name.")],
    url: Url,
    audience: Audience,
    as_json: AsJson = False,
    client: Annotated[
        str | None,
        typer.Option(help=f"Print the lines for a client and nothing else: {', '.join(RECIPES)}, or all."),
    ] = None,
) -> None:
    """Show one team: models with limits and addresses, names of secrets, the condition of each part, and the
    clients for which there are lines to copy.
    """
    from cli.tables import wide_console
    from cli.team_tables import show_team

    if client not in {None, "all", *RECIPES}:
        raise typer.BadParameter(f"one of: {', '.join(RECIPES)}, all", param_hint="--client")

    record = Api(url, audience).get(f"teams/{urllib.parse.quote(team, safe='')}")
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    elif client:
        typer.echo(lines_to_copy(record, client))
    else:
        show_team(wide_console(), record)


def models(url: Url, audience: Audience, as_json: AsJson = False) -> None:
    """List the models that a request may name, with their prices and how much is granted already."""
    from cli.tables import wide_console
    from cli.team_tables import show_models

    answer = Api(url, audience).get("models")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        show_models(wide_console(), answer)
