"""`mergekey sweep`: have everything looked at now instead of at the next quarter of an hour."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.api import Api, Audience, Url
from shared.documents.problem import visible


def sweep(
    url: Url,
    audience: Audience,
    deep: Annotated[
        bool, typer.Option("--deep", help="Compare policies and keys of all teams too, not of a slice only.")
    ] = False,
) -> None:
    """Queue a sweep: what is not as the branch says is mended."""
    answer = Api(url, audience).post("sweeps", {"deep": deep})
    typer.echo(visible(f"Queued: {answer['queued']}"))
