"""Alerts and the workbook ask for what the app logs: its functions by name, its lines by their words."""

from __future__ import annotations

import json
import re

import pytest

from shared.messaging.routes import STAGES
from tests.conftest import ROOT

WORKBOOK = json.loads((ROOT / "infra" / "workbook.json").read_text())
QUERIES = [
    *(one["query"] for one in WORKBOOK),
    *re.findall(r'^    query += "(.+)"$', (ROOT / "infra" / "monitoring.tf").read_text(), re.MULTILINE),
]
#: What the app writes into its log, in the words of its code.
CODE = "".join(path.read_text() for path in sorted((ROOT / "shared").rglob("*.py")))
#: The beginnings of lines, which are names of stages.
LABELS = {f"{stage.label}: " for stage in STAGES} | {"Sweep: "}


def _functions() -> set[str]:
    found = re.findall(r"^async def (\w+)\(", "".join(_triggers()), re.MULTILINE)
    return set(found)


def _triggers() -> list[str]:
    return [path.read_text() for path in sorted((ROOT / "functions").glob("*.py"))]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_functions_and_lines_that_there_are(query: str) -> None:
    assert set(re.findall(r"\bname == '(\w+)'", query)) <= _functions()
    assert set(re.findall(r"startswith '([^']+)'", query)) <= LABELS | {"Sweeps: sweep done"}
    words = [text.strip(" :") for text in re.findall(r"\bhas '([^']+)'", query)]
    assert [text for text in words if not all(part in CODE for part in text.split(": "))] == []


def test_every_query_has_a_title_of_its_own() -> None:
    titles = [one["title"] for one in WORKBOOK]
    assert len(set(titles)) == len(titles)
