"""`mergekey schema`: the JSON Schemas of requests and of the catalogue, for editors."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from shared.catalog.catalog import Catalog

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Subject(StrEnum):
    """The kinds of files that have a schema."""

    REQUEST = "request"
    CATALOG = "catalog"


def schema(
    subject: Annotated[Subject, typer.Argument(help="request (access.yaml) or catalog (model_catalog.yaml)")],
    catalog: Annotated[
        Path | None, typer.Option(help="A catalogue, whose models the schema of a request names.")
    ] = None,
) -> None:
    """Print the JSON Schema of a request or of the catalogue. Exit code 2: the catalogue has problems."""
    if subject is Subject.REQUEST:
        from cli.request_schema import request_schema

        found = request_schema(None if catalog is None else _read(catalog))
    elif catalog is not None:
        raise typer.BadParameter("Only the schema of a request takes a catalogue.", param_hint="--catalog")
    else:
        found = _catalog()
    typer.echo(json.dumps({"$schema": _DIALECT, **found}, indent=2))


def _read(file: Path) -> Catalog:
    """The catalogue in a file; one with problems names no models."""
    from shared.catalog.catalog import read_catalog

    try:
        found = read_catalog(str(file), file.read_bytes())
    except OSError as error:
        raise typer.BadParameter(f"Cannot read {file}: {error.strerror}.", param_hint="--catalog") from error
    if found.catalog is None:
        first = found.problems[0]
        place = f"{file}:{first.line}:{first.column} {first.reason}: {first.message}"
        raise typer.BadParameter(f"{place} Run 'mergekey validate' for all problems.", param_hint="--catalog")
    return found.catalog


def _catalog() -> dict[str, object]:
    from cli.request_schema import WrittenSchema
    from shared.catalog.catalog_schema import CatalogSchema

    return CatalogSchema.model_json_schema(schema_generator=WrittenSchema)
