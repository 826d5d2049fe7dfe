"""Who may do what in the Key Vault stand-in, and how much of it."""

from __future__ import annotations

import contextlib
import json
import urllib.parse
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
import pytest_asyncio
from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.identity.aio import ManagedIdentityCredential
from azure.keyvault.secrets.aio import SecretClient
from azure.mgmt.authorization.v2022_04_01.models import (
    Permission,
    RoleAssignmentCreateParameters,
    RoleDefinition,
)

from standins.identity import CLIENT_SECRET, OTHER_TENANT, principal
from standins.key_vault.access import OWN_ACTIONS
from standins.tests.azure_clients import ask, authorization, managed_identity
from standins.tests.plugin import ROOT, StandIns
from standins.world import SUBSCRIPTION, TENANT, Right

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-vault"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-access"
OFFICER = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
USER = "4633458b-17de-408a-b874-0445c86b69e6"
READER = "21090545-7ca7-4776-b22c-e363652d74d2"


@pytest.fixture(autouse=True)
def identity(standins: StandIns) -> Iterator[None]:
    with managed_identity(standins):
        yield


@contextlib.asynccontextmanager
async def as_client(standins: StandIns, client_id: str | None) -> AsyncIterator[SecretClient]:
    """The vault as a managed identity sees it; None is the app's own. Nothing is tried again."""
    url, ca = standins.addresses["key-vault"], standins.ca
    async with (
        ManagedIdentityCredential(client_id=client_id) as credential,
        SecretClient(
            url, credential, verify_challenge_resource=False, connection_verify=ca, retry_total=0
        ) as client,
    ):
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def officer(standins: StandIns) -> AsyncIterator[SecretClient]:
    async with as_client(standins, "vault-officer") as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"alpha-{uuid.uuid4().hex[:12]}-primary-key"


@contextlib.contextmanager
def options(standins: StandIns, **changed: Any) -> Iterator[None]:
    before = standins.control.options("key-vault")
    standins.control.set_options("key-vault", **changed)
    try:
        yield
    finally:
        standins.control.set_options("key-vault", **{option: before[option] for option in changed})


async def assign(standins: StandIns, role: str, scope: str, client_id: str) -> None:
    definition = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    wanted = RoleAssignmentCreateParameters(
        role_definition_id=definition, principal_id=principal(client_id), principal_type="ServicePrincipal"
    )
    async with (
        ManagedIdentityCredential(client_id="operator") as credential,
        authorization(standins, credential) as client,
    ):
        await client.role_assignments.create(scope, str(uuid.uuid4()), wanted)


async def refusal(call: Any) -> str:
    """The text of the 403 that the call ends with."""
    with pytest.raises(HttpResponseError) as refused:
        await call
    assert refused.value.status_code == 403
    assert refused.value.error is not None
    assert refused.value.error.innererror == {"code": "ForbiddenByRbac"}
    return str(refused.value.error.message)


def get(
    standins: StandIns, path: str, token: str | None = None
) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, error and headers of a GET."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    status, body, answered = ask(standins, "GET", f"{standins.addresses['key-vault']}{path}", **headers)
    return status, body["error"], answered


def a_token(standins: StandIns, scope: str = "https://vault.azure.net/.default", tenant: str = TENANT) -> str:
    """Of some client, from the identity stand-in."""
    form = {
        "grant_type": "client_credentials",
        "client_id": "ci",
        "client_secret": CLIENT_SECRET,
        "scope": scope,
    }
    url = f"{standins.addresses['identity']}/{tenant}/oauth2/v2.0/token"
    with urllib.request.urlopen(url, data=urllib.parse.urlencode(form).encode(), timeout=120) as response:
        return str(json.load(response)["access_token"])


def test_the_first_call_is_answered_with_a_challenge(standins: StandIns) -> None:
    status, error, headers = get(standins, "/secrets/x/?api-version=7.5")
    assert (status, error["code"]) == (401, "Unauthorized")
    assert error["message"] == "AKV10000: Request is missing a Bearer or PoP token."
    assert headers["WWW-Authenticate"].startswith(
        f'Bearer authorization="{standins.addresses["identity"]}/{TENANT}"'
    )
    assert 'resource="https://vault.azure.net"' in headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (
            {"scope": "https://management.azure.com/.default"},
            "AKV10022: Invalid audience. Expected https://vault.azure.net, found: ",
        ),
        (
            {"tenant": OTHER_TENANT},
            f"AKV10032: Invalid issuer. Expected one of https://sts.windows.net/{TENANT}/, ",
        ),
    ],
)
def test_a_token_for_something_else_is_answered_with_a_challenge(
    standins: StandIns, of: dict[str, str], said: str
) -> None:
    status, error, headers = get(standins, "/secrets/x/?api-version=7.5", a_token(standins, **of))
    assert (status, error["code"]) == (401, "Unauthorized")
    assert error["message"].startswith(said)
    assert "WWW-Authenticate" in headers


