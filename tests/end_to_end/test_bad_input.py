"""What is wrong is refused, explained in the right place, and costs nobody else anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end.calls import a_push, post, sha1, signature
from tests.end_to_end.road import Push, Road
from tests.end_to_end.written import Request, new_team, path_of

NOTHING: Counter[str] = Counter()


FORGERIES: dict[str, Callable[[str, bytes], bytes]] = {
    "of another secret": lambda secret, body: signature("guessed", body),
    "of another body": lambda secret, body: signature(secret, b""),
    "with SHA-1": sha1,
    "that is empty": lambda secret, body: b"",
    "that is not ASCII": lambda secret, body: "sha256=ü".encode() * 4,
    "that is not hexadecimal": lambda secret, body: b"sha256=" + b"g" * 64,
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_signature_is_refused(road: Road, forge: Callable[[str, bytes], bytes]) -> None:
    secret, body = road.stack.webhook_secret, a_push(road)
    assert post(road, body, forge(secret, body)) == 401
    assert post(road, body, forge(secret, body), X_Hub_Signature=sha1(secret, body).decode()) == 401
    assert road.count("service-bus", "send") == NOTHING


REFUSED: dict[str, tuple[int, Callable[[Road], bytes], dict[str, str]]] = {
    "not JSON": (400, lambda road: b"payload=%7B%7D", {}),
    "JSON but not an object": (400, lambda road: b"[]", {}),
    "nested too deeply": (400, lambda road: b"[" * 100_000, {}),
    "not a push": (400, lambda road: b"{}", {}),
    "a push from a commit that is none": (400, lambda road: a_push(road, before="../../etc"), {}),
    "without a delivery": (400, a_push, {"X_GitHub_Delivery": ""}),
    "of another repository": (403, lambda road: a_push(road, repository={"id": 1}), {}),
    "of another installation": (403, lambda road: a_push(road, installation={"id": 1}), {}),
    "of another branch": (204, lambda road: a_push(road, ref="refs/heads/feature"), {}),
    "of a tag": (204, lambda road: a_push(road, ref="refs/tags/main"), {}),
    "of an unknown event": (204, lambda road: b"{}", {"X_GitHub_Event": "issues"}),
    "larger than GitHub sends": (413, lambda road: b" " * (25 * 1024 * 1024 + 1), {}),
}


@pytest.mark.parametrize(("status", "body", "headers"), REFUSED.values(), ids=REFUSED.keys())
def test_a_signed_call_queues_nothing_when_it_is(
    road: Road, status: int, body: Callable[[Road], bytes], headers: dict[str, str]
) -> None:
    assert post(road, body(road), None, **headers) == status
    assert road.count("service-bus", "send") == NOTHING


def test_a_ping_is_answered(road: Road) -> None:
    known = len(road.deliveries())
    road.stack.github("POST", "/_standin/app/ping")
    assert road.answered(known)[1] == 200


def test_a_push_to_another_branch_means_nothing(road: Road, team: str) -> None:
    road.clone.git("checkout", "--quiet", "-B", "proposal")
    road.clone.write(Request(team))
    road.clone.commit("A proposal")
    assert road.push_ref("proposal")[1] == 204
    road.clone.git("checkout", "--quiet", "main")
    assert f"team-{team}" not in road.products()


def pushed(road: Road, path: str, text: str) -> tuple[Push, dict[str, Any], list[dict[str, Any]]]:
    """Push one file; the push, its one check run and the annotations in that file."""
    road.clone.write_text(path, text)
    push = road.push(f"A change of {path}")
    (run,) = road.check_runs(push)
    return push, run, [note for note in road.annotations(run) if note["path"] == path]


def test_beside_a_wrong_request_the_right_one_is_provisioned(road: Road, team: str) -> None:
    right = new_team()
    road.clone.write(Request(right))
    wrong = str(Request(team, model="gpt-4.1-mni")).replace("tokensPerMinute", "tokenPerMinute")
    push, run, notes = pushed(road, path_of(team), wrong)
    road.status(push, right, "keys", "success")
    assert f"team-{team}" not in road.products()
    assert run["conclusion"] == "failure"
    lines = wrong.splitlines()
    (number,) = [index for index, line in enumerate(lines) if "gpt-4.1-mni" in line]
    found = {(note["title"], note["start_line"], note["start_column"]): note["message"] for note in notes}
    assert all(
        note["annotation_level"] == "failure" and note["end_line"] == note["start_line"] for note in notes
    )
    model = found["UnknownModel", number + 1, lines[number].index("gpt-4.1-mni") + 1]
    assert "Did you mean 'gpt-4.1-mini'?" in model
    (key,) = [
        text
        for (title, line, column), text in found.items()
        if column == lines[number].index("tokenPerMinute") + 1
    ]
    assert "tokensPerMinute" in key


def test_a_team_keeps_its_last_valid_state_when_its_file_becomes_invalid(road: Road, team: str) -> None:
    road.clone.write(Request(team, tokens=7000))
    road.status(road.push("Access"), team, "keys", "success")
    keys = road.issued_keys(team)
    road.stack.control.forget_calls()
    _, run, notes = pushed(road, path_of(team), "team: [")
    assert run["conclusion"] == "failure"
    assert len(notes) == 1
    assert road.count("service-bus", "send") == NOTHING
    assert road.gateway_writes() == NOTHING
    assert 'tokens-per-minute="7000"' in road.policy(team)
    assert (road.subscriptions(team), road.stored_keys(team)) == ({f"team-{team}": "active"}, keys)


def test_a_second_file_of_a_team_is_an_error_and_the_first_stays_in_force(road: Road, team: str) -> None:
    road.clone.write(Request(team, tokens=7000))
    road.status(road.push("Access"), team, "keys", "success")
    road.stack.control.forget_calls()
    _, run, (note,) = pushed(
        road, f"developer-requests/{team}/access.yaml", str(Request(team, tokens=100_000))
    )
    assert (run["conclusion"], note["title"]) == ("failure", "DuplicateTeam")
    assert path_of(team) in note["message"]
    assert road.gateway_writes() == NOTHING
    assert 'tokens-per-minute="7000"' in road.policy(team)


def test_a_renamed_folder_keeps_access_and_keys(road: Road, team: str) -> None:
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    keys = road.issued_keys(team)
    road.stack.control.forget_calls()
    road.clone.git("mv", f"tenant-access/config/{team}", f"tenant-access/config/team-{team}")
    push = road.push("Another folder")
    road.status(push, team, "keys", "success")
    assert road.gateway_writes() == Counter({"PATCH product": 1})
    assert f"path tenant-access/config/team-{team}/access.yaml;" in road.product(team).description
    assert (road.subscriptions(team), road.stored_keys(team)) == ({f"team-{team}": "active"}, keys)


def test_a_symbolic_link_is_an_error_and_what_it_hides_stays_in_force(road: Road, team: str) -> None:
    hidden = new_team()
    road.clone.write(Request(team), Request(hidden))
    road.status(road.push("Access"), team, "keys", "success")
    road.stack.control.forget_calls()
    link = road.clone.path / path_of(team)
    link.unlink()
    link.symlink_to(f"../{hidden}/access.yaml")
    (run,) = road.check_runs(road.push("A link"))
    assert [(note["path"], note["title"]) for note in road.annotations(run)] == [
        (path_of(team), "SymbolicLink")
    ]
    assert road.gateway_writes() == NOTHING
    assert road.subscriptions(team) == {f"team-{team}": "active"}


def test_after_a_force_push_the_branch_alone_counts(road: Road, team: str) -> None:
    stays, comes = new_team(), new_team()
    road.clone.write(Request(stays), Request(team))
    road.status(road.push("Two teams"), team, "keys", "success")
    road.clone.git("reset", "--quiet", "--hard", "HEAD~1")
    road.clone.write(Request(stays), Request(comes))
    push = road.push("Another history", "--force")
    road.status(push, comes, "keys", "success")
    road.status(push, team, "keys", "success")
    assert road.subscriptions(comes) == {f"team-{comes}": "active"}
    assert road.subscriptions(stays) == {f"team-{stays}": "active"}
    assert road.subscriptions(team) == {f"team-{team}": "suspended"}


def test_a_deleted_branch_changes_nothing_and_comes_back_as_it_was(road: Road, team: str) -> None:
    road.clone.write(Request(team))
    road.status(road.push("Access"), team, "keys", "success")
    road.push_ref("main:refs/heads/other")
    make_default(road, "other")  # GitHub does not let the default branch be deleted
    road.stack.control.forget_calls()
    assert road.push_ref(":main")[1] == 202
    assert road.count("service-bus", "send") == NOTHING
    make_default(road, "main")
    push = road.push("The branch again")
    road.status(push, team, "gateway", "success")
    assert road.gateway_writes() == NOTHING
    assert road.subscriptions(team) == {f"team-{team}": "active"}


def make_default(road: Road, branch: str) -> None:
    road.stack.github("PUT", "/_standin/repositories/contoso/model-access", {"default_branch": branch})
