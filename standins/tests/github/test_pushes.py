"""`git push` at the GitHub stand-in, and what its webhooks say."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standins.tests.differences import known_difference
from standins.tests.github.remotes import SECRET, Remote, a_remote, signature, until
from standins.tests.plugin import StandIns

ZEROS = "0" * 40


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        await remote.set_up(webhook_url=remote.receiver.url, webhook_secret=SECRET)
        yield remote


@pytest.fixture
async def app_hook(remote: Remote) -> AsyncIterator[Remote]:
    """The same with the App's webhook instead of one of the repository."""
    await remote.set_up(webhook_url=None)
    await remote.install(webhook_url=remote.receiver.url, webhook_secret=SECRET)
    yield remote
    await remote.install(webhook_url=None, webhook_secret=None)


async def test_a_push_to_a_new_branch_arrives_signed(remote: Remote) -> None:
    first = remote.commit("one", a_x="1")
    head = remote.push("two\n\nwith a body", a_x="2", b_y="3")
    headers, payload = await remote.receiver.next()
    body = remote.receiver.requests[0][1]
    assert headers["X-GitHub-Event"] == "push"
    assert uuid.UUID(headers["X-GitHub-Delivery"])
    assert headers["X-Hub-Signature-256"] == "sha256=" + signature(body, hashlib.sha256)
    assert headers["X-Hub-Signature"] == "sha1=" + signature(body, hashlib.sha1)
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("GitHub-Hookshot/")
    assert (payload["ref"], payload["before"], payload["after"]) == ("refs/heads/main", ZEROS, head)
    assert (payload["created"], payload["deleted"], payload["forced"]) == (True, False, False)
    assert [commit["id"] for commit in payload["commits"]] == [first, head]
    assert payload["head_commit"]["message"] == "two\n\nwith a body"
    assert (payload["head_commit"]["added"], payload["head_commit"]["modified"]) == (["b/y"], ["a/x"])
    assert payload["repository"]["full_name"] == remote.name


async def test_a_reset_is_a_forced_push_without_commits(remote: Remote) -> None:
    first = remote.commit("one", a="1")
    second = remote.push("two", a="2")
    remote.git("reset", "--quiet", "--hard", first)
    remote.git("push", "--quiet", "--force", "origin", "main")
    _, payload = await remote.receiver.next(2)
    assert (payload["before"], payload["after"], payload["forced"], payload["commits"]) == (
        second,
        first,
        True,
        [],
    )
    assert payload["head_commit"]["id"] == first


async def test_a_merge_names_what_it_brought_and_a_deleted_branch_nothing(remote: Remote) -> None:
    remote.push("base", a="1")
    remote.git("checkout", "--quiet", "-b", "side")
    side = remote.push("side", b="1", a=None)
    await remote.receiver.next(2)
    remote.git("checkout", "--quiet", "main")
    remote.git("merge", "--quiet", "--no-ff", "-m", "merge side", "side")
    remote.git("push", "--quiet", "origin", "main")
    _, merged = await remote.receiver.next(3)
    assert [commit["id"] for commit in merged["commits"]] == [side, merged["after"]]
    assert (merged["head_commit"]["added"], merged["head_commit"]["removed"]) == (["b"], ["a"])
    remote.git("push", "--quiet", "origin", ":side")
    _, deleted = await remote.receiver.next(4)
    assert (deleted["before"], deleted["after"], deleted["deleted"]) == (side, ZEROS, True)
    assert (deleted["commits"], deleted["head_commit"], deleted["forced"]) == ([], None, False)


