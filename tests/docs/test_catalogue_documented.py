"""docs/catalogue.md has every key of the catalogue with its default, and its examples are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from shared.catalog.catalog import read_catalog
from shared.catalog.catalog_schema import CatalogSchema

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "catalogue.md").read_text()
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_key_is_explained_and_every_explained_key_exists() -> None:
    assert {key: default == "required" for key, default in _rows()} == dict(_keys(CatalogSchema, ""))


def test_no_key_is_explained_twice() -> None:
    assert len(list(_rows())) == len(dict(_rows()))


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_valid_catalogue(example: str) -> None:
    assert read_catalog("model_catalog.yaml", example.encode()).problems == ()


def test_the_examples_show_every_key() -> None:
    shown = "".join(EXAMPLES)
    for key, _ in _rows():
        assert re.search(rf"\b{key.rpartition('.')[2]}:", shown), key


def _rows() -> Iterator[tuple[str, str]]:
    yield from re.findall(r"^\| `([\w.\[\]]+)` \| ([^|]+?) \|", PAGE, re.MULTILINE)


def _keys(form: type[BaseModel], prefix: str) -> Iterator[tuple[str, bool]]:
    """Every key by its way from its model, and whether it must be there."""
    for name, field in form.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        yield key, field.is_required()
        inner = next(_forms(field.annotation), None)
        if inner is not None:
            step = {"models": "", "pool": "pool[]."}.get(key, f"{key}.")
            yield from _keys(inner, step)


def _forms(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _forms(part)
