"""`mergekey dead-letters` without a platform: what is asked for, and what is shown. Against one:
tests/end_to_end/test_dead_letters.py.
"""

from __future__ import annotations

import http.server
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from cli import api as api_module
from cli import tables
from cli.api import Api
from cli.dead_letters import Command, Selection, _chosen, _confirm_and_run, _finish, _none
from cli.main import app

ADDRESS = {"MERGEKEY_URL": "https://contoso-mk-app.azurewebsites.net", "MERGEKEY_AUDIENCE": "api://1"}


@dataclass(frozen=True)
class FakeApi(Api):
    """Pages of 500 out of a number of letters; every order succeeds but that of the letter `failing`, and
    those of `left` are not done.
    """

    url: str = "https://nowhere.invalid"
    audience: str = "api://nowhere"
    count: int = 0
    failing: int = 0
    left: dict[int, str] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    ordered: list[list[int]] = field(default_factory=list)

    def get(self, path: str, query: dict[str, Any] | None = None) -> Any:
        assert query is not None
        self.asked.append(query)
        last = query.get("up_to", self.count)
        numbers = [number for number in range(query.get("from", 1), self.count + 1) if number <= last]
        letters = [a_letter(sequence=number, team=f"team-{number % 2}") for number in numbers[:500]]
        return {
            "groups": [{"count": self.count}],
            "letters": letters,
            "next": numbers[500] if len(numbers) > 500 else None,
        }

    def post(self, path: str, body: dict[str, Any]) -> Any:
        self.ordered.append(body["sequences"])
        well = "ready" if body["dry_run"] else "replayed"
        outcomes = {n: "failed" if n == self.failing else self.left.get(n, well) for n in body["sequences"]}
        return {
            "answers": [{"sequence": n, "outcome": outcome, "why": ""} for n, outcome in outcomes.items()]
        }


def a_letter(**changed: Any) -> dict[str, Any]:
    letter = {
        "sequence": 7,
        "enqueued": "2026-03-02T09:00:00+00:00",
        "team": "alpha",
        "stage": "provision-gateway",
        "reason": "Rejected",
    }
    return letter | {"message": "400", "replays": 1, "most_replays": 5} | changed


def shown(show: Any, *arguments: Any) -> str:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    show(console, *arguments)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_filters_become_the_numbers_of_all_pages_up_to_the_one_that_was_seen() -> None:
    api = FakeApi(count=2000)
    assert _chosen(api, None, Selection(stage="sweeps", up_to=1234)) == list(range(1, 1235))
    assert [query["from"] for query in api.asked] == [1, 501, 1001]
    assert all(query["stage"] == "sweeps" and "team" not in query for query in api.asked)


def test_numbers_are_taken_as_they_are() -> None:
    assert _chosen(FakeApi(), [9, 4, 9], Selection()) == [4, 9]


@pytest.mark.parametrize(
    ("numbers", "choice"),
    [(None, Selection()), (None, Selection(team="alpha")), ([4], Selection(team="alpha"))],
    ids=str,
)
def test_a_choice_that_could_mean_what_nobody_saw_is_refused(
    numbers: list[int] | None, choice: Selection
) -> None:
    with pytest.raises(typer.Exit):
        _chosen(FakeApi(count=9), numbers, choice)


def test_many_letters_are_ordered_part_by_part_and_not_beyond_a_failure() -> None:
    api = FakeApi(failing=200)
    answers = Command(api, "replay", {}).run(list(range(1, 301)))
    assert [len(part) for part in api.ordered] == [100, 100]
    assert [answer["outcome"] for answer in answers[199:202]] == ["failed", "untried", "untried"]
    assert len(answers) == 300


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        ("replayed", 0),
        ("gone", 0),
        ("ready", 0),
        ("skipped", 0),
        ("refused", 1),
        ("failed", 1),
        ("untried", 1),
    ],
)
def test_the_exit_code_tells_whether_all_was_done(outcome: str, code: int) -> None:
    assert (
        ending(
            [
                {"sequence": 1, "outcome": "replayed", "why": ""},
                {"sequence": 2, "outcome": outcome, "why": ""},
            ]
        )
        == code
    )