async def test_a_tag_names_the_branch_it_was_made_on(remote: Remote) -> None:
    head = remote.push("one", a="1")
    await remote.receiver.next()
    remote.git("tag", "--annotate", "--message", "v1", "v1")
    remote.git("push", "--quiet", "origin", "v1")
    _, payload = await remote.receiver.next(2)
    assert (payload["ref"], payload["before"], payload["base_ref"]) == (
        "refs/tags/v1",
        ZEROS,
        "refs/heads/main",
    )
    assert (payload["after"], payload["head_commit"]["id"]) == (remote.git("rev-parse", "v1"), head)
    assert payload["commits"] == []
    remote.git("push", "--quiet", "origin", ":v1")
    _, deleted = await remote.receiver.next(3)
    assert (deleted["ref"], deleted["after"], deleted["deleted"]) == ("refs/tags/v1", ZEROS, True)


async def test_more_than_three_tags_at_once_are_not_announced(remote: Remote) -> None:
    remote.push("one", a="1")
    for number in range(4):
        remote.git("tag", f"v{number}")
    remote.git("push", "--quiet", "--tags", "origin")
    remote.push("two", a="2")
    await remote.receiver.next(2)
    assert remote.receiver.heads() == [remote.git("rev-parse", "HEAD~1"), remote.git("rev-parse", "HEAD")]


async def test_a_ping_is_delivered(remote: Remote) -> None:
    (hook,) = await remote.plain.getitem(remote.path("/hooks"))
    await remote.plain.post(remote.path(f"/hooks/{hook['id']}/pings"), data=b"")
    headers, payload = await remote.receiver.next()
    assert (headers["X-GitHub-Event"], payload["hook"]["type"]) == ("ping", "Repository")
    assert str(payload["hook_id"]) == headers["X-GitHub-Hook-ID"] == str(hook["id"])
    assert hook["config"] == {
        "content_type": "json",
        "insecure_ssl": "0",
        "url": remote.receiver.url,
        "secret": "********",
    }


async def test_the_app_is_told_of_its_installation(app_hook: Remote) -> None:
    head = app_hook.push("one", a="1")
    headers, payload = await app_hook.receiver.next()
    assert headers["X-GitHub-Hook-Installation-Target-Type"] == "integration"
    assert headers["X-GitHub-Hook-Installation-Target-ID"] == str(app_hook.installed["app_id"])
    assert (payload["after"], payload["installation"]["id"]) == (head, app_hook.installed["installation_id"])
    await app_hook.standin("POST", "app/ping")
    headers, payload = await app_hook.receiver.next(2)
    assert (headers["X-GitHub-Event"], payload["hook"]["type"], payload["hook"]["app_id"]) == (
        "ping",
        "App",
        app_hook.installed["app_id"],
    )


async def test_an_app_that_may_not_read_a_repository_is_not_told_of_it(app_hook: Remote) -> None:
    url = f"/app/installations/{app_hook.installed['installation_id']}/suspended"
    await app_hook.app.put(url, jwt=app_hook.jwt)
    await _push_unheard(app_hook, "while suspended")
    await app_hook.app.delete(url, jwt=app_hook.jwt)
    await app_hook.install(repositories=["another"])
    await _push_unheard(app_hook, "with another repository allowed")
    await app_hook.install(repositories=["access"], permissions={"checks": "write"})
    await _push_unheard(app_hook, "without contents")
    await app_hook.install(permissions={"contents": "read"})
    head = app_hook.push("allowed", a="1")
    await app_hook.receiver.next()
    assert app_hook.receiver.heads() == [head]


async def _push_unheard(remote: Remote, message: str) -> None:
    remote.push(message, why=message)
    await until(remote.nothing_to_announce)


@known_difference(
    "github",
    "An App that may write checks is told of every push by a second event too, `check_suite` with "
    "`requested`.",
)
async def test_an_app_with_checks_is_asked_for_a_check_suite(app_hook: Remote) -> None:
    app_hook.push("one", a="1")
    await app_hook.receiver.next()
    app_hook.push("two", a="2")
    await app_hook.receiver.next(2)
    events = {headers["X-GitHub-Event"] for headers, _ in app_hook.receiver.requests}
    assert events == {"push", "check_suite"}
