"""Answers that make no sense: each is a trouble that may pass, whichever service gives it, and never a bug of
ours.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from shared.errors import Busy, Unavailable
from shared.marker import Marker
from shared.secret import SecretValue
from standins.control import Control
from standins.tests.plugin import StandIns
from tests.wire.adapters import Adapters, the_adapters

Call = Callable[[Adapters], Awaitable[Any]]

#: By server and kind of call, the calls whose answers are read.
CALLS: dict[tuple[str, str], Call] = {
    ("resource-manager", "GET product"): lambda at: at.gateway.product("team-odd"),
    ("resource-manager", "LIST products"): lambda at: at.gateway.products(),
    ("resource-manager", "PUT product"): lambda at: at.gateway.create_product("team-odd", "Odd", _marker()),
    ("resource-manager", "GET product policy"): lambda at: at.gateway.product_policy("team-odd"),
    ("resource-manager", "GET subscription"): lambda at: at.gateway.subscription("team-odd"),
    ("resource-manager", "LIST subscriptions"): lambda at: at.gateway.subscriptions(),
    ("resource-manager", "LIST product subscriptions"): lambda at: at.gateway.product_subscriptions(
        "team-odd"
    ),
    ("resource-manager", "POST subscription listSecrets"): lambda at: at.gateway.keys("team-odd"),
    ("resource-manager", "LIST api products"): lambda at: at.gateway.linked_products("ai"),
    ("resource-manager", "GET api"): lambda at: at.gateway.api("ai"),
    ("resource-manager", "GET api policy"): lambda at: at.gateway.api_policy("ai"),
    ("resource-manager", "GET policy fragment"): lambda at: at.gateway.fragment("odd"),
    ("resource-manager", "LIST backends"): lambda at: at.gateway.backends("odd"),
    ("resource-manager", "LIST named values"): lambda at: at.gateway.named_values("odd", 1),
    ("resource-manager", "LIST role assignments"): lambda at: at.roles.readers(),
    ("resource-manager", "GET foundry project"): lambda at: at.projects.project("odd"),
    ("resource-manager", "LIST foundry projects"): lambda at: at.projects.projects(),
    ("resource-manager", "GET foundry connection"): lambda at: at.projects.connection("odd"),
    ("resource-manager", "GET account"): lambda at: at.projects.create_project("odd", "Odd", _marker()),
    ("resource-manager", "GET Application Insights component"): lambda at: at.projects.tracing_key(),
    ("resource-manager", "POST cluster listClusterUserCredential"): lambda at: at.cluster.namespaces(),
    ("key-vault", "GET secret versions"): lambda at: at.vault.versions("odd"),
    ("key-vault", "LIST secrets"): lambda at: at.vault.newest(),
    ("key-vault", "PUT secret"): lambda at: at.vault.set("odd", SecretValue("x"), "text", {}),
    ("kubernetes", "GET namespace"): lambda at: at.cluster.namespace("team-odd"),
    ("kubernetes", "LIST namespaces"): lambda at: at.cluster.namespaces(),
    ("kubernetes", "LIST workspaces"): lambda at: at.cluster.all_workspaces(),
    ("kubernetes", "LIST httproutes"): lambda at: at.cluster.all_routes(),
    ("kubernetes", "LIST resourcequotas"): lambda at: at.cluster.all_quotas(),
    ("kubernetes", "LIST networkpolicies"): lambda at: at.cluster.all_network_policies(),
    ("kubernetes", "LIST nodes"): lambda at: at.cluster.gpu_nodes(),
    ("kubernetes", "GET discovery"): lambda at: at.cluster.release(),
    ("kubernetes", "PATCH namespace"): lambda at: at.cluster.apply(_namespace()),
}
#: What no service of these says with status 200.
BODIES = {
    "empty": "",
    "null": "null",
    "a number": "7",
    "a text": '"fine"',
    "a list": "[]",
    "HTML": "<html>Sign in to the network</html>",
    "nested without end": "[" * 50_000,
}
#: Objects and lists in which something is missing, or of another type.
PARTS = {
    "nothing in it": {},
    "all of the wrong type": {"name": 5, "properties": [1], "value": 5, "items": 5, "metadata": 5},
    "null in it": {"name": None, "properties": None, "value": None, "metadata": None, "kubeconfigs": None},
    "a list of nulls": {"value": [None], "items": [None], "kubeconfigs": [None]},
    "a list of texts": {"value": ["a"], "items": ["a"], "kubeconfigs": ["a"]},
    "rows without anything": {"value": [{}], "items": [{}], "kubeconfigs": [{}]},
}
#: Of a write the answer is not read beyond that it is an object; a connection need not have any property.
NOT_READ = {"PUT product", "PUT secret", "PATCH namespace"}


def _marker() -> Marker:
    return Marker(1, "odd", "a", "b", "c")


def _namespace() -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team-odd"}}


@pytest.fixture
async def adapters(standins: StandIns) -> AsyncIterator[Adapters]:
    async with the_adapters(standins) as adapters:
        yield adapters


async def refused(control: Control, where: tuple[str, str], adapters: Adapters, **fault: Any) -> Unavailable:
    """What the call raises whose answer is this."""
    control.fault(*where, status=200, **fault)
    with pytest.raises(Unavailable) as caught:
        await CALLS[where](adapters)
    return caught.value


@pytest.mark.wrong_on_purpose  # an answer that comes before the body was read leaves it unread
@pytest.mark.parametrize("where", CALLS, ids=" ".join)
async def test_what_is_no_object_is_a_trouble_that_may_pass(
    standins: StandIns, adapters: Adapters, where: tuple[str, str]
) -> None:
    for name, body in BODIES.items():
        if (where[1], name) != ("PUT product", "empty"):
            assert (
                await refused(standins.control, where, adapters, body=body)
            ).reason == "UnexpectedAnswer", name


@pytest.mark.parametrize("where", [where for where in CALLS if where[1] not in NOT_READ], ids=" ".join)
async def test_what_lacks_something_or_has_it_of_another_type_is_one_too(
    standins: StandIns, adapters: Adapters, where: tuple[str, str]
) -> None:
    for name, part in PARTS.items():
        assert (
            await refused(standins.control, where, adapters, body=json.dumps(part))
        ).reason == "UnexpectedAnswer", name


async def test_nothing_of_the_answer_is_told(standins: StandIns, adapters: Adapters) -> None:
    body = json.dumps({"primaryKey": "0123456789abcdef", "secondaryKey": None})
    error = await refused(
        standins.control, ("resource-manager", "POST subscription listSecrets"), adapters, body=body
    )
    assert "0123456789abcdef" not in str(error)
    assert error.__suppress_context__


@pytest.mark.parametrize(
    "body",
    ["", "null", "[]", "<html>", '{"error": 5}', '{"error": {"code": 5, "details": "x", "innererror": []}}'],
)
@pytest.mark.parametrize("status", [409, 500])
@pytest.mark.parametrize(
    "where",
    [("resource-manager", "GET product"), ("key-vault", "LIST secrets"), ("kubernetes", "LIST namespaces")],
)
async def test_an_error_counts_by_its_status_whatever_it_says(
    standins: StandIns, adapters: Adapters, where: tuple[str, str], status: int, body: str
) -> None:
    standins.control.fault(*where, status=status, body=body)
    with pytest.raises(Busy if status == 409 else Unavailable):
        await CALLS[where](adapters)


@pytest.mark.parametrize(
    ("kubeconfig", "said"),
    [
        ("clusters: [", "no kubeconfig"),
        ("clusters: []", "IndexError"),
        (
            "clusters: [{cluster: {server: 'http://localhost:1', certificate-authority-data: eA==}}]",
            "without TLS",
        ),
        (
            "clusters: [{cluster: {server: 'https://localhost:1', certificate-authority-data: '%%%'}}]",
            "Error",
        ),
        (
            "clusters: [{cluster: {server: 'https://localhost:1', certificate-authority-data: eA==}}]",
            "certificate authority",
        ),
    ],
)
async def test_a_kubeconfig_that_names_no_cluster_gets_no_token(
    standins: StandIns, adapters: Adapters, kubeconfig: str, said: str
) -> None:
    where = ("resource-manager", "POST cluster listClusterUserCredential")
    value = base64.b64encode(kubeconfig.encode()).decode()
    error = await refused(
        standins.control, where, adapters, body=json.dumps({"kubeconfigs": [{"name": "x", "value": value}]})
    )
    assert said in str(error)


async def test_a_list_that_leads_back_to_itself_ends(standins: StandIns, adapters: Adapters) -> None:
    url = f"{standins.addresses['resource-manager']}/{{}}?api-version=2024-05-01"
    same = json.dumps({"value": [], "nextLink": url.format("again")})
    standins.control.fault("resource-manager", "LIST products", status=200, body=same)
    with pytest.raises(Unavailable):
        await adapters.gateway.products()


async def test_what_the_cluster_asks_for_is_kept(standins: StandIns, adapters: Adapters) -> None:
    standins.control.fault(
        "kubernetes", "LIST namespaces", status=429, retry_after=7, body="Too many requests"
    )
    with pytest.raises(Exception, match="429") as caught:
        await adapters.cluster.namespaces()
    assert caught.value.retry_after.total_seconds() == 7  # type: ignore[attr-defined]


async def test_no_resource_provider_is_registered_by_the_way(standins: StandIns, adapters: Adapters) -> None:
    body = json.dumps(
        {
            "error": {
                "code": "MissingSubscriptionRegistration",
                "message": "not registered to use namespace 'Microsoft.X'",
            }
        }
    )
    standins.control.fault("resource-manager", "GET product", status=409, body=body)
    standins.control.forget_calls()
    with pytest.raises(Busy, match="MissingSubscriptionRegistration"):
        await adapters.gateway.product("team-odd")
    assert [call.kind for call in standins.control.calls("resource-manager")] == ["GET product"]
