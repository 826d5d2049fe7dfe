"""`mergekey teams` and `mergekey models` without a platform: what is shown. Against one:
tests/end_to_end/test_asking.py.
"""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli import team_tables
from cli.api import Api
from cli.main import app
from tests.api_page import examples

ADDRESS = {"MERGEKEY_URL": "https://contoso-mk-app.azurewebsites.net", "MERGEKEY_AUDIENCE": "api://1"}
EVIL = "\x1b[2J[bold red]x[/]\r\n"


def shown(show: Any, *arguments: Any) -> str:
    console = Console(file=io.StringIO(), width=250)
    show(console, *arguments)
    assert isinstance(console.file, io.StringIO)
    return re.sub(" +", " ", console.file.getvalue())


def a_record(**changed: Any) -> dict[str, Any]:
    record: dict[str, Any] = examples()["show_team"][1]
    return {**record, **changed}


def test_a_team_is_shown_with_what_it_needs_to_begin() -> None:
    text = shown(team_tables.show_team, a_record())
    for wanted in (
        "https://ai.contoso.com/openai/v1",
        "alpha-primary-key, alpha-secondary-key",
        "gpt-4.1 10,000",
        "✗ Workspaces NodeClaimNotReady",
        "playground team-alpha",
        "✓ Projects Ready",
    ):
        assert wanted in text


def test_a_team_is_shown_with_the_nodes_of_its_workspaces_and_their_price() -> None:
    record = a_record()
    own = next(model for model in record["granted"]["models"] if model["gpus"])
    own["gpus"] = {"nodes": 3, "per_hour": "11.01", "per_month": "8037.30", "currency": "EUR"}
    assert "3 11.01 EUR/h, 8037.30 EUR/month" in shown(team_tables.show_team, record)
    own["gpus"] |= {"nodes": None, "per_hour": None}
    assert "unknown -" in shown(team_tables.show_team, record)


def test_a_team_that_is_gone_is_shown_with_the_day_of_its_end() -> None:
    withdrawn = {"since": "2026-03-02T09:00:00Z", "deleted_after": "2026-03-09T09:00:00Z"}
    text = shown(
        team_tables.show_team, a_record(access="gone", granted=None, withdrawn=withdrawn, entra_group=None)
    )
    assert "access gone, deleted after 2026-03-09T09:00:00Z" in text
    assert "no group: add entraGroup" in text


def test_a_list_has_a_line_per_team_and_the_reason_where_something_is_not_well() -> None:
    text = shown(team_tables.show_teams, [a_record(), a_record(team="bravo", granted=None, conditions=[])])
    assert "alpha granted ✓ ✓ ✓ ✗ NodeClaimNotReady ✓ gpt-4.1, phi-4" in text
    assert "bravo granted - - - - -" in text


def test_models_are_shown_with_price_and_what_is_granted() -> None:
    answer = examples()["list_models"][1]
    offer = {
        **answer["models"][0],
        "price": {"prompt": "2.00", "completion": "8.00"},
        "retires_on": "2026-09-30",
        "successor": "gpt-5",
    }
    offer["grants"] = {**offer["grants"], "granted": 5000, "grantable": 150000}
    text = shown(team_tables.show_models, {**answer, "currency": "EUR", "models": [offer]})
    assert "price (EUR per million tokens)" in text
    assert "2.00 in, 8.00 out 100,000 5,000 of 150,000" in text
    assert "until 2026-09-30, then gpt-5" in text


def test_a_model_of_which_more_is_in_force_than_there_may_be_is_shown_as_that() -> None:
    answer = examples()["list_models"][1]
    offer = {**answer["models"][0], "overcommitted": True, "retires_on": "2026-09-30", "successor": "gpt-5"}
    assert "Overcommitted: more is in force" in shown(team_tables.show_models, {**answer, "models": [offer]})
    assert "Overcommitted" not in shown(team_tables.show_models, answer)


def test_what_came_from_outside_does_nothing_to_the_terminal() -> None:
    problem = {"path": EVIL, "line": 1, "column": 1, "reason": "X", "message": EVIL}
    condition = {"type": "Keys", "status": "False", "reason": EVIL, "message": EVIL, "since": None}
    record = a_record(team=EVIL, path=EVIL, problems=[problem], conditions=[condition])
    text = shown(team_tables.show_team, record) + shown(team_tables.show_teams, [record])
    assert "\x1b" not in text
    assert "\\x1b[2J[bold red]x[/]" in text


def test_a_teams_name_cannot_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def get(_: Api, path: str, query: dict[str, Any] | None = None) -> Any:
        asked.append(path)
        return a_record()

    monkeypatch.setattr(Api, "get", get)
    done = CliRunner().invoke(app, ["teams", "show", "../config?x", "--json"], env=ADDRESS)
    assert json.loads(done.stdout)["team"] == "alpha"
    assert asked == ["teams/..%2Fconfig%3Fx"]
