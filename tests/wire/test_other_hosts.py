"""Tokens go to the host that the settings name and to no other, wherever an answer leads; and nobody else's
answer is believed.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.answers import origin
from shared.adapters.github import AppKey, GitHubClient, GitHubRepository
from shared.adapters.github_deliveries import GitHubDeliveries
from shared.errors import Unavailable
from standins.tests.github.remotes import Remote, a_remote
from standins.tests.plugin import StandIns
from tests.wire.adapters import Adapters, the_adapters
from tests.wire.elsewhere import Elsewhere, another_host
from tests.wire.test_archive import packed

#: By server and kind of call, the lists that go on at a link.
LISTS: dict[tuple[str, str], Callable[[Adapters], Awaitable[Any]]] = {
    ("resource-manager", "LIST products"): lambda at: at.gateway.products(),
    ("resource-manager", "LIST named values"): lambda at: at.gateway.named_values("a", 1),
    ("resource-manager", "LIST role assignments"): lambda at: at.roles.readers(),
    ("resource-manager", "LIST foundry projects"): lambda at: at.projects.projects(),
    ("key-vault", "LIST secrets"): lambda at: at.vault.newest(),
    ("key-vault", "GET secret versions"): lambda at: at.vault.versions("a"),
}
#: Calls that a service could redirect.
CALLS: dict[tuple[str, str], Callable[[Adapters], Awaitable[Any]]] = {
    **LISTS,
    ("resource-manager", "GET product"): lambda at: at.gateway.product("team-alpha"),
    ("resource-manager", "POST cluster listClusterUserCredential"): lambda at: at.cluster.namespaces(),
    ("key-vault", "DELETE secret"): lambda at: at.vault.delete("a"),
    ("kubernetes", "GET namespace"): lambda at: at.cluster.namespace("team-alpha"),
    ("kubernetes", "PATCH namespace"): lambda at: at.cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-alpha"}}
    ),
}


@pytest.fixture
async def elsewhere(standins: StandIns) -> AsyncIterator[Elsewhere]:
    async with another_host(standins) as elsewhere:
        yield elsewhere


@pytest.fixture
async def adapters(standins: StandIns) -> AsyncIterator[Adapters]:
    async with the_adapters(standins) as adapters:
        yield adapters


@pytest.mark.parametrize("where", LISTS, ids=" ".join)
async def test_a_list_goes_on_at_no_other_host(
    standins: StandIns, adapters: Adapters, elsewhere: Elsewhere, where: tuple[str, str]
) -> None:
    elsewhere.body = b'{"value": []}'
    standins.control.fault(
        *where, status=200, body=json.dumps({"value": [], "nextLink": f"{elsewhere.address}/more?x=1"})
    )
    with pytest.raises(Unavailable) as caught:
        await LISTS[where](adapters)
    assert caught.value.reason == "UnexpectedAnswer"
    assert elsewhere.requests == []


@pytest.mark.parametrize("status", [302, 307])
@pytest.mark.parametrize("where", CALLS, ids=" ".join)
async def test_a_redirection_takes_no_token_along_and_is_not_believed(
    standins: StandIns, adapters: Adapters, elsewhere: Elsewhere, where: tuple[str, str], status: int
) -> None:
    elsewhere.body = b'{"value": [], "metadata": {"name": "team-alpha", "resourceVersion": "1"}}'
    standins.control.fault(
        *where, status=status, body="{}", headers={"Location": f"{elsewhere.address}/there"}
    )
    with pytest.raises(Unavailable) as caught:
        await CALLS[where](adapters)
    assert caught.value.reason == "UnexpectedAnswer"
    assert [token for _, token in elsewhere.requests if token] == []


@pytest.mark.parametrize("header", ["Location", "Azure-AsyncOperation"])
async def test_an_operation_is_followed_to_no_other_host(
    standins: StandIns, adapters: Adapters, elsewhere: Elsewhere, header: str
) -> None:
    elsewhere.body = b'{"status": "Succeeded"}'
    body = json.dumps({"name": "odd", "properties": {"provisioningState": "InProgress"}})
    headers = {header: f"{elsewhere.address}/operation"}
    standins.control.fault("resource-manager", "PUT policy fragment", status=201, body=body, headers=headers)
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):
        await adapters.gateway.put_fragment("odd", "<fragment/>")
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (
            "https://contoso.vault.azure.net/secrets",
            "https://contoso.vault.azure.net:443/secrets?$skiptoken=a",
            True,
        ),
        ("https://Management.Azure.com/a", "https://management.azure.com", True),
        ("https://management.azure.com", "http://management.azure.com", False),
        ("https://management.azure.com", "https://management.azure.com:8443", False),
        ("https://management.azure.com", "https://management.azure.com.contoso.com", False),
        ("https://management.azure.com", "https://management.azure.com@contoso.com", False),
        ("https://management.azure.com", "//management.azure.com", False),
    ],
)
def test_two_addresses_are_of_one_host(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same


# ----------------------------------------------------------------------------------------------------- GitHub


@pytest.fixture
async def remote(standins: StandIns, tmp_path: Path) -> AsyncIterator[Remote]:
    async with a_remote(standins, tmp_path) as remote:
        yield remote
        standins.control.forget_faults()


@pytest.fixture
async def client(remote: Remote) -> AsyncIterator[GitHubClient]:
    key = AppKey(
        str(remote.installed["app_id"]), remote.installed["private_key"], remote.installed["installation_id"]
    )
    client = GitHubClient(remote.address, key, None)
    yield client
    await client.close()


async def test_githubs_next_page_is_at_no_other_host(
    remote: Remote, client: GitHubClient, elsewhere: Elsewhere
) -> None:
    elsewhere.body = b"[]"
    headers = {"Link": f'<{elsewhere.address}/more>; rel="next"'}
    remote.control.fault("github", "LIST deliveries of app", status=200, body="[]", headers=headers)
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):
        _ = [row async for row in client.listed_for_app("/app/hook/deliveries")]
    assert elsewhere.requests == []


async def test_github_redirects_no_question_to_another_host(
    remote: Remote, client: GitHubClient, elsewhere: Elsewhere
) -> None:
    headers = {"Location": f"{elsewhere.address}/there"}
    remote.control.fault(
        "github",
        "(GET repository|POST status|POST access token)",
        status=307,
        body="{}",
        headers=headers,
        count=3,
    )
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):  # the App's JWT
        await client.get(remote.path())
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):
        await client.get(remote.path())
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):
        await client.post(remote.path(f"/statuses/{'1' * 40}"), {})
    assert [token for _, token in elsewhere.requests] == ["", "", ""]


async def test_an_archive_is_fetched_from_where_github_says_without_our_token(
    remote: Remote, client: GitHubClient, elsewhere: Elsewhere
) -> None:
    """https://docs.github.com/rest/repos/contents#download-a-repository-archive-tar: at github.com it is at
    codeload.github.com.
    """
    elsewhere.body = packed({"top/a": b"1"})
    headers = {"Location": f"{elsewhere.address}/codeload"}
    remote.control.fault("github", "GET tarball", status=302, body="", headers=headers)
    assert await GitHubRepository(client, remote.name, "main").archive("1" * 40) == {"a": b"1"}
    assert elsewhere.requests == [("/codeload", "")]


async def test_deliveries_that_make_no_sense_are_a_trouble_that_may_pass(
    remote: Remote, client: GitHubClient
) -> None:
    for body in ("null", "{}", "[null]", "[{}]", '[{"id": 1, "guid": 2}]', "7", "<html>"):
        remote.control.fault("github", "LIST deliveries of app", status=200, body=body)
        with pytest.raises(Unavailable, match="UnexpectedAnswer"):
            await GitHubDeliveries(client).since(datetime.now(UTC), only_failed=True)


@pytest.mark.wrong_on_purpose  # the link leads to a page that GitHub does not have
async def test_deliveries_that_lead_back_to_themselves_end(remote: Remote, client: GitHubClient) -> None:
    headers = {"Link": f'<{remote.address}/app/hook/deliveries?again>; rel="next"'}
    remote.control.fault(
        "github", "LIST deliveries of app", status=200, body="[]", headers=headers, count=None
    )
    with pytest.raises(Unavailable, match="UnexpectedAnswer"):
        _ = [row async for row in client.listed_for_app("/app/hook/deliveries")]
