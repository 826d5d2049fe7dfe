"""`mergekey dead-letters` without a platform: what is asked for, and what is shown. Against one: tests/end_to_end/test_dead_letters.py."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from cli import tables
from cli.api import Api
from cli.dead_letters import Choice, _chosen, _finish, _order
from cli.main import app

ADDRESS = {"MERGEKEY_URL": "https://contoso-mk-app.azurewebsites.net", "MERGEKEY_AUDIENCE": "api://1"}


@dataclass(frozen=True)
class FakeApi(Api):
    """Pages of 500 out of a number of letters; every order succeeds but that of the letter `failing`."""

    url: str = "https://nowhere.invalid"
    audience: str = "api://nowhere"
    count: int = 0
    failing: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    ordered: list[list[int]] = field(default_factory=list)

    def get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        assert query is not None
        self.asked.append(query)
        numbers = [number for number in range(query["from"], self.count + 1) if number <= query["up_to"]]
        return {"letters": [{"sequence": number} for number in numbers[:500]], "next": numbers[500] if len(numbers) > 500 else None}

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.ordered.append(body["sequences"])
        return {
            "answers": [{"sequence": n, "outcome": "failed" if n == self.failing else "replayed", "why": ""} for n in body["sequences"]]
        }


def a_letter(**changed: Any) -> dict[str, Any]:
    letter = {"sequence": 7, "enqueued": "2026-03-02T09:00:00+00:00", "team": "alpha", "stage": "provision-gateway", "reason": "Rejected"}
    return letter | {"message": "400", "replays": 1, "most_replays": 5} | changed


def shown(show: Any, *arguments: Any) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    show(console, *arguments)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_filters_become_the_numbers_of_all_pages_up_to_the_one_that_was_seen() -> None:
    api = FakeApi(count=2000)
    assert _chosen(api, None, Choice(stage="sweeps", up_to=1234)) == list(range(1, 1235))
    assert [query["from"] for query in api.asked] == [1, 501, 1001]
    assert all(query["stage"] == "sweeps" and "team" not in query for query in api.asked)


def test_numbers_are_taken_as_they_are() -> None:
    assert _chosen(FakeApi(), [9, 4, 9], Choice()) == [4, 9]


@pytest.mark.parametrize(("numbers", "choice"), [(None, Choice()), (None, Choice(team="alpha")), ([4], Choice(team="alpha"))], ids=str)
def test_a_choice_that_could_mean_what_nobody_saw_is_refused(numbers: list[int] | None, choice: Choice) -> None:
    with pytest.raises(typer.Exit):
        _chosen(FakeApi(count=9), numbers, choice)


def test_many_letters_are_ordered_part_by_part_and_not_beyond_a_failure() -> None:
    api = FakeApi(failing=200)
    answers = _order(api, "dead-letters/replay", list(range(1, 301)), {})
    assert [len(part) for part in api.ordered] == [100, 100]
    assert [answer["outcome"] for answer in answers[199:202]] == ["failed", "untried", "untried"]
    assert len(answers) == 300


@pytest.mark.parametrize(("outcome", "code"), [("replayed", 0), ("gone", 0), ("ready", 0), ("refused", 1), ("failed", 1), ("untried", 1)])
def test_the_exit_code_tells_whether_all_was_done(outcome: str, code: int) -> None:
    with pytest.raises(typer.Exit) as ended:
        _finish([{"sequence": 1, "outcome": "replayed", "why": ""}, {"sequence": 2, "outcome": outcome, "why": ""}], as_json=False)
    assert ended.value.exit_code == code


@pytest.mark.parametrize("url", ["http://contoso.com", "ftp://localhost", "contoso.com", ""])
def test_a_token_is_not_sent_where_it_could_be_overheard(url: str) -> None:
    done = CliRunner().invoke(app, ["dead-letters", "list"], env=ADDRESS | {"MERGEKEY_URL": url})
    assert done.exit_code == 2


def test_without_a_token_nothing_is_asked_and_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(app, ["sweep"], env=ADDRESS | {"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"})
    assert done.exit_code == 2
    assert "az login" in done.stderr


def test_an_order_that_is_not_confirmed_is_not_sent() -> None:
    done = CliRunner().invoke(app, ["dead-letters", "replay", "7"], env=ADDRESS, input="n\n")
    assert done.exit_code == 1
    assert "Replay 1 letters?" in done.stderr


def test_what_came_from_outside_does_nothing_to_the_terminal() -> None:
    evil = "\x1b[2J[bold red]x[/]\r\n"
    rows = shown(tables.show_letters, [a_letter(team=evil, message=evil)]) + shown(tables.show_letter, a_letter(**_more(evil)))
    assert "\x1b[2J" not in rows
    assert "\\x1b[2J[bold red]x[/]" in rows


def _more(body: str) -> dict[str, Any]:
    return {"actor": "the team", "attempts": 1, "root": "d1/alpha", "session": "alpha", "message_id": "d1/alpha/dead-letter", "body": body}


def test_the_next_command_is_quoted_for_the_shell() -> None:
    group = {"stage": "sweeps", "reason": "x; rm -rf /", "last": 12, "actor": "the team", "count": 1, "oldest": "2026-03-02T09:00:00+00:00"}
    assert "--stage sweeps --reason 'x; rm -rf /' --up-to 12 --team alpha --dry-run" in shown(tables.show_next, [group], 7, "alpha")
