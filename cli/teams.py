"""`mergekey teams` and `mergekey models`: what was asked for, what was granted, how it stands. No such team:
exit code 2.
"""

from __future__ import annotations

import json
import urllib.parse
from typing import Annotated

import typer

from cli.api import EXIT_CODES, Api, AsJson, Audience, Url

app = typer.Typer(
    help="What a team was granted, and how each part of it stands.", epilog=EXIT_CODES, no_args_is_help=True
)


@app.command("list", epilog=EXIT_CODES)
def list_(url: Url, audience: Audience, as_json: AsJson = False) -> None:
    """The teams that you may see: with the app role Reader all, else those whose group you are in."""
    from cli.tables import a_console
    from cli.team_tables import show_teams

    answer = Api(url, audience).get("teams")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    elif answer["teams"]:
        show_teams(a_console(), answer["teams"])
    else:
        typer.echo("No teams that you may see.")


@app.command(epilog=EXIT_CODES)
def show(
    team: Annotated[str, typer.Argument(help="The team's name.")],
    url: Url,
    audience: Audience,
    as_json: AsJson = False,
) -> None:
    """One team: models with limits and addresses, names of its secrets, and each part with its reason."""
    from cli.tables import a_console
    from cli.team_tables import show_team

    record = Api(url, audience).get(f"teams/{urllib.parse.quote(team, safe='')}")
    if as_json:
        typer.echo(json.dumps(record, indent=2))
    else:
        show_team(a_console(), record)


def models(url: Url, audience: Audience, as_json: AsJson = False) -> None:
    """The catalogue: what a request may ask for, at which price, and how much of it is granted already."""
    from cli.tables import a_console
    from cli.team_tables import show_models

    answer = Api(url, audience).get("models")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        show_models(a_console(), answer)
