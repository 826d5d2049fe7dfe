"""Webhooks of GitHub, as the app reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.adapters.github_webhook import Expected, Refused, read_delivery
from standins.tests.github.remotes import SECRET, Remote, a_remote
from standins.tests.plugin import StandIns


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


async def test_a_webhook_of_the_repository_knows_no_installation_and_our_app_refuses_it(
    remote: Remote, app_hook: Remote
) -> None:
    repository = (await remote.app.getitem(remote.path()))["id"]
    expected = Expected((SECRET,), repository, "main", remote.installed["installation_id"])
    remote.push("one", a="1")
    await remote.receiver.next()
    headers, body = remote.receiver.requests[0]
    assert read_delivery({name.lower(): value for name, value in headers.items()}, body, expected) is not None
    await remote.install(webhook_url=None)
    await remote.set_up(webhook_url=remote.receiver.url, webhook_secret=SECRET)
    remote.push("two", a="2")
    await remote.receiver.next(2)
    headers, body = remote.receiver.requests[1]
    with pytest.raises(Refused, match="not the installation"):
        read_delivery({name.lower(): value for name, value in headers.items()}, body, expected)
