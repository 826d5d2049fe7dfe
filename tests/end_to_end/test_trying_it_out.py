"""What `make up` shows and prints to a person who tries it."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from standins.demo import call
from standins.demo.follow import Follower
from standins.demo.up import only_one_in
from tests.end_to_end.road import Road
from tests.end_to_end.written import Request, path_of


def _shown(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_each_push_is_shown_with_its_check_and_what_became_of_it(road: Road, team: str) -> None:
    console = Console(file=StringIO(), width=80)
    follower = Follower(console, road.stack)
    follower.skip()
    follower.look()
    assert _shown(console) == "", "earlier pushes are not told again"
    road.clone.write(Request(team))
    push = road.push("A team asks")
    road.status(push, team, "keys", "success")
    road.check_runs(push)
    follower.look()
    told = _shown(console)
    assert f"push {push.commit[:7]}" in told
    assert f"{team}: new" in told
    assert f"{team}/keys: keys in vault" in " ".join(told.split())
    assert all(len(line) <= 80 for line in told.splitlines())
    follower.look()
    assert _shown(console) == told


def test_a_mistake_is_shown_with_its_place(road: Road, team: str) -> None:
    console = Console(file=StringIO(), width=80)
    follower = Follower(console, road.stack)
    follower.skip()
    road.clone.write_text(path_of(team), str(Request(team, model="gpt-4.1-mni")))
    road.check_runs(road.push("A mistake"))
    follower.look()
    told = " ".join(_shown(console).split())
    assert f"{path_of(team)}:" in told
    assert "'gpt-4.1-mini'" in told


def test_the_printed_command_fetches_a_key_and_calls_a_model(
    road: Road, team: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = Request(team, group="7d3c9a10-5b2e-4f6d-8a91-2c4e6f8a0b1d")
    road.clone.write(request)
    road.status(road.push("A team asks"), team, "keys", "success")
    (tmp_path / "model-access").symlink_to(road.clone.path)
    monkeypatch.setattr("sys.argv", ["call", team, request.model, "--state", str(tmp_path)])
    assert call.main() == 1, "nothing runs there"
    running = {"addresses": dict(road.stack.addresses), "ca": road.stack.ca}
    (tmp_path / call.ADDRESSES).write_text(json.dumps(running))
    capsys.readouterr()
    assert call.main() == 0
    told = capsys.readouterr().out
    assert f"{team}-primary-key" in told
    assert told.rstrip().endswith("You said: Hello!")
    assert road.issued_keys(team)[0] not in told


def test_a_folder_is_used_by_one_at_a_time(tmp_path: Path) -> None:
    with only_one_in(tmp_path), pytest.raises(RuntimeError, match="STATE="), only_one_in(tmp_path):
        pass
    with only_one_in(tmp_path):
        pass
