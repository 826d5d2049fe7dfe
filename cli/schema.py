"""`mergekey schema`: the JSON Schemas of requests and of the catalogue, for editors."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Subject(StrEnum):
    """The kinds of files that have a schema."""

    REQUEST = "request"
    CATALOG = "catalog"


def schema(
    subject: Annotated[Subject, typer.Argument(help="request (access.yaml) or catalog (model_catalog.yaml)")],
) -> None:
    """Print the JSON Schema of a request or of the catalogue."""
    found = _request() if subject is Subject.REQUEST else _catalog()
    typer.echo(json.dumps({"$schema": _DIALECT, **found}, indent=2))


def _request() -> dict[str, object]:
    from pydantic.json_schema import models_json_schema

    from shared.requests.request import SHAPES

    references, definitions = models_json_schema(
        [(shape, "validation") for shape in SHAPES], title="Access request"
    )
    return {**definitions, "anyOf": [references[shape, "validation"] for shape in SHAPES]}


def _catalog() -> dict[str, object]:
    from shared.catalog.catalog_schema import CatalogSchema

    return CatalogSchema.model_json_schema()