def test_a_number_that_was_written_down_and_is_not_there_is_a_slip() -> None:
    assert ending([{"sequence": 999, "outcome": "gone", "why": ""}], named=True) == 1


def test_an_order_that_finds_no_letters_is_not_done() -> None:
    assert ending([]) == 1


def ending(answers: list[dict[str, Any]], named: bool = False) -> int:
    with pytest.raises(typer.Exit) as ended:
        _finish(FakeApi(), answers, named, as_json=False)
    return ended.value.exit_code


@pytest.mark.parametrize(
    ("count", "filtered", "said"),
    [
        (4, True, "No dead letters match the filter (4 others)."),
        (1, True, "No dead letters match the filter (1 other)."),
        (0, True, "No dead letters."),
        (0, False, "No dead letters."),
    ],
)
def test_a_filter_that_takes_nothing_does_not_say_that_all_is_well(
    count: int, filtered: bool, said: str
) -> None:
    assert _none(FakeApi(count=count), filtered) == said


def test_the_question_names_what_would_be_done_and_only_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []
    monkeypatch.setattr(typer, "confirm", lambda question, **_: questions.append(question))
    api = FakeApi(count=9, left={4: "skipped", 5: "refused"})
    answers = _confirm_and_run(Command(api, "replay", {}), [3, 4, 5, 7])
    assert questions == ["Replay 2 letters (stage provision-gateway, team team-1)?"]
    assert [answer["outcome"] for answer in answers] == ["replayed", "skipped", "refused", "replayed"]
    assert api.ordered == [[3, 4, 5, 7], [3, 7]]


def test_where_nothing_would_be_done_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(typer, "confirm")
    assert ending(_confirm_and_run(Command(FakeApi(left={4: "skipped"}), "discard", {}), [4])) == 0


@pytest.mark.parametrize(
    ("letters", "said"),
    [
        ([{"stage": "sweeps", "team": ""}], "1 letter (stage sweeps, team ?)"),
        ([{"stage": "a", "team": "x"}, {"stage": "b", "team": "y"}], "2 letters (stages a, b, teams x, y)"),
        ([{"stage": "a", "team": f"t{number}"} for number in range(6)], "6 letters (stage a, 6 teams)"),
        ([{"stage": "", "team": "\x1b[2J"}], "1 letter (stage ?, team \\x1b[2J)"),
    ],
)
def test_letters_are_summed_up_in_one_line(letters: list[dict[str, Any]], said: str) -> None:
    assert tables.summary(letters) == said


@pytest.mark.parametrize("url", ["http://contoso.com", "ftp://localhost", "contoso.com", ""])
def test_a_token_is_not_sent_where_it_could_be_overheard(url: str) -> None:
    done = CliRunner().invoke(app, ["dead-letters", "list"], env=ADDRESS | {"MERGEKEY_URL": url})
    assert done.exit_code == 2


def test_without_a_token_nothing_is_asked_and_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    done = CliRunner().invoke(
        app, ["sweep"], env=ADDRESS | {"AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential"}
    )
    assert done.exit_code == 2
    assert "az login" in done.stderr


