"""`mergekey teams` and `mergekey models` without a platform: what is shown. Against one:
tests/end_to_end/test_asking.py.
"""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import urllib.error
import urllib.request
from email.message import Message
from functools import partial
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cli import tables, team_tables
from cli.api import Api
from cli.main import app
from cli.recipes import NEEDS_BEARER, RECIPES, key_lines, lines_to_copy, place_of
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
        "base url https://ai.contoso.com/bearer/openai/v1",
        "--client python-openai | python-azure-openai | js-openai",
        "alpha-primary-key, alpha-secondary-key",
        "gpt-4.1 10,000",
        "… Workspaces NodeClaimNotReady",
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
    assert "alpha granted … workspaces NodeClaimNotReady gpt-4.1, phi-4" in text
    assert "bravo granted -" in text


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
    assert "2.00 in, 8.00 out 5,000 of 150,000 foundry 100,000" in text
    assert "until 2026-09-30, then gpt-5" in text


def test_a_model_of_which_more_is_in_force_than_there_may_be_is_shown_as_that() -> None:
    answer = examples()["list_models"][1]
    offer = {**answer["models"][0], "overcommitted": True, "retires_on": "2026-09-30", "successor": "gpt-5"}
    assert "Overcommitted: more is in force" in shown(team_tables.show_models, {**answer, "models": [offer]})
    assert "Overcommitted" not in shown(team_tables.show_models, answer)


def test_a_stranger_among_the_readers_is_marked() -> None:
    readers = [
        {"group": "5f8d0d55", "secrets": ["alpha-endpoint"], "stranger": False},
        {"group": "0b9c3a4e", "secrets": ["alpha-primary-key"], "stranger": True},
    ]
    text = shown(team_tables.show_team, a_record(readers=readers))
    assert "read by 5f8d0d55, 0b9c3a4e (a stranger" in text


LONG = "Standard_NC24ads_A100_v4"


def _letter() -> dict[str, Any]:
    [letter] = examples()["list_dead_letters"][1]["letters"]
    return {**letter, "team": "payments-platform", "message": "API Management answered 400 " * 9}


@pytest.mark.parametrize("width", [80, 130])
def test_tables_fit_the_terminal_and_break_no_word(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    record = a_record()
    own = next(model for model in record["granted"]["models"] if model["gpus"])
    own["gpus"] = {"nodes": 3, "per_hour": "11.01", "per_month": "8037.30", "currency": "EUR"}
    own["token_quota"] = {"tokens": 1_000_000, "period": "Monthly"}
    answer = examples()["list_models"][1]
    offer = {
        **answer["models"][0],
        "instance_types": [LONG],
        "price": {"prompt": "2.00", "completion": "8.00"},
    }
    team_tables.show_teams(console, [record])
    console.print(team_tables._conditions(record["conditions"]))
    console.print(team_tables._granted(console, record["granted"]["models"]))
    team_tables.show_models(console, {**answer, "currency": "EUR", "models": [offer]})
    tables.show_letters(console, [_letter()])
    tables.show_groups(console, examples()["list_dead_letters"][1]["groups"])
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = {word.strip(",") for line in lines for word in line.split()}
    assert {LONG, "NodeClaimNotReady", "payments-platform", "confidential", "1,000,000"} <= words


def test_a_team_that_is_not_there_ends_with_1_as_the_help_says(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = {"status": 404, "reason": "NoSuchTeam", "detail": "there is no such team"}
    answers = {404: problem, 403: {**problem, "status": 403}}

    class Refusing:
        def __init__(self, status: int, body: bytes) -> None:
            self.status, self.body = status, body

        def open(self, request: urllib.request.Request, timeout: float) -> None:
            raise urllib.error.HTTPError(request.full_url, self.status, "", Message(), io.BytesIO(self.body))

    monkeypatch.setattr("cli.api._token", lambda _: "t")
    for status, body, code in (
        (404, json.dumps(answers[404]).encode(), 1),
        (404, b"<html>", 2),
        (403, json.dumps(answers[403]).encode(), 2),
    ):
        monkeypatch.setattr("cli.api._opener", partial(Refusing, status, body))
        done = CliRunner().invoke(app, ["teams", "show", "nosuch"], env=ADDRESS)
        assert done.exit_code == code


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


@pytest.mark.parametrize("client", [*RECIPES, "all"])
def test_the_lines_of_a_client_have_the_teams_addresses_and_name_its_secret(
    monkeypatch: pytest.MonkeyPatch, client: str
) -> None:
    monkeypatch.setattr(Api, "get", lambda *_: a_record())
    done = CliRunner().invoke(app, ["teams", "show", "alpha", "--client", client], env=ADDRESS)
    assert done.exit_code == 0
    assert "--name alpha-primary-key" in done.stdout
    assert ("https://ai.contoso.com/bearer/openai/v1" in done.stdout) == (client != "python-azure-openai")


def test_an_unknown_client_is_refused_before_anything_is_asked() -> None:
    done = CliRunner().invoke(app, ["teams", "show", "alpha", "--client", "x"], env=ADDRESS)
    assert (done.exit_code, done.stdout) == (2, "")


@pytest.mark.parametrize("client", [name for name in RECIPES if name != "python-azure-openai"])
def test_without_bearer_keys_each_client_sends_the_header_or_says_that_it_cannot(client: str) -> None:
    record = a_record()
    record["endpoints"] = {**record["endpoints"], "bearer_base_url": None}
    text = lines_to_copy(record, client)
    assert "bearer/openai" not in text
    assert (NEEDS_BEARER in text) == (client == "open-webui")
    assert ("api-key" in text and "https://ai.contoso.com/openai/v1" in text) == (client != "open-webui")


def test_lines_with_foreign_texts_stay_texts() -> None:
    evil = "$(reboot) \x1b[2J ' \""
    model = {**a_record()["granted"]["models"][0], "name": evil}
    record = a_record(team=evil, granted={**a_record()["granted"], "models": [model]})
    for client, recipe in RECIPES.items():
        text = lines_to_copy(record, client)
        assert "\x1b" not in text
        if recipe.language == "python":
            ast.parse(recipe.lines(place_of(record)) or "")
    assert f"--name {shlex.quote(evil)}-primary-key" in key_lines(place_of(record))


def test_a_team_without_a_model_that_chats_gets_lines_with_a_gap() -> None:
    models = [{**each, "serves": ["embeddings"]} for each in a_record()["granted"]["models"]]
    record = a_record(granted={**a_record()["granted"], "models": models})
    assert [place_of(each).model for each in (record, a_record(granted=None), a_record())] == [
        "<model>",
        "<model>",
        "gpt-4.1",
    ]
