"""How a GitHub App proves itself at the stand-in, and what its tokens may do."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from gidgethub.aiohttp import GitHubAPI

from standins.tests.github.remotes import Remote, a_remote, refusal
from standins.tests.plugin import StandIns


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        yield remote


def signed(remote: Remote, algorithm: str = "RS256", **claims: Any) -> str:
    now = int(time.time())
    key = remote.installed["private_key"] if algorithm == "RS256" else "k" * 32
    return jwt.encode(
        {"iat": now - 60, "exp": now + 540, "iss": str(remote.installed["app_id"]), **claims},
        key,
        algorithm=algorithm,
    )


async def test_an_app_proves_itself_with_a_short_lived_jwt(remote: Remote) -> None:
    now = int(time.time())
    for token, status, message in (
        (signed(remote, exp=now + 660), 401, "too far in the future"),
        (signed(remote, iat=now - 700, exp=now - 1), 401, "'Expiration time' claim"),
        (signed(remote, iat=now + 300), 401, "'Issued at' claim"),
        (signed(remote, iat=f"{now}"), 401, "'Issued at' claim"),
        (signed(remote, iss="1"), 404, "Integration not found"),
        (signed(remote, algorithm="HS256"), 401, "could not be decoded"),
        (signed(remote)[:-8] + "AAAAAAAA", 401, "could not be decoded"),
    ):
        with refusal(status, message):
            await remote.app.getitem("/app", jwt=token)
    for issuer in (str(remote.installed["app_id"]), remote.installed["client_id"]):
        assert (await remote.app.getitem("/app", jwt=signed(remote, iss=issuer)))["id"] == remote.installed[
            "app_id"
        ]


async def test_a_token_is_needed(remote: Remote) -> None:
    stranger = GitHubAPI(remote.session, "tests", base_url=remote.address)
    with refusal(401, "Requires authentication"):
        await stranger.getitem(remote.path())
    for token in ("ghs_1_unknown", remote.jwt):
        with refusal(401, "Bad credentials"):
            await stranger.getitem(remote.path(), oauth_token=token)


async def test_a_token_ends_after_an_hour_or_when_it_is_revoked(remote: Remote) -> None:
    await remote.app.getitem(remote.path())
    remote.control.advance(3601)
    with refusal(401, "Bad credentials"):
        await remote.app.getitem(remote.path())
    token = await remote.token()
    await remote.app.delete("/installation/token", oauth_token=token)
    with refusal(401, "Bad credentials"):
        await remote.app.getitem(remote.path(), oauth_token=token)
    assert await remote.plain.getitem(remote.path())


async def test_a_token_can_be_narrowed(remote: Remote) -> None:
    await remote.standin("PUT", f"repositories/{remote.account}/other", {})
    token = await remote.token(permissions={"contents": "read"}, repositories=["access"])
    assert (await remote.app.getitem(remote.path(), oauth_token=token))["default_branch"] == "main"
    with refusal(403, "Resource not accessible by integration"):
        await remote.app.post(
            remote.path(f"/statuses/{'1' * 40}"), data={"state": "success"}, oauth_token=token
        )
    with refusal(404, "Not Found"):
        await remote.app.getitem(f"/repos/{remote.account}/other", oauth_token=token)
    seen = await remote.app.getitem("/installation/repositories", oauth_token=token)
    assert [repository["full_name"] for repository in seen["repositories"]] == [remote.name]
    assert (await remote.app.getitem("/installation/repositories"))["total_count"] == 2
    with refusal(422, "permissions requested are not granted"):
        await remote.token(permissions={"contents": "write"})
    with refusal(422, "at least one repository that does not exist"):
        await remote.token(repositories=["access", "nothing"])


async def test_an_installation_sees_its_own_account_only(remote: Remote) -> None:
    await remote.standin("PUT", "repositories/fabrikam/secret", {})
    with refusal(404, "Not Found"):
        await remote.app.getitem("/repos/fabrikam/secret")
    assert await remote.plain.getitem("/repos/fabrikam/secret")


async def test_what_the_owner_takes_away_is_gone_at_once(remote: Remote) -> None:
    sha = remote.push("one", a="1")
    await remote.install(permissions={"contents": "read", "metadata": "read"})
    with refusal(403, "Resource not accessible by integration"):
        await remote.app.post(remote.path(f"/statuses/{sha}"), data={"state": "success"})
    await remote.install(repositories=[])
    with refusal(404, "Not Found"):
        await remote.app.getitem(remote.path())


async def test_a_suspended_installation_is_refused_and_a_deleted_one_unknown(remote: Remote) -> None:
    url = f"/app/installations/{remote.installed['installation_id']}"
    assert (await remote.app.getitem(url, jwt=remote.jwt))["account"]["login"] == remote.account
    await remote.app.put(f"{url}/suspended", jwt=remote.jwt)
    with refusal(403, "This installation has been suspended"):
        await remote.token()
    with refusal(403, "This installation has been suspended"):
        await remote.app.getitem(remote.path())
    assert (await remote.app.getitem(url, jwt=remote.jwt))["suspended_at"]
    await remote.app.delete(f"{url}/suspended", jwt=remote.jwt)
    await remote.app.getitem(remote.path())
    await remote.app.delete(url, jwt=remote.jwt)
    with refusal(404, "Not Found"):
        await remote.token()
    with refusal(401, "Bad credentials"):
        await remote.app.getitem(remote.path())
    with refusal(404, "Not Found"):
        await remote.app.getitem(url, jwt=remote.jwt)
    assert (await remote.install())["installation_id"] != remote.installed["installation_id"]
