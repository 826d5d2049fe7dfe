"""Files that people write wrong: each is answered in the right place with what to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.catalog.catalog import read_catalog
from shared.documents.problem import Problem
from shared.requests.paths import RequestPaths
from shared.requests.request import read_request
from tests.branch.golden import REQUEST, catalog_file

TABLE: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    (Path(__file__).parent / "wrong_files.yaml").read_text(encoding="utf-8")
)
OFFER = read_catalog("model_catalog.yaml", catalog_file().content).catalog


@dataclass(frozen=True)
class Case:
    """A wrong file, and for each problem its line, column, reason, and words of its message."""

    text: str
    told: list[list[Any]]


def _cases(kind: str) -> list[Case]:
    return [Case(each["file"], each["told"]) for each in TABLE[kind]]


def _first_difference(told: tuple[Problem, ...], expected: list[list[Any]]) -> str:
    places = [(each.line, each.column, each.reason) for each in told]
    if places != [tuple(each[:3]) for each in expected]:
        return f"{places}"
    return "".join(
        f"{each.message!r} has no {words!r}"
        for each, (*_, words) in zip(told, expected, strict=True)
        if words not in each.message
    )


@pytest.mark.parametrize("case", _cases("requests"), ids=lambda case: repr(case.text[-40:]))
def test_a_wrong_request_is_answered_in_place_with_what_to_do(case: Case) -> None:
    found = read_request(REQUEST, case.text.encode(), OFFER, RequestPaths())
    assert found.request is None
    assert _first_difference(found.problems, case.told) == ""


@pytest.mark.parametrize("case", _cases("catalogues"), ids=lambda case: repr(case.text[-40:]))
def test_a_wrong_catalogue_is_answered_in_place_with_what_to_do(case: Case) -> None:
    found = read_catalog("platform/config/model_catalog.yaml", case.text.encode())
    assert found.catalog is None
    assert _first_difference(found.problems, case.told) == ""


def test_every_message_about_a_wrong_file_is_a_sentence_without_hidden_characters() -> None:
    for case in _cases("requests"):
        for problem in read_request(REQUEST, case.text.encode(), OFFER, RequestPaths()).problems:
            assert problem.message.endswith((".", "?"))
            assert problem.message.isprintable()