def test_without_a_token_what_to_do_is_all_that_is_said() -> None:
    command = [sys.executable, "-c", "from cli.entry import main; main()", "sweep"]
    environment = {
        **os.environ,
        **ADDRESS,
        "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
        "AZURE_CLIENT_ID": "",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


class Foreign(http.server.BaseHTTPRequestHandler):
    """Whoever answers for an app that is stopped, or lives at the wrong address: 503 or 200, in words of its
    own.
    """

    def do_GET(self) -> None:
        self.send_response(503 if self.path.startswith("/stopped") else 200)
        self.end_headers()
        self.wfile.write(b"<h1>Something else</h1>")

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Foreign) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("path", "status"), [("stopped", 503), ("other", 200)])
def test_an_answer_that_is_not_the_apps_own_is_said_to_be_none(
    elsewhere: str,
    path: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(api_module, "_token", lambda _: "a token")
    with pytest.raises(typer.Exit) as ended:
        Api(f"{elsewhere}/{path}", "api://1").get("dead-letters")
    assert ended.value.exit_code == 2
    said = (
        f"{status} from {elsewhere}/{path}: not Mergekey's own answer. Is the app running, and is the "
        "address without /api?"
    )
    assert capsys.readouterr().err == f"{said}\n"


@pytest.mark.parametrize(
    "command",
    [[], ["dead-letters"], ["dead-letters", "replay"], ["dead-letters", "discard"], ["sweep"], ["teams"]],
    ids=str,
)
def test_help_says_what_exit_codes_mean(command: list[str]) -> None:
    assert "Exit codes: 0: done; 1:" in CliRunner().invoke(app, [*command, "--help"]).stdout


def test_an_order_that_is_not_confirmed_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    api = FakeApi(count=9)
    monkeypatch.setattr(Api, "get", lambda _, *given: api.get(*given))
    monkeypatch.setattr(Api, "post", lambda _, *given: api.post(*given))
    done = CliRunner().invoke(app, ["dead-letters", "replay", "7"], env=ADDRESS, input="n\n")
    assert done.exit_code == 1
    assert api.ordered == [[7]], "tried dry only"
    assert "Replay 1 letter (stage provision-gateway, team team-1)?" in done.stderr


def test_what_came_from_outside_does_nothing_to_the_terminal() -> None:
    evil = "\x1b[2J[bold red]x[/]\r\n"
    rows = shown(tables.show_letters, [a_letter(team=evil, message=evil)]) + shown(
        tables.show_letter, a_letter(**_more(evil))
    )
    assert "\x1b[2J" not in rows
    assert "\\x1b[2J[bold red]x[/]" in rows


def _more(body: str) -> dict[str, Any]:
    return {
        "actor": "the team",
        "attempts": 1,
        "root": "d1/alpha",
        "session": "alpha",
        "message_id": "d1/alpha/dead-letter",
        "body": body,
    }


def test_a_message_that_was_too_large_is_seen_to_be_cut() -> None:
    cut = {"body_size": 261_900, "body_sha256": "f0" * 32}
    assert "(cut) 400" in shown(tables.show_letters, [a_letter(**cut)])
    assert f"261900 bytes was kept; SHA-256 of the whole message: {'f0' * 32}" in shown(
        tables.show_letter, a_letter(**_more("xxx"), **cut)
    )
    for whole in ({}, {"body_size": 0, "body_sha256": ""}):
        assert "cut" not in shown(tables.show_letters, [a_letter(**whole)])
        assert "SHA-256" not in shown(tables.show_letter, a_letter(**_more("xxx"), **whole))


def test_the_next_command_is_quoted_for_the_shell() -> None:
    group = {
        "stage": "sweeps",
        "reason": "x; rm -rf /",
        "last": 12,
        "actor": "the team",
        "count": 1,
        "oldest": "2026-03-02T09:00:00+00:00",
    }
    assert "--stage sweeps --reason 'x; rm -rf /' --up-to 12 --team alpha --dry-run" in shown(
        tables.show_next, [group], [a_letter()], "alpha"
    )


def test_what_no_stage_knows_is_offered_to_be_discarded_and_not_to_be_replayed() -> None:
    group = {"stage": "", "reason": "MalformedMessage", "last": 12}
    text = shown(
        tables.show_next,
        [group],
        [a_letter(), a_letter(sequence=9, stage=""), a_letter(sequence=12, stage="")],
        None,
    )
    assert "replay" not in text.partition("\n  mergekey")[2]
    assert "mergekey dead-letters discard 9 12 --why" in text
