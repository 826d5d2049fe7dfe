"""`mergekey sweep`: start a sweep now, instead of waiting for the next quarter of an hour, or show what it
would do.
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Any

import typer

from cli.api import Api, AsJson, Audience, Url, unusable
from shared.documents.problem import counted, visible

#: Seconds between two questions while a sweep is waited for.
PAUSE = 10.0

Row = dict[str, Any]


def sweep(
    url: Url,
    audience: Audience,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also compare the policies and keys of all teams, not only of some."),
    ] = False,
    team: Annotated[
        str | None, typer.Option(help="Only this team; `catalogue` for the platform's side.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, without doing it.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until nothing differs any more, by lists.")
    ] = False,
    minutes: Annotated[float, typer.Option(help="How long --wait waits at most.", min=0)] = 15,
    as_json: AsJson = False,
) -> None:
    """Queue a sweep, which corrects everything that differs from the branch."""
    api = Api(url, audience)
    if dry_run:
        if deep or wait:
            raise unusable("--dry-run goes with --team alone: lists do not show what a deep sweep finds.")
        _show(api.get("findings", {"team": team}), as_json)
        return
    answer = api.post("sweeps", {"deep": deep} | ({} if team is None else {"team": team}))
    typer.echo(json.dumps(answer) if as_json else visible(f"Queued: {answer['queued']}"))
    if wait:
        if deep:
            typer.echo("What only the deep look finds is not waited for.", err=True)
        raise typer.Exit(_wait(api, team, minutes))


def _show(answer: Row, as_json: bool) -> None:
    from cli.finding_tables import show_planned
    from cli.tables import wide_console

    if as_json:
        typer.echo(json.dumps({"planned": answer["planned"]}, indent=2))
    elif answer["planned"]:
        show_planned(wide_console(), answer["planned"])
    else:
        typer.echo("Nothing differs: a sweep would do nothing.")


def _wait(api: Api, team: str | None, minutes: float) -> int:
    """Ask until nothing differs (0), or only what waits for a person, or until the time is over (1)."""
    end, told = time.monotonic() + 60 * minutes, ""
    while True:
        planned = api.get("findings", {"team": team})["planned"]
        if not planned:
            typer.echo("Nothing differs.")
            return 0
        text = f"{counted(len(planned), 'team')} differ: {', '.join(each['team'] for each in planned)}"
        if text != told:
            typer.echo(visible(text))
        told, going_on = text, any(each["stages"] and not each["left"] for each in planned)
        if not going_on or time.monotonic() >= end:
            _show({"planned": planned}, as_json=False)
            return 1
        time.sleep(PAUSE)