def test_a_token_that_expired_is_refused(standins: StandIns) -> None:
    before = standins.control.options("identity")["client_credentials_seconds"]
    standins.control.set_options("identity", client_credentials_seconds=0)
    try:
        token = a_token(standins)
    finally:
        standins.control.set_options("identity", client_credentials_seconds=before)
    assert get(standins, "/secrets/x/?api-version=7.5", token)[0] == 401


def test_a_forged_token_is_refused(standins: StandIns) -> None:
    forged = jwt.encode(
        {"aud": "https://vault.azure.net", "iss": f"https://sts.windows.net/{TENANT}/"},
        "x" * 32,
        algorithm="HS256",
    )
    for token in (forged, "no-token-at-all"):
        assert get(standins, "/secrets/x/?api-version=7.5", token)[0] == 401


@pytest.mark.parametrize(
    ("query", "said"), [("", "must be specified"), ("?api-version=7.99", "(7.99) is not recognized")]
)
def test_an_api_version_is_required_and_must_be_known(standins: StandIns, query: str, said: str) -> None:
    status, error, _ = get(standins, f"/secrets/x/{query}", a_token(standins))
    assert (status, error["code"]) == (400, "BadParameter")
    assert said in error["message"]


async def test_the_app_writes_and_cannot_read_what_it_wrote(
    standins: StandIns, officer: SecretClient, name: str
) -> None:
    async with as_client(standins, None) as app:
        version = (await app.set_secret(name, "for the team")).properties.version
        assert "secrets/getSecret/action'" in await refusal(app.get_secret(name))
        assert [item.version async for item in app.list_properties_of_secret_versions(name)] == [version]
        await app.update_secret_properties(name, version, tags={"team": "alpha"})
        await app.delete_secret(name)
        assert "secrets/getSecret/action'" in await refusal(app.get_deleted_secret(name))
        assert {item.name: item.properties.tags async for item in app.list_deleted_secrets()}[name] == {
            "team": "alpha"
        }
        assert "secrets/purge/action'" in await refusal(app.purge_deleted_secret(name))
        await app.recover_deleted_secret(name)
    assert (await officer.get_secret(name)).value == "for the team"


def test_the_app_may_do_here_what_its_role_in_azure_allows() -> None:
    role = json.loads((ROOT / "infra" / "roles.json").read_text())["own_roles"]["secrets writer"]
    assert set(role["data_actions"]) == {f"Microsoft.KeyVault/vaults/secrets/{one}" for one in OWN_ACTIONS}


async def test_a_refusal_says_who_wanted_what_from_which_vault(standins: StandIns, name: str) -> None:
    client = f"stranger-{uuid.uuid4().hex}"
    with options(standins, vault_id=VAULT):
        async with as_client(standins, client) as stranger:
            message = await refusal(stranger.delete_secret(name))
    lines = message.split("\r\n")
    assert f"Caller: appid={client};oid={principal(client)};iss=https://sts.windows.net/{TENANT}/" in lines
    assert "Action: 'Microsoft.KeyVault/vaults/secrets/delete'" in lines
    assert f"Resource: '{VAULT.lower()}/secrets/{name}'" in lines
    assert "Assignment: (not found)" in lines
    assert "Vault: kv-access;location=westeurope" in lines


async def test_who_needed_which_right_is_told_of_what_was_allowed(standins: StandIns, name: str) -> None:
    client = f"reader-{uuid.uuid4().hex}"
    await assign(standins, READER, VAULT, client)
    async with as_client(standins, client) as reader:
        [_ async for _ in reader.list_properties_of_secrets()]
        await refusal(reader.delete_secret(name))
    rights = {one for one in standins.control.rights() if one.who == principal(client)}
    assert rights == {
        Right("key-vault", principal(client), "Microsoft.KeyVault/vaults/secrets/readMetadata/action", "")
    }


async def test_an_officer_may_do_everything(standins: StandIns, name: str) -> None:
    client = f"officer-{uuid.uuid4().hex}"
    await assign(standins, OFFICER, VAULT, client)
    async with as_client(standins, client) as vault:
        await vault.set_secret(name, "x")
        assert (await vault.get_secret(name)).value == "x"
        await vault.delete_secret(name)
        with options(standins, purge_protection=False):
            await vault.purge_deleted_secret(name)


