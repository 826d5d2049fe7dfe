"""`mergekey findings`, `mergekey status` and `mergekey sweep` without a platform: what is asked and shown,
and how they end.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from cli import finding_tables
from cli.api import Api
from cli.main import app
from tests.api_page import examples

ADDRESS = {"MERGEKEY_URL": "https://contoso-mk-app.azurewebsites.net", "MERGEKEY_AUDIENCE": "api://1"}
EVIL = "\x1b[2J[bold red]x[/]\r\n"


class Answers:
    """The API: `findings` are given one after the other, the last one again and again."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *planned: list[dict[str, Any]]) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._planned: Iterator[list[dict[str, Any]]] = iter(planned)
        self._last: list[dict[str, Any]] = []
        monkeypatch.setattr(Api, "get", self._get)
        monkeypatch.setattr(Api, "post", self._post)
        monkeypatch.setattr("cli.sweep.PAUSE", 0)

    def _get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        self.asked.append((path, query))
        if path.startswith("pushes/"):
            return examples()["show_push"][1]
        self._last = next(self._planned, self._last)
        return {**examples()["list_findings"][1], "planned": self._last}

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        self.asked.append((path, body))
        return {"queued": "sweep-1"}


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words, env=ADDRESS)


def planned(**changed: Any) -> dict[str, Any]:
    [found] = examples()["list_findings"][1]["planned"]
    return {**found, **changed}


def test_findings_are_listed_with_their_kind_and_team(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(monkeypatch)
    done = run("findings", "--team", "alpha")
    assert (done.exit_code, answers.asked) == (0, [("findings", {"team": "alpha"})])
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["difference", "alpha"] in [row[:2] for row in rows]
    assert "alert" in [row[0] for row in rows]


def test_a_status_shows_each_part_of_each_team(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(monkeypatch)
    done = run("status", "3c3be1c")
    assert (done.exit_code, answers.asked[0][0]) == (0, "pushes/3c3be1c")
    assert {"alpha", "Gateway", "InProgress", "…"} <= set(done.stdout.split())


def test_a_dry_run_prints_what_would_be_done_and_orders_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(monkeypatch, [planned()], [])
    done = run("sweep", "--dry-run", "--team", "alpha")
    assert (done.exit_code, answers.asked) == (0, [("findings", {"team": "alpha"})])
    assert {"alpha", "requested", "gateway"} <= set(done.stdout.split())
    assert run("sweep", "--dry-run").exit_code == 0
    assert run("sweep", "--dry-run", "--deep").exit_code == 2


def test_a_sweep_is_waited_for_until_nothing_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = Answers(monkeypatch, [planned()], [planned()], [])
    done = run("sweep", "--team", "alpha", "--wait")
    assert done.exit_code == 0
    assert answers.asked[0] == ("sweeps", {"deep": False, "team": "alpha"})
    assert len(answers.asked) == 4
    assert done.stdout.count("differ: alpha") == 1


def test_a_wait_ends_where_only_a_person_can_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = planned(stages=[], blocked=["provision-gateway"])
    answers = Answers(monkeypatch, [planned()], [stuck])
    done = run("sweep", "--wait")
    assert (done.exit_code, len(answers.asked)) == (1, 3)
    assert "dead letter" in done.stdout


def test_a_wait_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    Answers(monkeypatch, [planned()])
    assert run("sweep", "--wait", "--minutes", "0").exit_code == 1


@pytest.mark.parametrize("width", [80, 130])
def test_findings_fit_the_terminal_and_do_nothing_to_it(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    [one, *_] = examples()["list_findings"][1]["findings"]
    evil = {**one, "message": EVIL * 9, "team": "payments-platform", "path": f"a/{EVIL}"}
    push = json.loads(json.dumps(examples()["show_push"][1]))
    finding_tables.show_findings(console, [one, evil])
    finding_tables.show_planned(console, [planned(differences=["x " * 90]), planned(left="y " * 60)])
    finding_tables.show_push(console, {**push, "findings": [evil]})
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "payments-platform" in text
