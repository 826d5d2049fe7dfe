"""`mergekey findings` and `mergekey status`: what sweeps find now, and what became of a push."""

from __future__ import annotations

import json
import urllib.parse
from typing import Annotated

import typer

from cli.api import Api, AsJson, Audience, Url


def findings(
    url: Url,
    audience: Audience,
    team: Annotated[
        str | None, typer.Option(help="Only this team; `catalogue` for the platform's side.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what a sweep would find now: differences, problems of files, and what a person must look at."""
    from cli.finding_tables import show_findings
    from cli.tables import wide_console

    answer = Api(url, audience).get("findings", {"team": team})
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    elif answer["findings"]:
        show_findings(wide_console(), answer["findings"])
    else:
        typer.echo("Nothing is found.")


def status(
    commit: Annotated[str, typer.Argument(help="A commit of the branch: its id, or at least 7 characters.")],
    url: Url,
    audience: Audience,
    as_json: AsJson = False,
) -> None:
    """Show what became of a commit, by team and part."""
    from cli.finding_tables import show_push
    from cli.tables import wide_console

    answer = Api(url, audience).get(f"pushes/{urllib.parse.quote(commit, safe='')}")
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        show_push(wide_console(), answer)
