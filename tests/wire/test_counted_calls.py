"""Calls are counted by how the services answer them, where the real SDKs make them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from shared import calls
from shared.adapters.github import AppKey, GitHubClient
from shared.errors import MergekeyError
from shared.secret import SecretValue
from standins.control import Control
from standins.tests.github.remotes import Remote, a_remote
from standins.tests.plugin import StandIns
from tests.wire.adapters import Adapters, the_adapters

READS = ("Azure Resource Manager", "reads")


@pytest.fixture
async def adapters(standins: StandIns) -> AsyncIterator[Adapters]:
    async with the_adapters(standins) as adapters:
        calls.take()
        yield adapters


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        calls.take()
        yield remote


@pytest.fixture
async def client(remote: Remote) -> AsyncIterator[GitHubClient]:
    client = GitHubClient(remote.address, None, remote.plain.oauth_token)
    yield client
    await client.close()


@contextmanager
def options(control: Control, server: str, **wishes: Any) -> Iterator[None]:
    """The stand-in behaves otherwise inside this block."""
    before = control.options(server)
    control.set_options(server, **wishes)
    yield
    control.set_options(server, **{name: before[name] for name in wishes})


def counts() -> dict[tuple[Any, Any], dict[str, Any]]:
    """What was counted, without what is left."""
    return {
        (row["to"], row["kind"]): {
            name: number for name, number in row.items() if name not in ("to", "kind", "left")
        }
        for row in calls.take()
    }


async def test_resource_managers_answers_are_counted_by_outcome(
    standins: StandIns, adapters: Adapters
) -> None:
    await adapters.gateway.products()
    await adapters.gateway.product("team-nowhere")
    for status in (429, 403, 400, 500, 503, 0):
        # aiohttp itself asks again where a connection breaks without an answer
        standins.control.fault("resource-manager", "GET product", status=status, count=None)
        with pytest.raises(MergekeyError):
            await adapters.gateway.product("team-nowhere")
        standins.control.forget_faults()
    await adapters.projects.projects()
    assert counts() == {READS: {"ok": 2, "absent": 1, "throttled": 1, "refused": 2, "failed": 3}}


async def test_the_least_that_resource_manager_says_is_left_is_told(
    standins: StandIns, adapters: Adapters
) -> None:
    for left in ("120", "7", "90"):
        headers = {"x-ms-ratelimit-remaining-subscription-reads": left}
        standins.control.fault("resource-manager", "GET product", status=404, headers=headers)
        await adapters.gateway.product("team-nowhere")
    assert calls.take() == [{"to": READS[0], "kind": "reads", "absent": 3, "left": 7}]
    await adapters.gateway.products()
    assert counts() == {READS: {"ok": 1}}, "each call is told once"


async def test_what_resource_manager_says_with_its_answers_is_told(
    standins: StandIns, adapters: Adapters
) -> None:
    with options(standins.control, "azure", throttling=True):
        await adapters.gateway.products()
    [row] = calls.take()
    assert (row["to"], row["kind"], row["ok"]) == (*READS, 1)
    assert 0 < int(row["left"]) <= 250


async def test_a_number_that_is_none_is_not_told(standins: StandIns, adapters: Adapters) -> None:
    headers = {"x-ms-ratelimit-remaining-subscription-reads": "9" * 5_000}
    standins.control.fault("resource-manager", "GET product", status=404, headers=headers)
    await adapters.gateway.product("team-nowhere")
    assert calls.take() == [{"to": READS[0], "kind": "reads", "absent": 1}]


async def test_the_vault_and_the_cluster_are_counted_too(standins: StandIns, adapters: Adapters) -> None:
    await adapters.vault.set("counted", SecretValue("x" * 16), "text", {})
    await adapters.vault.versions("counted")
    await adapters.vault.delete("counted")
    standins.control.fault("kubernetes", "GET namespace", status=429)
    with pytest.raises(MergekeyError):
        await adapters.cluster.namespace("team-counted")
    assert await adapters.cluster.namespace("team-counted") is None
    assert counts() == {
        ("Azure Resource Manager", "writes"): {"ok": 1},
        ("Key Vault", "writes"): {"ok": 1},
        ("Key Vault", "reads"): {"ok": 1},
        ("Key Vault", "deletes"): {"ok": 1},
        ("Kubernetes", "reads"): {"throttled": 1, "absent": 1},
    }


async def test_githubs_answers_are_counted_and_what_is_left(remote: Remote, client: GitHubClient) -> None:
    sha = remote.push("one", a="1")
    await client.get(remote.path())
    await client.post(remote.path(f"/statuses/{sha}"), {"state": "success"})
    await client.find(remote.path("/branches/nowhere"))
    await client.download(remote.path("/tarball/main"), io.BytesIO())
    reads, writes = calls.take()
    assert writes == {"to": "GitHub", "kind": "writes", "ok": 1, "left": 4998}
    assert reads == {"to": "GitHub", "kind": "reads", "ok": 2, "absent": 1, "left": 4997}


@pytest.mark.parametrize("status", [403, 429])
async def test_githubs_limits_are_throttling_whatever_their_status(
    remote: Remote, client: GitHubClient, status: int
) -> None:
    remote.push("one", a="1")
    with options(remote.control, "github", rate_limit=0, limit_status=status):
        for ask in (client.get(remote.path()), client.download(remote.path("/tarball/main"), io.BytesIO())):
            with pytest.raises(MergekeyError):
                await ask
    assert calls.take() == [{"to": "GitHub", "kind": "reads", "throttled": 2, "left": 0}]


async def test_a_limit_that_github_tells_in_words_alone_is_one(remote: Remote, client: GitHubClient) -> None:
    words = '{"message": "You have exceeded a secondary rate limit."}'
    for body in (words, '{"message": "Resource not accessible by integration"}'):
        remote.control.fault("github", ".*", status=403, body=body)
        with pytest.raises(MergekeyError):
            await client.get(remote.path())
    assert counts() == {("GitHub", "reads"): {"throttled": 1, "refused": 1}}


async def test_githubs_tokens_are_asked_for_and_counted(remote: Remote) -> None:
    installed = remote.installed
    app = AppKey(str(installed["app_id"]), installed["private_key"], installed["installation_id"])
    client = GitHubClient(remote.address, app, None)
    await client.get(remote.path())
    await client.close()
    assert counts() == {("GitHub", "reads"): {"ok": 1}, ("GitHub", "writes"): {"ok": 1}}


async def test_nothing_of_a_request_but_its_kind_is_kept(standins: StandIns, adapters: Adapters) -> None:
    standins.control.fault("key-vault", "LIST secrets", status=500)
    with pytest.raises(MergekeyError):
        await adapters.vault.newest()
    await adapters.gateway.product("team-secretive")
    told = calls.take()
    assert {name for row in told for name in row} == {"to", "kind", "absent", "failed"}
    assert {row["to"] for row in told} == {"Azure Resource Manager", "Key Vault"}
