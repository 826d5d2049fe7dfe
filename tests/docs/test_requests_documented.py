"""docs/requests.md has every key of a request in its three shapes, and its examples are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from shared.catalog.catalog import read_catalog
from shared.requests.config_map import ShapeB
from shared.requests.paths import RequestPaths
from shared.requests.request import read_request
from shared.requests.shapes import ShapeA, ShapeC

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "requests.md").read_text()
CATALOG = ROOT / "examples" / "access-repo" / "platform" / "config" / "model_catalog.yaml"
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
SECTIONS = dict(zip("ABC", re.split(r"^## Shape [ABC]$", PAGE, flags=re.MULTILINE)[1:], strict=True))


@pytest.mark.parametrize(("shape", "form"), [("A", ShapeA), ("B", ShapeB)])
def test_every_key_is_explained_in_the_section_of_its_shape(shape: str, form: type[BaseModel]) -> None:
    rows = set(
        re.findall(r"[\w/-]+", " ".join(re.findall(r"^\| (`[^|]+) \|", SECTIONS[shape], re.MULTILINE)))
    )
    assert {key.rpartition("/")[2] for key in _keys(form)} <= {row.rpartition("/")[2] for row in rows}


def test_the_short_form_explains_what_it_has_of_its_own() -> None:
    for key in set(_keys(ShapeC)) - set(_keys(ShapeA)):
        assert re.search(rf"^\| `[^|]*{key}", SECTIONS["C"], re.MULTILINE), key


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_valid_request(example: str) -> None:
    catalog = read_catalog("model_catalog.yaml", CATALOG.read_bytes()).catalog
    team = re.search(r"(?:name|team): (alpha|bravo|charlie)\b", example)
    assert team is not None
    path = f"developer-requests/{team[1]}/access.yaml"
    assert read_request(path, example.encode(), catalog, RequestPaths()).problems == ()


def test_the_first_example_shows_every_key_but_a_name_for_people() -> None:
    shown = set(re.findall(r"(\w+):", EXAMPLES[0]))
    assert set(_keys(ShapeA)) - shown == {"displayName", "costCenter", "openai"}


def _keys(form: type[BaseModel]) -> Iterator[str]:
    for name, field in form.model_fields.items():
        yield field.alias or name
        for inner in _forms(field.annotation):
            yield from _keys(inner)


def _forms(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _forms(part)
