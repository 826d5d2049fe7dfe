"""Keys: their states and scopes."""

from __future__ import annotations

import pytest
from azure.mgmt.apimanagement.models import (
    ApiUpdateContract,
    ProductUpdateParameters,
    SubscriptionKeyParameterNamesContract,
    SubscriptionUpdateParameters,
)

from shared.marker import Marker
from shared.resources.actual import Product
from shared.resources.unified_api import KEY_NAMES
from tests.gateway.room import Room, asking, saying
from tests.gateway.test_calls import CATALOG, alpha

MISSING = (
    "Access denied due to missing subscription key. Make sure to include subscription key when making "
    "requests to an API."
)
INVALID = (
    "Access denied due to invalid subscription key. Make sure to provide a valid key for an active "
    "subscription."
)


async def status(room: Room, key: str | None) -> int:
    return (await room.post(key, saying("hi", "gpt-4.1"))).status_code


@pytest.mark.parametrize(("key", "message"), [(None, MISSING), ("0" * 32, INVALID)])
async def test_without_a_key_that_is_known_nobody_gets_in(room: Room, key: str | None, message: str) -> None:
    await alpha(room)
    answer = await room.post(key, saying("hi", "gpt-4.1"))
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, message)
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert (
        answer.headers["WWW-Authenticate"] == 'AzureApiManagementKey realm="ai",name="api-key",type="header"'
    )
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_the_key_may_stand_in_the_query_and_goes_no_further(room: Room) -> None:
    answer = await room.http.post(
        "/openai/v1/chat/completions",
        params={"api-key": await alpha(room), "x": "1"},
        json=saying("hi", "gpt-4.1"),
    )
    assert answer.status_code == 200


async def test_both_keys_of_a_subscription_work_until_they_are_made_new(room: Room) -> None:
    first = await alpha(room)
    second = (await room.writer.keys("team-alpha"))[1].reveal()
    assert [await status(room, key) for key in (first, second)] == [200, 200]
    await room.writer.regenerate_key("team-alpha", 0)
    assert [await status(room, key) for key in (first, second)] == [401, 200]


@pytest.mark.parametrize("state", ["suspended", "expired", "cancelled", "submitted", "rejected"])
async def test_a_subscription_that_is_not_active_opens_nothing(room: Room, state: str) -> None:
    key, subscriptions, at = (
        await alpha(room),
        room.writer._client.subscription,
        ("ai", room.name, "team-alpha", "*"),
    )
    await subscriptions.update(*at, SubscriptionUpdateParameters(state=state))
    answer = await room.post(key, saying("hi", "gpt-4.1"))
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, INVALID)
    await subscriptions.update(*at, SubscriptionUpdateParameters(state="active"))
    assert await status(room, key) == 200


async def test_a_product_that_is_not_published_any_more_keeps_its_keys(room: Room) -> None:
    key = await alpha(room)
    await room.writer._client.product.update(
        "ai", room.name, "team-alpha", "*", ProductUpdateParameters(state="notPublished")
    )
    assert await status(room, key) == 200


async def _opened(room: Room, state: str = "published") -> Product:
    """The team's product as somebody leaves it who unticks "Requires subscription"."""
    changes = ProductUpdateParameters(subscription_required=False, state=state)
    await room.writer._client.product.update("ai", room.name, "team-alpha", "*", changes)
    found = await room.writer.product("team-alpha")
    assert found is not None
    return found


@pytest.mark.parametrize("state", ["published", "notPublished"])
async def test_an_open_product_serves_whoever_has_no_key_as_its_team_until_it_is_closed(
    room: Room, state: str
) -> None:
    key = await alpha(room, "gpt-4.1")
    opened = await _opened(room, state=state)
    assert not opened.subscription_required
    assert [found.subscription_required for found in await room.writer.products()] == [False]
    answers = [
        (await room.post(None, saying("hi", model))).status_code
        for model in ("gpt-4.1", "text-embedding-3-large")
    ]
    assert (answers, await status(room, key), await status(room, "0" * 32)) == ([200, 403], 200, 401)
    assert [(line["product"], line["subscription"]) for line in room.log()[:2]] == [("team-alpha", None)] * 2
    await room.put_right(asking("gpt-4.1", of=CATALOG), CATALOG)
    assert [await status(room, each) for each in (None, key)] == [401, 200]


async def test_whatever_is_written_of_a_product_closes_it(room: Room) -> None:
    await alpha(room)
    marker = Marker(1, "alpha", "access.yaml", "c0ffee")
    opened = await _opened(room)
    await room.writer.publish_product("team-alpha", opened.etag, "Alpha", marker)
    assert await status(room, None) == 401
    await _opened(room)
    await room.writer.create_product("team-alpha", "Alpha", marker)
    assert await status(room, None) == 401


async def test_an_open_product_serves_no_api_that_it_is_not_linked_to(room: Room) -> None:
    await alpha(room)
    await _opened(room)
    await room.writer._client.product_api.delete("ai", room.name, "team-alpha", "ai")
    assert await status(room, None) == 401


@pytest.mark.parametrize("written", ["marked", "imported"])
async def test_an_api_that_asks_for_no_key_serves_no_stranger_and_is_repaired(
    room: Room, written: str
) -> None:
    key, api = await alpha(room), room.writer._client.api
    names = SubscriptionKeyParameterNamesContract(header="x-key", query="key")
    changes = ApiUpdateContract(subscription_required=False, subscription_key_parameter_names=names)
    await api.update("ai", room.name, "ai", "*", changes)
    found = await room.writer.api("ai")
    assert found is not None
    assert (found.subscription_required, found.key_names, found.requires_keys) == (
        False,
        ("x-key", "key"),
        False,
    )
    assert [await status(room, each) for each in (None, key)] == [403, 403]
    if written == "marked":
        await room.writer.mark_api("ai", Marker(1, "catalogue", "catalog.yaml", "c0ffee"))
    else:
        await room.models(CATALOG)
    found = await room.writer.api("ai")
    assert found is not None
    assert (found.subscription_required, found.key_names, found.requires_keys) == (True, KEY_NAMES, True)
    assert [await status(room, each) for each in (None, key)] == [401, 200]


async def test_a_product_that_is_not_linked_to_the_api_opens_nothing(room: Room) -> None:
    key = await alpha(room)
    await room.writer._client.product_api.delete("ai", room.name, "team-alpha", "ai")
    assert await status(room, key) == 401


@pytest.mark.parametrize("scope", ["/apis", "/apis/ai"])
async def test_a_key_for_the_api_skips_the_products_and_is_refused_by_the_apis_policy(
    room: Room, scope: str
) -> None:
    await alpha(room)
    answer = await room.post(await room.subscription("broad", scope), saying("hi", "gpt-4.1"))
    assert (answer.status_code, answer.json()["error"]["message"]) == (403, "This key belongs to no team.")
    assert not room.served()


async def test_a_deleted_subscription_opens_nothing(room: Room) -> None:
    key = await alpha(room)
    await room.writer.delete_subscription("team-alpha", "*")
    assert await status(room, key) == 401
