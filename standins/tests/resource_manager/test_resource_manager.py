"""What Resource Manager checks and tells whoever comes: tokens, how many requests, where things are, the
cluster's address.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import jwt
import msal  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
import yaml
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError
from azure.identity import ClientSecretCredential
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.authorization.aio import AuthorizationManagementClient
from azure.mgmt.containerservice.aio import ContainerServiceClient

from standins.identity import CLIENT_SECRET, OTHER_TENANT
from standins.tests.azure_clients import ask, managed_identity
from standins.tests.differences import known_difference
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION, TENANT

MANAGEMENT = "https://management.azure.com"
HERE = f"/subscriptions/{SUBSCRIPTION}"
GROUPS = f"{HERE}/resourceGroups?api-version=2024-11-01"
CLUSTER = ("ai", "contoso-gpu")


@pytest.fixture(autouse=True)
def _managed_identity(standins: StandIns) -> Iterator[None]:
    with managed_identity(standins):
        yield


@contextlib.contextmanager
def options(standins: StandIns, server: str, **changed: Any) -> Iterator[None]:
    before = standins.control.options(server)
    standins.control.set_options(server, **changed)
    try:
        yield
    finally:
        standins.control.set_options(server, **{name: before[name] for name in changed})


def by_secret(
    standins: StandIns, client: str = "operator", secret: str = CLIENT_SECRET, tenant: str = TENANT
) -> ClientSecretCredential:
    """A service principal with a secret, which signs in where Resource Manager says."""
    authority = standins.addresses["resource-manager"]
    return ClientSecretCredential(
        tenant,
        client,
        secret,
        authority=authority,
        disable_instance_discovery=True,
        connection_verify=standins.ca,
    )


def get(standins: StandIns, path: str, token: str | None) -> tuple[int, Any, dict[str, str]]:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return ask(standins, "GET", standins.addresses["resource-manager"] + path, **headers)


# -- tokens --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("audience", [MANAGEMENT, f"{MANAGEMENT}/", "https://management.core.windows.net/"])
def test_a_token_for_either_name_of_resource_manager_is_taken(standins: StandIns, audience: str) -> None:
    token = by_secret(standins).get_token(f"{audience}/.default").token
    assert jwt.decode(token, options={"verify_signature": False})["aud"] == audience
    assert get(standins, GROUPS, token)[0] == 200


def refused_token(standins: StandIns, token: str | None) -> tuple[str, str, str]:
    """Code, message and challenge of the 401."""
    status, body, headers = get(standins, GROUPS, token)
    assert status == 401
    return body["error"]["code"], body["error"]["message"], headers["WWW-Authenticate"]


def test_a_request_without_a_token_is_told_where_to_get_one(standins: StandIns) -> None:
    code, message, challenge = refused_token(standins, None)
    assert (code, message) == (
        "AuthenticationFailed",
        "Authentication failed. The 'Authorization' header is missing.",
    )
    assert challenge.startswith(
        f'Bearer authorization_uri="https://login.windows.net/{TENANT}", error="invalid_token"'
    )


def test_a_token_for_another_service_is_refused(standins: StandIns) -> None:
    code, message, _ = refused_token(
        standins, by_secret(standins).get_token("https://vault.azure.net/.default").token
    )
    assert code == "InvalidAuthenticationTokenAudience"
    assert "audience or resource 'https://vault.azure.net'" in message


def test_an_expired_token_is_refused(standins: StandIns) -> None:
    with options(standins, "identity", client_credentials_seconds=0):
        token = by_secret(standins).get_token(f"{MANAGEMENT}/.default").token
    code, message, challenge = refused_token(standins, token)
    assert code == "ExpiredAuthenticationToken"
    assert "is earlier than current UTC time" in message
    assert "expiry" in challenge


def test_a_token_of_another_tenant_is_refused(standins: StandIns) -> None:
    code, message, _ = refused_token(
        standins, by_secret(standins, tenant=OTHER_TENANT).get_token(f"{MANAGEMENT}/.default").token
    )
    assert code == "InvalidAuthenticationTokenTenant"
    assert f"wrong issuer 'https://sts.windows.net/{OTHER_TENANT}/'" in message


def test_a_forged_token_is_refused(standins: StandIns) -> None:
    claims = jwt.decode(
        by_secret(standins).get_token(f"{MANAGEMENT}/.default").token, options={"verify_signature": False}
    )
    assert (
        refused_token(standins, jwt.encode(claims, "x" * 32, algorithm="HS256"))[0]
        == "InvalidAuthenticationToken"
    )


async def test_a_managed_identity_gets_a_new_token_when_the_old_one_has_expired(standins: StandIns) -> None:
    async with ManagedIdentityCredential(client_id=f"brief-{uuid.uuid4().hex[:8]}") as credential:
        with options(standins, "identity", managed_identity_seconds=0):
            expired = await credential.get_token(f"{MANAGEMENT}/.default")
        fresh = await credential.get_token(f"{MANAGEMENT}/.default")
    assert expired.expires_on <= time.time() < fresh.expires_on


# -- signing in ----------------------------------------------------------------------------------------------


def test_the_endpoints_lead_to_a_sign_in_with_msal(standins: StandIns) -> None:
    status, endpoints, _ = get(standins, "/metadata/endpoints?api-version=2022-09-01", None)
    assert status == 200
    assert endpoints["resourceManager"] == standins.addresses["resource-manager"]
    assert endpoints["suffixes"]["keyVaultDns"] == standins.addresses["key-vault"].removeprefix("https://")
    authority = f"{endpoints['authentication']['loginEndpoint']}/{TENANT}"
    app = msal.ConfidentialClientApplication(
        "operator", CLIENT_SECRET, authority, instance_discovery=False, verify=standins.ca
    )
    answer = app.acquire_token_for_client([f"{endpoints['authentication']['audiences'][0]}/.default"])
    assert get(standins, GROUPS, answer["access_token"])[0] == 200


def test_a_wrong_secret_and_an_unknown_tenant_are_refused(standins: StandIns) -> None:
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        by_secret(standins, secret="guessed").get_token(f"{MANAGEMENT}/.default")
    with pytest.raises(ClientAuthenticationError, match="tenant"):
        by_secret(standins, tenant=str(uuid.uuid4())).get_token(f"{MANAGEMENT}/.default")


# -- how many requests ---------------------------------------------------------------------------------------


class Caller:
    """A principal of its own, with full buckets and every right; `many` sends as fast as it can."""

    def __init__(self, standins: StandIns, session: aiohttp.ClientSession, client: str, token: str) -> None:
        self.client = client
        self._url = standins.addresses["resource-manager"]
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str) -> tuple[int, dict[str, str], Any]:
        async with self._session.request(method, self._url + path, headers=self._headers) as response:
            return (
                response.status,
                dict(response.headers),
                await response.json(content_type=None) if response.status != 204 else None,
            )

    async def many(self, count: int, method: str, path: str) -> tuple[Counter[int], float]:
        """How many of each status, and in how many seconds."""
        started = time.monotonic()
        answers = await asyncio.gather(*(self.ask(method, path) for _ in range(count)))
        return Counter(status for status, _, _ in answers), time.monotonic() - started

    async def until_refused(self, method: str, path: str) -> tuple[int, dict[str, str], Any]:
        """The first answer that is a refusal: on a busy machine there are tokens again when many have their
        answers.
        """
        while (answer := await self.ask(method, path))[0] != 429:
            pass
        return answer


@contextlib.asynccontextmanager
async def a_caller(standins: StandIns) -> AsyncIterator[Caller]:
    client = f"busy-{uuid.uuid4().hex[:8]}"
    owners = [*standins.control.options("azure")["owners"], client]
    context = ssl.create_default_context(cafile=standins.ca)
    with options(standins, "azure", throttling=True, owners=owners):
        async with (
            ManagedIdentityCredential(client_id=client) as credential,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, limit=20)) as session,
        ):
            yield Caller(
                standins, session, client, (await credential.get_token(f"{MANAGEMENT}/.default")).token
            )


NOBODY = f"{HERE}/providers/Microsoft.Authorization/roleAssignments/{uuid.uuid4()}?api-version=2022-04-01"


@pytest.mark.parametrize(
    ("method", "path", "kind", "capacity", "rate"),
    [("GET", GROUPS, "read", 250, 25), ("DELETE", NOBODY, "delete", 200, 10)],
)
async def test_who_asks_too_much_waits(
    standins: StandIns, method: str, path: str, kind: str, capacity: int, rate: int
) -> None:
    async with a_caller(standins) as caller:
        answers, seconds = await caller.many(2 * capacity, method, path)
        assert set(answers) <= {200, 204, 429}
        assert capacity <= answers.total() - answers[429] <= capacity + rate * seconds + 1
        assert answers[429] > 0
        status, headers, body = await caller.until_refused(method, path)
        assert (status, body["error"]["code"]) == (429, "SubscriptionRequestsThrottled")
        assert (
            f"Number of '{kind}' requests for subscription '{SUBSCRIPTION}' actor" in body["error"]["message"]
        )
        standins.control.advance(int(headers["Retry-After"]) + 0.1)
        assert (await caller.ask(method, path))[0] in (200, 204)


async def test_who_does_not_wait_is_refused_though_there_are_tokens_again(standins: StandIns) -> None:
    async with a_caller(standins) as caller:
        await caller.many(320, "GET", GROUPS)
        standins.control.advance(1.0)
        await caller.until_refused("GET", GROUPS)  # just now, and for a second
        standins.control.advance(0.2)
        status, headers, _ = await caller.ask("GET", GROUPS)
        assert (status, headers["Retry-After"]) == (429, "1")
        standins.control.advance(1.0)
        assert (await caller.ask("GET", GROUPS))[0] == 200


async def test_every_answer_says_how_many_are_left(standins: StandIns) -> None:
    async with a_caller(standins) as caller:
        left = [
            int((await caller.ask("GET", GROUPS))[1]["x-ms-ratelimit-remaining-subscription-reads"])
            for _ in range(3)
        ]
        assert 240 <= left[-1] <= left[0] <= 249
        _, headers, _ = await caller.ask("DELETE", NOBODY)
        assert int(headers["x-ms-ratelimit-remaining-subscription-deletes"]) == 199
        assert int(headers["x-ms-ratelimit-remaining-subscription-global-deletes"]) <= 2999
        _, headers, _ = await caller.ask("GET", "/subscriptions?api-version=2022-12-01")
        assert int(headers["x-ms-ratelimit-remaining-tenant-reads"]) == 249


async def test_principals_and_kinds_of_requests_have_buckets_of_their_own(standins: StandIns) -> None:
    async with a_caller(standins) as busy, a_caller(standins) as idle:
        await busy.many(310, "GET", GROUPS)
        await busy.until_refused("GET", GROUPS)
        assert (await busy.ask("DELETE", NOBODY))[0] == 204
        assert (await idle.ask("GET", GROUPS))[0] == 200


async def test_the_sdk_waits_as_long_as_it_is_told(standins: StandIns) -> None:
    statuses: list[int] = []
    async with a_caller(standins) as caller, ManagedIdentityCredential(client_id=caller.client) as credential:
        base = standins.addresses["resource-manager"]
        async with AuthorizationManagementClient(
            credential, SUBSCRIPTION, base_url=base, connection_verify=standins.ca
        ) as sdk:
            definitions: Any = sdk.role_definitions

            async def read() -> list[Any]:
                noted = definitions.list(
                    HERE,
                    filter="roleName eq 'Reader'",
                    raw_response_hook=lambda answer: statuses.append(status(answer)),
                )
                return [row async for row in noted]

            await read()
            # on a busy machine the second that must be waited may be over before the SDK asks
            for _ in range(5):
                await caller.many(320, "GET", GROUPS)
                assert len(await read()) == 1
                if 429 in statuses:
                    break
    assert statuses[-2:] == [429, 200]


def status(answer: Any) -> int:
    return int(answer.http_response.status_code)


# -- where things are ----------------------------------------------------------------------------------------


@pytest.fixture
def operator(standins: StandIns) -> str:
    return by_secret(standins).get_token(f"{MANAGEMENT}/.default").token


def test_the_subscription_is_listed_to_those_who_have_a_role_in_it(standins: StandIns, operator: str) -> None:
    path = "/subscriptions?api-version=2022-12-01"
    [found] = get(standins, path, operator)[1]["value"]
    assert (found["subscriptionId"], found["tenantId"], found["state"]) == (SUBSCRIPTION, TENANT, "Enabled")
    nobody = by_secret(standins, f"nobody-{uuid.uuid4().hex[:8]}").get_token(f"{MANAGEMENT}/.default").token
    assert get(standins, path, nobody)[1]["value"] == []
    assert get(standins, "/tenants?api-version=2022-12-01", nobody)[1]["value"][0]["tenantId"] == TENANT


def test_resource_groups_and_providers_are_shown(standins: StandIns, operator: str) -> None:
    version = "?api-version=2024-11-01"
    assert get(standins, f"{HERE}/resourceGroups/AI{version}", operator)[1]["name"] == "ai"
    status, body, _ = get(standins, f"{HERE}/resourceGroups/none{version}", operator)
    assert (status, body["error"]["code"]) == (404, "ResourceGroupNotFound")
    status, body, _ = get(standins, f"{HERE}/providers/Microsoft.ApiManagement{version}", operator)
    assert (status, body["registrationState"]) == (200, "Registered")
    assert get(standins, f"{HERE}/providers/Microsoft.Nothing{version}", operator)[0] == 404
    status, body, _ = get(standins, f"/subscriptions/{uuid.uuid4()}/resourceGroups{version}", operator)
    assert (status, body["error"]["code"]) == (404, "SubscriptionNotFound")


def test_a_resource_group_is_made_and_keeps_its_place(standins: StandIns, operator: str) -> None:
    name = f"rg-{uuid.uuid4().hex[:8]}"
    url = f"{standins.addresses['resource-manager']}{HERE}/resourceGroups/{name}?api-version=2024-11-01"

    def put(body: Any) -> tuple[int, Any]:
        return ask(standins, "PUT", url, body=body, Authorization=f"Bearer {operator}")[:2]

    assert put({"location": "westeurope", "tags": {"team": "alpha"}})[0] == 201
    status, body = put({"location": "westeurope", "tags": {"team": "beta"}})
    assert (status, body["tags"]) == (200, {"team": "beta"})
    assert put({"location": "northeurope"})[1]["error"]["code"] == "InvalidResourceGroupLocation"
    assert put({})[1]["error"]["code"] == "LocationRequired"


@known_difference(
    "resource-manager",
    "An operation in a resource group that does not exist is answered with 404 ResourceGroupNotFound.",
)
def test_a_resource_group_must_exist(standins: StandIns, operator: str) -> None:
    service = f"{HERE}/resourceGroups/none/providers/Microsoft.ApiManagement/service/none"
    status, body, _ = get(standins, f"{service}/products?api-version=2024-05-01", operator)
    assert (status, body["error"]["code"]) == (404, "ResourceGroupNotFound")


# -- the cluster ---------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def clusters(standins: StandIns) -> AsyncIterator[ContainerServiceClient]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            base = standins.addresses["resource-manager"]
            async with ContainerServiceClient(
                credential, SUBSCRIPTION, base_url=base, connection_verify=standins.ca
            ) as client:
                yield client


async def kubeconfig(clusters: ContainerServiceClient, **form: Any) -> Any:
    answer = await clusters.managed_clusters.list_cluster_user_credentials(*CLUSTER, **form)
    assert answer.kubeconfigs is not None
    value = answer.kubeconfigs[0].value
    assert value is not None
    return yaml.safe_load(bytes(value))


async def test_the_kubeconfig_calls_kubelogin(standins: StandIns, clusters: ContainerServiceClient) -> None:
    config = await kubeconfig(clusters)
    assert config["clusters"][0]["cluster"]["server"] == standins.addresses["kubernetes"]
    [context], [user] = config["contexts"], config["users"]
    assert (config["current-context"], context["context"]["user"], user["name"]) == (
        "contoso-gpu",
        user["name"],
        "clusterUser_ai_contoso-gpu",
    )
    command = user["user"]["exec"]
    assert (command["command"], command["args"][0]) == ("kubelogin", "get-token")
    assert "6dae42f8-4368-4678-94ff-3960e28e3630" in command["args"]
    older = (await kubeconfig(clusters, format="azure"))["users"][0]["user"]["auth-provider"]
    assert (older["name"], older["config"]["tenant-id"]) == ("azure", TENANT)


async def test_there_are_no_local_accounts(clusters: ContainerServiceClient) -> None:
    with pytest.raises(HttpResponseError, match="disable local accounts") as refused:
        await clusters.managed_clusters.list_cluster_admin_credentials(*CLUSTER)
    assert refused.value.status_code == 400


async def test_the_cluster_is_shown_and_listed(clusters: ContainerServiceClient) -> None:
    cluster: Any = await clusters.managed_clusters.get(*CLUSTER)
    assert (cluster.name, cluster.provisioning_state, cluster.disable_local_accounts) == (
        "contoso-gpu",
        "Succeeded",
        True,
    )
    assert cluster.id in [found.id async for found in clusters.managed_clusters.list()]
    assert cluster.id in [found.id async for found in clusters.managed_clusters.list_by_resource_group("ai")]
    assert [found.id async for found in clusters.managed_clusters.list_by_resource_group("elsewhere")] == []


@known_difference(
    "resource-manager", "A managed cluster that does not exist is answered with 404 ResourceNotFound."
)
async def test_a_cluster_must_exist(clusters: ContainerServiceClient) -> None:
    with pytest.raises(HttpResponseError, match="ResourceNotFound"):
        await clusters.managed_clusters.get("ai", "none")
