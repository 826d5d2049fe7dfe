"""Check runs and commit statuses at the GitHub stand-in, and their limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from standins.tests.differences import known_difference
from standins.tests.github.remotes import Remote, a_remote, refusal
from standins.tests.plugin import StandIns

OUTPUT: dict[str, Any] = {"title": "1 problem", "summary": "see below"}


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        yield remote


def note(line: int, **more: Any) -> dict[str, Any]:
    return {
        "path": "a",
        "start_line": line,
        "end_line": line,
        "annotation_level": "failure",
        "message": "wrong",
        **more,
    }


async def test_a_check_run_collects_annotations_fifty_at_a_time(remote: Remote) -> None:
    sha = remote.push("one", a="1")
    notes = [note(line, start_column=3) for line in range(1, 52)]
    body = {"name": "mergekey", "head_sha": sha}
    with refusal(422, "No more than 50 items are allowed; 51 were supplied."):
        await remote.app.post(
            remote.path("/check-runs"), data=body | {"output": OUTPUT | {"annotations": notes}}
        )
    made = await remote.app.post(
        remote.path("/check-runs"), data=body | {"output": OUTPUT | {"annotations": notes[:50]}}
    )
    assert made["status"] == "queued"
    more = {"conclusion": "failure", "output": OUTPUT | {"annotations": notes[50:]}}
    done = await remote.app.patch(remote.path(f"/check-runs/{made['id']}"), data=more)
    assert (done["status"], done["conclusion"], done["output"]["annotations_count"]) == (
        "completed",
        "failure",
        51,
    )
    assert await remote.app.getitem(remote.path(f"/check-runs/{made['id']}")) == done
    pages = [
        note
        async for note in remote.app.getiter(remote.path(f"/check-runs/{made['id']}/annotations?per_page=20"))
    ]
    assert [note["start_line"] for note in pages] == list(range(1, 52))
    listed = await remote.app.getitem(remote.path(f"/commits/{sha}/check-runs?status=completed"))
    assert [run["id"] for run in listed["check_runs"]] == [made["id"]]


async def test_a_check_run_needs_an_app_and_a_known_commit(remote: Remote) -> None:
    sha = remote.push("one", a="1")
    with refusal(403, "You must authenticate via a GitHub App."):
        await remote.plain.post(remote.path("/check-runs"), data={"name": "mergekey", "head_sha": sha})
    with refusal(422, "No commit found for SHA"):
        await remote.app.post(remote.path("/check-runs"), data={"name": "mergekey", "head_sha": "1" * 40})


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"name": None}, '"name" wasn\'t supplied'),
        ({"head_sha": None}, '"head_sha" wasn\'t supplied'),
        ({"status": "done"}, "done is not a member of"),
        ({"status": "completed"}, "None is not a member of"),
        ({"conclusion": "ok"}, "ok is not a member of"),
        ({"output": {"title": "no summary"}}, '"summary" wasn\'t supplied'),
        (
            {"output": OUTPUT | {"summary": "x" * 65_536}},
            "Only 65535 characters are allowed; 65536 were supplied.",
        ),
        (
            {"output": OUTPUT | {"text": "x" * 65_536}},
            "Only 65535 characters are allowed; 65536 were supplied.",
        ),
        ({"output": OUTPUT | {"annotations": [note(1, title="x" * 256)]}}, "Only 255 characters are allowed"),
        (
            {"output": OUTPUT | {"annotations": [note(1, annotation_level="error")]}},
            "error is not a member of",
        ),
        (
            {"output": OUTPUT | {"annotations": [note(1, end_line=2, start_column=1)]}},
            "start_column and end_column",
        ),
        ({"output": OUTPUT | {"annotations": [{"path": "a"}]}}, '"start_line" wasn\'t supplied'),
        (
            {"actions": [{"label": "x", "description": "y", "identifier": "z"}] * 4},
            "No more than 3 items are allowed",
        ),
        (
            {"actions": [{"label": "x" * 21, "description": "y", "identifier": "z"}]},
            "Only 20 characters are allowed",
        ),
    ],
)
async def test_a_check_run_is_checked(remote: Remote, wrong: dict[str, Any], complaint: str) -> None:
    sha = remote.push("one", a="1")
    body = {
        name: value
        for name, value in {"name": "mergekey", "head_sha": sha, **wrong}.items()
        if value is not None
    }
    with refusal(422, complaint):
        await remote.app.post(remote.path("/check-runs"), data=body)


async def test_only_the_newest_run_of_a_name_is_listed_unless_all_are_wanted(remote: Remote) -> None:
    sha = remote.push("one", a="1")
    first, second = [
        await remote.app.post(remote.path("/check-runs"), data={"name": "same", "head_sha": sha})
        for _ in range(2)
    ]
    newest = await remote.app.getitem(remote.path("/commits/main/check-runs"))
    assert [run["id"] for run in newest["check_runs"]] == [second["id"]]
    every = await remote.app.getitem(remote.path("/commits/main/check-runs?filter=all"))
    assert [run["id"] for run in every["check_runs"]] == [second["id"], first["id"]]


async def test_statuses_are_listed_newest_first_and_checked(remote: Remote) -> None:
    sha = remote.push("one", a="1")
    path = remote.path(f"/statuses/{sha}")
    await remote.app.post(path, data={"state": "pending", "context": "mergekey/alpha/keys"})
    assert (await remote.app.getitem(remote.path("/commits/main/status")))["state"] == "pending"
    await remote.plain.post(
        path, data={"state": "success", "context": "mergekey/alpha/keys", "description": "keys in vault"}
    )
    listed = await remote.app.getitem(remote.path(f"/commits/{sha}/statuses"))
    assert [(status["state"], status["description"]) for status in listed] == [
        ("success", "keys in vault"),
        ("pending", None),
    ]
    combined = await remote.app.getitem(remote.path("/commits/main/status"))
    assert (combined["state"], combined["total_count"]) == ("success", 1)
    for body in ({"state": "done"}, {"state": "success", "description": "x" * 141}):
        with refusal(422, "Validation Failed"):
            await remote.app.post(path, data=body)
    with refusal(422, "No commit found for SHA"):
        await remote.app.post(remote.path(f"/statuses/{'1' * 40}"), data={"state": "success"})


async def test_a_context_holds_a_thousand_statuses(remote: Remote) -> None:
    sha = remote.push("one", a="1")
    path = remote.path(f"/statuses/{sha}")
    for _ in range(20):
        await asyncio.gather(*(remote.app.post(path, data={"state": "success"}) for _ in range(50)))
    with refusal(422, "Validation Failed"):
        await remote.app.post(path, data={"state": "success"})
    await remote.app.post(path, data={"state": "success", "context": "another"})
    last = await remote.ask(remote.path("/commits/main/statuses?per_page=200&page=11"))
    assert (
        len(await last.json()),
        'rel="prev"' in last.headers["Link"],
        'rel="next"' in last.headers["Link"],
    ) == (1, True, False)


@known_difference(
    "github", "Of more than a thousand check runs of one name on a commit the oldest are deleted."
)
async def test_check_runs_of_one_name_are_a_thousand_at_most(remote: Remote) -> None:
    sha = remote.push("one", a="1")
    for _ in range(21):
        await asyncio.gather(
            *(
                remote.app.post(remote.path("/check-runs"), data={"name": "same", "head_sha": sha})
                for _ in range(48)
            )
        )
    listed = await remote.app.getitem(remote.path("/commits/main/check-runs?filter=all&per_page=1"))
    assert listed["total_count"] == 1000
