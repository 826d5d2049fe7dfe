"""GitHub's limits on how often one may ask, as gidgethub and the app's own adapter meet them."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import aiohttp
import gidgethub
import pytest

from shared.adapters.github import GitHubClient
from shared.errors import Throttled
from standins.tests.github.remotes import Remote, a_remote, options, refusal
from standins.tests.plugin import StandIns


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        yield remote


@pytest.fixture
async def client(remote: Remote) -> AsyncIterator[GitHubClient]:
    """The app's own, with a person's token."""
    client = GitHubClient(remote.address, None, remote.plain.oauth_token)
    yield client
    await client.close()


async def test_an_hour_has_five_thousand_requests_and_a_304_is_none(remote: Remote) -> None:
    remote.push("one", a="1")
    answer = await remote.ask(remote.path("/branches/main"))
    assert (answer.headers["x-ratelimit-limit"], answer.headers["x-ratelimit-remaining"]) == ("5000", "4999")
    assert 0 < int(answer.headers["x-ratelimit-reset"]) - time.time() <= 3601
    await remote.ask(remote.path("/branches/main"), **{"If-None-Match": answer.headers["ETag"]})
    await remote.ask(remote.path("/branches/other"))
    core = (await remote.app.getitem("/rate_limit"))["resources"]["core"]
    assert (core["limit"], core["used"], core["remaining"]) == (5000, 2, 4998)


async def test_who_asked_too_often_waits_for_the_hour_to_end(remote: Remote) -> None:
    with options(remote.control, rate_limit=2):
        for _ in range(2):
            await remote.app.getitem(remote.path())
        with pytest.raises(
            gidgethub.RateLimitExceeded, match=f"installation ID {remote.installed['installation_id']}"
        ):
            await remote.app.getitem(remote.path())
        assert await remote.plain.getitem(remote.path()), "a person has a limit of their own"
        assert (await remote.app.getitem("/rate_limit"))["rate"]["remaining"] == 0
        remote.control.advance(3601)
        remote.app.oauth_token = await remote.token()
        assert await remote.app.getitem(remote.path())


@pytest.mark.parametrize("status", [403, 429])
async def test_our_client_is_told_how_long_to_wait(remote: Remote, client: GitHubClient, status: int) -> None:
    remote.push("one", a="1")
    with options(remote.control, rate_limit=0, limit_status=status):
        with pytest.raises(Throttled) as raised:
            await client.get(remote.path())
        with pytest.raises(Throttled):
            await client.download(remote.path("/tarball/main"), io.BytesIO())
    assert raised.value.retry_after is not None
    assert timedelta(minutes=59) < raised.value.retry_after <= timedelta(hours=1, seconds=2)


async def test_eighty_things_made_in_a_minute_are_enough_and_500_in_an_hour(
    remote: Remote, client: GitHubClient
) -> None:
    sha = remote.push("one", a="1")
    path, status = remote.path(f"/statuses/{sha}"), {"state": "success"}
    with options(remote.control, secondary_limits=True):
        for minute in range(7):
            await asyncio.gather(*(client.post(path, status) for _ in range(80 if minute < 6 else 20)))
            if minute == 0:
                with pytest.raises(Throttled) as raised:
                    await client.post(path, status)
                assert raised.value.retry_after is not None
                assert timedelta(seconds=50) < raised.value.retry_after <= timedelta(seconds=60)
            remote.control.advance(61)
        with refusal(403, "blocked from content creation"):
            await remote.plain.post(path, data=status)
        assert await remote.plain.getitem(remote.path()), "who only reads may go on"
        remote.control.advance(3600)
        await remote.plain.post(path, data=status)


async def test_a_minute_has_900_points(remote: Remote) -> None:
    headers = {"Authorization": f"Bearer {remote.plain.oauth_token}"}

    async def read() -> aiohttp.ClientResponse:
        async with remote.session.get(f"{remote.address}{remote.path()}", headers=headers) as response:
            return response

    with options(remote.control, secondary_limits=True):
        for _ in range(18):
            await asyncio.gather(*(read() for _ in range(50)))
        refused = await read()
        assert (refused.status, refused.headers["Retry-After"], refused.headers["x-ratelimit-remaining"]) == (
            403,
            "60",
            "4100",
        )
        remote.control.advance(61)
        assert (await read()).status == 200
