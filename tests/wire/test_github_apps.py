"""The app's own client as a GitHub App: its tokens, and what it asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters.github import AppKey, GitHubClient, GitHubRepository
from shared.errors import AccessDenied, Unavailable
from standins.tests.github.remotes import Remote, a_remote, faults
from standins.tests.plugin import StandIns


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        yield remote


@pytest.fixture
async def client(remote: Remote) -> AsyncIterator[GitHubClient]:
    """The app's own."""
    key = AppKey(
        str(remote.installed["app_id"]), remote.installed["private_key"], remote.installed["installation_id"]
    )
    client = GitHubClient(remote.address, key, None)
    yield client
    await client.close()


async def test_our_client_renews_a_token_that_github_takes_no_longer(
    remote: Remote, client: GitHubClient
) -> None:
    sha = remote.push("one", a="1")
    repository = GitHubRepository(client, remote.name, "main")
    head = await repository.head()
    assert head is not None
    token = await client.token()
    remote.control.advance(3601)
    assert await repository.head() == head
    assert await client.token() != token
    remote.control.advance(3601)
    assert await repository.archive(sha) == {"a": b"1"}
    remote.control.advance(3601)
    await client.post(remote.path(f"/statuses/{sha}"), {"state": "success"})


async def test_our_client_asks_once_in_its_life_for_a_file_of_a_commit(
    remote: Remote, client: GitHubClient
) -> None:
    sha, repository = remote.push("one", a="1", b="2"), GitHubRepository(client, remote.name, "main")
    assert await repository.file(sha, "a") == b"1"
    with faults(remote.control, "GET contents", status=500):
        assert await repository.file(sha, "a") == b"1"
        with pytest.raises(Unavailable):
            await repository.file(sha, "b")
    assert await repository.file(sha, "b") == b"2"


async def test_our_client_says_so_when_the_installation_is_gone(remote: Remote, client: GitHubClient) -> None:
    await client.get(remote.path())
    await remote.app.delete(f"/app/installations/{remote.installed['installation_id']}", jwt=remote.jwt)
    with pytest.raises(Exception, match="404") as raised:
        await client.get(remote.path())
    assert not isinstance(raised.value, AccessDenied)