async def test_a_secrets_user_reads_and_cannot_write(
    standins: StandIns, officer: SecretClient, name: str
) -> None:
    client = f"user-{uuid.uuid4().hex}"
    await assign(standins, USER, VAULT, client)
    await officer.set_secret(name, "x")
    async with as_client(standins, client) as vault:
        assert (await vault.get_secret(name)).value == "x"
        assert name in {item.name async for item in vault.list_properties_of_secrets()}
        assert "setSecret" in await refusal(vault.set_secret(name, "mine now"))
        assert "update" in await refusal(vault.update_secret_properties(name, enabled=False))
        assert "delete" in await refusal(vault.delete_secret(name))


async def test_a_reader_sees_names_and_tags_but_no_value(
    standins: StandIns, officer: SecretClient, name: str
) -> None:
    client = f"reader-{uuid.uuid4().hex}"
    await assign(standins, READER, GROUP, client)
    await officer.set_secret(name, "x", tags={"team": "alpha"})
    async with as_client(standins, client) as vault:
        assert {item.name: item.tags async for item in vault.list_properties_of_secrets()}[name] == {
            "team": "alpha"
        }
        assert "getSecret" in await refusal(vault.get_secret(name))


async def test_a_custom_role_allows_what_it_says(standins: StandIns, name: str) -> None:
    client, role = f"writer-{uuid.uuid4().hex}", str(uuid.uuid4())
    permission = Permission(data_actions=["Microsoft.KeyVault/vaults/secrets/setSecret/action"])
    wanted = RoleDefinition(
        role_name=f"Writer {role}",
        role_type="CustomRole",
        permissions=[permission],
        assignable_scopes=[GROUP],
    )
    async with (
        ManagedIdentityCredential(client_id="operator") as credential,
        authorization(standins, credential) as arm,
    ):
        await arm.role_definitions.create_or_update(GROUP, role, wanted)
    await assign(standins, role, VAULT, client)
    async with as_client(standins, client) as vault:
        await vault.set_secret(name, "x")
        assert "getSecret" in await refusal(vault.get_secret(name))
        assert "readMetadata" in await refusal(anext(vault.list_properties_of_secrets()))


async def test_a_role_on_one_secret_does_not_open_the_list_of_all(
    standins: StandIns, officer: SecretClient, name: str
) -> None:
    client = f"user-{uuid.uuid4().hex}"
    await officer.set_secret(name, "x")
    await assign(standins, USER, f"{VAULT}/secrets/{name}", client)
    async with as_client(standins, client) as vault:
        assert (await vault.get_secret(name)).value == "x"
        assert "readMetadata" in await refusal(anext(vault.list_properties_of_secrets()))


async def test_a_role_on_another_vault_does_not_count_where_the_vault_knows_its_id(
    standins: StandIns, officer: SecretClient, name: str
) -> None:
    client, other = f"user-{uuid.uuid4().hex}", f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-other"
    await officer.set_secret(name, "x")
    await assign(standins, USER, f"{other}/secrets/{name}", client)
    async with as_client(standins, client) as vault:
        with options(standins, vault_id=VAULT):
            await refusal(vault.get_secret(name))
        with options(standins, vault_id=other):
            assert (await vault.get_secret(name)).value == "x"


async def test_too_many_creations_are_throttled_until_the_window_ends(
    standins: StandIns, officer: SecretClient, name: str
) -> None:
    with options(standins, creations=3):
        standins.control.advance(10)
        for _ in range(3):
            await officer.set_secret(name, "x")
        with pytest.raises(HttpResponseError, match="too many requests") as refused:
            await officer.set_secret(name, "x")
        assert refused.value.status_code == 429
        assert refused.value.error is not None
        assert refused.value.error.code == "Throttled"
        assert (await officer.get_secret(name)).value == "x"
        standins.control.advance(10)
        await officer.set_secret(name, "x")


async def test_too_many_transactions_are_throttled_without_a_time_to_wait(
    standins: StandIns, officer: SecretClient, name: str
) -> None:
    await officer.set_secret(name, "x")
    with options(standins, transactions=2):
        standins.control.advance(10)
        await officer.get_secret(name)
        await officer.get_secret(name)
        refused = await officer.send_request(HttpRequest("GET", f"/secrets/{name}"))
    assert refused.status_code == 429
    assert "Retry-After" not in refused.headers
