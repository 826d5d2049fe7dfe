"""Alerts and the workbook ask for what the app logs: its functions by name, its lines by their words, and the
numbers in them by their names.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import timedelta
from typing import Any, get_args

import pytest

from shared import calls, telemetry
from shared.adapters import github_answers
from shared.calls import Kind, Outcome, counted
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
#: The line of numbers.
MEASURED = "Measured: "


def _functions() -> set[str]:
    found = re.findall(r"^async def (\w+)\(", "".join(_triggers()), re.MULTILINE)
    return set(found)


def _triggers() -> list[str]:
    return [path.read_text() for path in sorted((ROOT / "functions").glob("*.py"))]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_functions_and_lines_that_there_are(query: str) -> None:
    assert set(re.findall(r"\b(?:name|called) == '(\w+)'", query)) <= _functions()
    assert set(re.findall(r"startswith '([^']+)'", query)) <= LABELS | {"Sweeps: sweep done", MEASURED}
    words = [text.strip(" :") for text in re.findall(r"\bhas '([^']+)'", query)]
    assert [text for text in words if not all(part in CODE for part in text.split(": "))] == []


@pytest.mark.parametrize("query", [query for query in QUERIES if "requests" in query])
def test_a_function_is_looked_for_under_both_names_that_hosts_give(query: str) -> None:
    """A host in its OpenTelemetry mode names a request by its route, and the function in an attribute."""
    assert "requests | extend called = coalesce(tostring(customDimensions['faas.name']), name)" in query


def _line(caplog: pytest.LogCaptureFixture) -> str:
    """A line of numbers in which everything stands that can."""
    calls.take()
    for status in (200, 404, 429, 400, 500):
        with counted(github_answers.SYSTEM, "GET") as call:
            call.answered(status, "7")
    with caplog.at_level(logging.INFO, "mergekey"):
        telemetry.measured("sweeps", timedelta(seconds=1))
    [line] = caplog.messages
    return line


def test_queries_read_the_line_of_numbers_from_where_they_begin(caplog: pytest.LogCaptureFixture) -> None:
    line = _line(caplog)
    asking = [query for query in QUERIES if f"startswith '{MEASURED}'" in query]
    offsets = {text for query in asking for text in re.findall(r"substring\(message, (\d+)\)", query)}
    assert offsets == {str(len(MEASURED))}
    assert json.loads(line[len(MEASURED) :])["work"] == "sweeps"


def test_queries_ask_for_all_numbers_and_no_others(caplog: pytest.LogCaptureFixture) -> None:
    numbers: dict[str, Any] = json.loads(_line(caplog).removeprefix(MEASURED))
    asked = {name for query in QUERIES for name in re.findall(r"(?:measured|10\)\))\['(\w+)'\]", query)}
    assert asked == set(numbers)
    of_calls = {name for query in QUERIES for name in re.findall(r"\bcall\['(\w+)'\]", query)}
    assert of_calls == set(numbers["calls"][0]) == {"to", "kind", "left", *get_args(Outcome)}
    systems = {name for query in QUERIES for name in re.findall(r"call\['to'\]\) == '(\w+)'", query)}
    assert systems == {github_answers.SYSTEM}
    assert numbers["calls"][0]["kind"] in get_args(Kind)


def test_every_query_has_a_title_of_its_own() -> None:
    titles = [one["title"] for one in WORKBOOK]
    assert len(set(titles)) == len(titles)
