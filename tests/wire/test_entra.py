"""Who may call the operators' API: tokens of the identity stand-in, and such as nobody should take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from azure.identity.aio import ManagedIdentityCredential
from cryptography.hazmat.primitives.asymmetric import rsa

from shared.adapters.entra import FAILURE_MAX_AGE, KEYS_MAX_AGE, KEYS_MIN_INTERVAL, EntraTokens, Refused, Role
from shared.errors import Unavailable
from standins.identity import principal
from standins.tests.azure_clients import managed_identity
from standins.tests.plugin import StandIns
from standins.world import TENANT

AUDIENCE = "api://mergekey"


@pytest.fixture(autouse=True)
def _managed_identity(standins: StandIns) -> Iterator[None]:
    with managed_identity(standins):
        yield


@pytest.fixture
def tokens(standins: StandIns) -> EntraTokens:
    return EntraTokens(standins.addresses["identity"], TENANT, AUDIENCE)


async def token_of(client: str, audience: str = AUDIENCE) -> str:
    async with ManagedIdentityCredential(client_id=client) as credential:
        return str((await credential.get_token(f"{audience}/.default")).token)


@pytest.mark.parametrize(
    ("role", "client", "status"),
    [
        ("Reader", "ron.Reader", None),
        ("Reader", "olivia.Operator", None),
        ("Operator", "olivia.Operator", None),
        ("Operator", "ron.Reader", 403),
        ("Reader", "somebody", 403),
        ("Reader", "eve.Owner", 403),
    ],
    ids=str,
)
async def test_who_has_the_role_or_a_higher_one_is_let_in(
    tokens: EntraTokens, role: Role, client: str, status: int | None
) -> None:
    authorization = f"Bearer {await token_of(client)}"
    if status is None:
        caller = await tokens.require(authorization, role)
        assert caller.name == f"{client.partition('.')[0]} ({principal(client)})"
        return
    with pytest.raises(Refused) as refused:
        await tokens.require(authorization, role)
    assert refused.value.status == status


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic b2xpdmlh", "Bearer a.b.c", "Bearer " + "x" * 10_000],
)
async def test_what_is_no_token_is_refused(tokens: EntraTokens, authorization: str | None) -> None:
    with pytest.raises(Refused) as refused:
        await tokens.require(authorization, "Reader")
    assert refused.value.status == 401


async def test_a_token_for_another_service_is_refused(tokens: EntraTokens) -> None:
    with pytest.raises(Refused, match="InvalidAudience"):
        await tokens.require(
            f"Bearer {await token_of('olivia.Operator', 'https://vault.azure.net')}", "Reader"
        )


async def test_a_token_names_the_groups_of_its_owner(tokens: EntraTokens) -> None:
    group = "5F8D0D55-1c3e-4f7a-9b5e-2a6c8e4d7b10"
    caller = await tokens.identify(f"Bearer {await token_of(f'anna-{group}')}")
    assert (caller.groups, caller.may("Reader")) == (frozenset({group.lower()}), False)
    assert (await tokens.identify(f"Bearer {await token_of('somebody')}")).groups == frozenset()


async def test_a_token_of_somebody_in_too_many_groups_names_none_and_says_so(tokens: EntraTokens) -> None:
    assert (await tokens.identify(f"Bearer {await token_of('carol-in-too-many-groups')}")).groups is None


# ----------------------------------------------------------------------------------------------------- forged


#: To make one takes longer than most tests.
OURS, ANOTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))


class Tenant:
    """A tenant whose key we hold, so that any token can be made. `asked` counts how often its keys were
    looked up.

    It answers as long as `answers` is set; `says` and `shows` replace members of its discovery document, and
    its keys. `now` is the time of who asks it, in seconds.
    """

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self.key = key
        self.kid = "one"
        self.asked = 0
        self.broken = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.being_asked = asyncio.Event()
        self.says: dict[str, Any] = {}
        self.shows: Any = None
        self.now = 0.0
        app = web.Application()
        app.router.add_get(f"/{TENANT}/v2.0/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/keys", self._keys)
        self.server = TestServer(app)

    async def _discovery(self, request: web.Request) -> web.Response:
        self.asked += 1
        self.being_asked.set()
        await self.answers.wait()
        if self.broken:
            return web.Response(status=500)
        return web.json_response(
            {"issuer": "https://login/v2.0", "jwks_uri": str(self.server.make_url("/keys")), **self.says}
        )

    async def _keys(self, request: web.Request) -> web.Response:
        if self.shows is not None:
            return web.json_response(self.shows)
        return web.json_response({"keys": [self.shown()]})

    def shown(self) -> dict[str, Any]:
        """The key as it is published."""
        shown = jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {**shown, "kid": self.kid, "use": "sig"}

    def token(self, algorithm: str = "RS256", key: Any = None, kid: str | None = None, **changed: Any) -> str:
        now = int(time.time())
        claims: dict[str, Any] = {
            "aud": AUDIENCE,
            "iss": "https://login/v2.0",
            "tid": TENANT,
            "oid": "o-1",
            "roles": ["Operator"],
        }
        claims |= {"iat": now, "nbf": now, "exp": now + 60} | changed
        claims = {name: value for name, value in claims.items() if value is not None}
        signing: Any = None if algorithm == "none" else key or self.key
        return jwt.encode(claims, signing, algorithm=algorithm, headers={"kid": kid or self.kid})


@pytest.fixture
async def tenant() -> AsyncIterator[Tenant]:
    made = Tenant(OURS)
    async with made.server:
        yield made
        made.answers.set()


@pytest.fixture
def theirs(tenant: Tenant) -> EntraTokens:
    return EntraTokens(str(tenant.server.make_url("/")), TENANT, AUDIENCE, lambda: tenant.now)


@pytest.mark.parametrize(
    "changed",
    [{}, {"iss": f"https://sts.windows.net/{TENANT}/"}, {"aud": "mergekey"}, {"name": "Olivia"}],
    ids=["version 2", "version 1", "client id", "name"],
)
async def test_tokens_of_both_versions_are_taken(
    tenant: Tenant, theirs: EntraTokens, changed: dict[str, Any]
) -> None:
    caller = await theirs.require(f"Bearer {tenant.token(**changed)}", "Operator")
    assert caller.name == f"{changed.get('name', 'somebody')} (o-1)"


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"nbf": None},
        {"aud": "api://other"},
        {"aud": None},
        {"iss": "https://login/other/v2.0"},
        {"iss": None},
        {"tid": "22222222-2222-4222-8222-222222222222"},
        {"tid": None},
        {"oid": None},
        {"kid": "two"},
        {"key": ANOTHER},
        {"key": "x" * 64, "algorithm": "HS256"},
        {"algorithm": "none"},
        {"algorithm": "RS512"},
        {"algorithm": "PS256"},
    ],
    ids=lambda changed: (
        " ".join(f"{name} {value}" for name, value in changed.items() if name != "key") or "another key"
    ),
)
async def test_a_token_that_is_wrong_in_anything_is_refused(
    tenant: Tenant, theirs: EntraTokens, changed: dict[str, Any]
) -> None:
    token = tenant.token(**changed)
    with pytest.raises(Refused) as refused:
        await theirs.require(f"Bearer {token}", "Reader")
    assert refused.value.status == 401
    assert token not in refused.value.message


@pytest.mark.parametrize(
    "roles", [None, [], "Operator", {"Operator": 1}, ["operator"], [["Operator"]]], ids=str
)
async def test_roles_that_are_not_a_list_with_the_role_are_none(
    tenant: Tenant, theirs: EntraTokens, roles: Any
) -> None:
    with pytest.raises(Refused) as refused:
        await theirs.require(f"Bearer {tenant.token(roles=roles)}", "Reader")
    assert refused.value.status == 403


async def test_keys_are_looked_up_once_and_not_for_every_unknown_one(
    tenant: Tenant, theirs: EntraTokens
) -> None:
    for number in range(5):
        await theirs.require(f"Bearer {tenant.token()}", "Reader")
        with pytest.raises(Refused):
            await theirs.require(f"Bearer {tenant.token(kid=f'other-{number}')}", "Reader")
    assert tenant.asked == 1


async def test_while_entra_cannot_be_asked_nobody_is_let_in_and_it_may_be_tried_again(
    tenant: Tenant, theirs: EntraTokens
) -> None:
    tenant.broken = True
    with pytest.raises(Unavailable):
        await theirs.require(f"Bearer {tenant.token()}", "Reader")
    tenant.broken = False
    tenant.now += FAILURE_MAX_AGE + 1
    await theirs.require(f"Bearer {tenant.token()}", "Reader")


async def test_one_failure_answers_all_who_ask_soon_after_it(tenant: Tenant, theirs: EntraTokens) -> None:
    tenant.broken = True
    for number in range(5):
        with pytest.raises(Unavailable):
            await theirs.require(f"Bearer {tenant.token(kid=f'other-{number}')}", "Reader")
    assert tenant.asked == 1
    tenant.now += FAILURE_MAX_AGE + 1
    with pytest.raises(Unavailable):
        await theirs.require(f"Bearer {tenant.token()}", "Reader")
    assert tenant.asked == 2


async def test_who_has_a_key_that_is_known_waits_for_nobody(tenant: Tenant, theirs: EntraTokens) -> None:
    """Anybody can send tokens with keys that nobody knows, and Entra may not answer."""
    await theirs.require(f"Bearer {tenant.token()}", "Reader")
    tenant.now += KEYS_MIN_INTERVAL + 1
    tenant.answers.clear()
    tenant.being_asked.clear()
    strangers = [
        asyncio.create_task(theirs.identify(f"Bearer {tenant.token(kid=f'other-{number}')}"))
        for number in range(6)
    ]
    await tenant.being_asked.wait()
    assert (await theirs.require(f"Bearer {tenant.token()}", "Operator")).may("Operator")
    assert not any(stranger.done() for stranger in strangers)
    tenant.answers.set()
    for refused in await asyncio.gather(*strangers, return_exceptions=True):
        assert isinstance(refused, Refused)
    assert tenant.asked == 2


async def test_keys_that_are_a_day_old_are_good_while_entra_cannot_be_asked(
    tenant: Tenant, theirs: EntraTokens
) -> None:
    await theirs.require(f"Bearer {tenant.token()}", "Reader")
    tenant.now, tenant.broken = KEYS_MAX_AGE + 1, True
    for _ in range(3):
        await theirs.require(f"Bearer {tenant.token()}", "Reader")
    assert tenant.asked == 2


async def test_a_key_that_entra_has_taken_back_opens_nothing_a_day_later(
    tenant: Tenant, theirs: EntraTokens
) -> None:
    old = tenant.token()
    await theirs.require(f"Bearer {old}", "Reader")
    tenant.kid, tenant.now = "two", KEYS_MAX_AGE + 1
    with pytest.raises(Refused):
        await theirs.require(f"Bearer {old}", "Reader")
    await theirs.require(f"Bearer {tenant.token()}", "Reader")


ODD: list[Any] = [
    5,
    [],
    {},
    {"keys": None},
    {"keys": 5},
    {"keys": []},
    {"keys": [None, 5, {}, {"kty": "RSA", "kid": "one"}]},
]


@pytest.mark.parametrize("shows", ODD, ids=str)
async def test_keys_that_make_no_sense_are_none(tenant: Tenant, theirs: EntraTokens, shows: Any) -> None:
    tenant.shows = shows
    with pytest.raises(Unavailable) as caught:
        await theirs.require(f"Bearer {tenant.token()}", "Reader")
    assert caught.value.reason == "UnexpectedAnswer"


async def test_one_key_that_makes_no_sense_spoils_no_other(tenant: Tenant, theirs: EntraTokens) -> None:
    tenant.shows = {
        "keys": [
            None,
            5,
            {},
            {**tenant.shown(), "n": 5},
            {**tenant.shown(), "kid": 7},
            {"kty": "EC", "kid": "x"},
            tenant.shown(),
        ]
    }
    await theirs.require(f"Bearer {tenant.token()}", "Reader")


@pytest.mark.parametrize(
    "says",
    [{"issuer": None}, {"issuer": 5}, {"jwks_uri": None}, {"jwks_uri": ["x"]}, {"jwks_uri": "/keys"}],
    ids=str,
)
async def test_a_discovery_that_makes_no_sense_is_none(
    tenant: Tenant, theirs: EntraTokens, says: dict[str, Any]
) -> None:
    tenant.says = says
    with pytest.raises(Unavailable) as caught:
        await theirs.require(f"Bearer {tenant.token()}", "Reader")
    assert caught.value.reason == "UnexpectedAnswer"


async def test_keys_of_another_host_are_not_looked_at(tenant: Tenant, theirs: EntraTokens) -> None:
    other = Tenant(ANOTHER)
    async with other.server:
        tenant.says = {"jwks_uri": str(other.server.make_url("/keys"))}
        with pytest.raises(Unavailable, match="another host"):
            await theirs.require(f"Bearer {other.token()}", "Reader")


async def test_an_answer_without_end_is_not_read_to_its_end(tenant: Tenant, theirs: EntraTokens) -> None:
    tenant.says = {"more": "x" * 2_000_000}
    with pytest.raises(Unavailable, match="bytes"):
        await theirs.require(f"Bearer {tenant.token()}", "Reader")
