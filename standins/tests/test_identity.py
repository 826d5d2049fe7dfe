"""The identity stand-in, asked by azure-identity and by hand."""

from __future__ import annotations

import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import DefaultAzureCredential, ManagedIdentityCredential

from standins.identity import CLIENT_SECRET, IDENTITY_HEADER, InvalidToken, principal, verify
from standins.tests.azure_clients import ask, managed_identity
from standins.tests.plugin import StandIns
from standins.world import TENANT, World


@pytest.fixture(autouse=True)
def _managed_identity(standins: StandIns) -> Iterator[None]:
    with managed_identity(standins):
        yield


def claims_of(token: str) -> dict[str, object]:
    claims: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_the_default_credential_gets_a_token_for_the_apps_own_identity() -> None:
    async with DefaultAzureCredential() as credential:
        token = await credential.get_token("https://management.azure.com/.default")
    claims = claims_of(token.token)
    assert claims["aud"] == "https://management.azure.com"
    assert claims["tid"] == TENANT
    assert claims["oid"] == principal()
    assert token.expires_on > time.time() + 3600


async def test_another_client_id_is_another_principal() -> None:
    async with ManagedIdentityCredential(client_id="somebody-else") as credential:
        token = await credential.get_token("https://vault.azure.net/.default")
    assert claims_of(token.token)["oid"] == principal("somebody-else") != principal()


async def test_a_client_id_that_ends_with_a_group_belongs_to_it() -> None:
    group = str(uuid.uuid4())
    async with ManagedIdentityCredential(client_id=f"team-reader-{group}") as credential:
        token = await credential.get_token("https://vault.azure.net/.default")
    assert claims_of(token.token)["groups"] == [group]


async def test_a_wrong_identity_header_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "guessed")
    async with ManagedIdentityCredential() as credential:
        with pytest.raises(ClientAuthenticationError):
            await credential.get_token("https://vault.azure.net/.default")


def test_client_credentials_are_exchanged_for_a_token(standins: StandIns) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": "ci",
        "client_secret": CLIENT_SECRET,
        "scope": "https://vault.azure.net/.default",
    }
    url = f"{standins.addresses['identity']}/{TENANT}/oauth2/v2.0/token"
    with urllib.request.urlopen(url, data=urllib.parse.urlencode(form).encode(), timeout=120) as response:
        assert b'"access_token"' in response.read()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(
            url, data=urllib.parse.urlencode(form | {"client_secret": "wrong"}).encode(), timeout=120
        )


def test_discovery_names_the_token_endpoint(standins: StandIns) -> None:
    base = f"{standins.addresses['identity']}/{TENANT}"
    _, document, _ = ask(standins, "GET", f"{base}/v2.0/.well-known/openid-configuration")
    assert document["issuer"] == f"{base}/v2.0"
    assert document["token_endpoint"] == f"{base}/oauth2/v2.0/token"


def test_discovery_of_version_1_names_the_issuer_of_the_tokens(standins: StandIns) -> None:
    base = standins.addresses["identity"]
    _, document, _ = ask(standins, "GET", f"{base}/{TENANT}/.well-known/openid-configuration")
    _, answer, _ = ask(
        standins,
        "GET",
        f"{base}/msi/token?api-version=2019-08-01&resource=https://vault.azure.net",
        X_IDENTITY_HEADER=IDENTITY_HEADER,
    )
    assert document["issuer"] == claims_of(answer["access_token"])["iss"]
    assert ask(standins, "GET", document["jwks_uri"])[1]["keys"]


def test_a_token_is_valid_for_its_service_only_and_cannot_be_forged(standins: StandIns) -> None:
    url = (
        f"{standins.addresses['identity']}/msi/token?api-version=2019-08-01&resource=https://vault.azure.net"
    )
    _, answer, _ = ask(standins, "GET", url, X_IDENTITY_HEADER=IDENTITY_HEADER)
    header = f"Bearer {answer['access_token']}"
    world = World(standins.folder)
    assert verify(world, header, ("https://vault.azure.net/",))["oid"] == principal()
    forged = jwt.encode(claims_of(answer["access_token"]), "x" * 32, algorithm="HS256")
    for wrong, audience in (
        (header, "https://management.azure.com"),
        (f"Bearer {forged}", "https://vault.azure.net"),
        (None, "x"),
    ):
        with pytest.raises(InvalidToken):
            verify(world, wrong, (audience,))
