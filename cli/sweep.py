"""`mergekey sweep`: start a sweep now, instead of waiting for the next quarter of an hour."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.api import Api, Audience, Url
from shared.documents.problem import visible


def sweep(
    url: Url,
    audience: Audience,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Also compare the policies and keys of all teams, not only of some."),
    ] = False,
) -> None:
    """Queue a sweep, which corrects everything that differs from the branch."""
    answer = Api(url, audience).post("sweeps", {"deep": deep})
    typer.echo(visible(f"Queued: {answer['queued']}"))
