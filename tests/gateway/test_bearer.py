"""Keys as bearer tokens, at the second API: a real OpenAI client for each way, and what it may not open."""

from __future__ import annotations

from dataclasses import replace

import pytest
from openai import AsyncOpenAI, AuthenticationError, NotFoundError

from shared import names
from shared.catalog.catalog import Catalog
from shared.catalog.terms import BearerWay
from shared.inventory.bearer import read_bearer, takes_bearer
from shared.marker import Marker
from shared.names import API, BEARER_API
from shared.requests.request import AccessRequest
from shared.resources.bearer import base_url, plan_bearer
from shared.resources.desired import compile_catalog, compile_gateway
from shared.resources.product import ActualProduct, plan_product
from shared.stages.apply import GatewayWriter, apply_plan
from shared.stages.mirrors import put_mirror, renew_mirror
from tests.gateway.room import Room, asking
from tests.gateway.test_calls import CATALOG

OWNER = Marker(1, "alpha", "access.yaml", "c0ffee")
SUBSCRIPTION = names.subscription("alpha")


def catalog_of(way: BearerWay | None) -> Catalog:
    return replace(CATALOG, bearer_keys=way)


async def put_bearer(room: Room, catalog: Catalog) -> int:
    """What the catalogue's stage writes for the second API; the number of its writes."""
    desired = compile_catalog(catalog, room.platform)
    marker = Marker(1, "catalogue", "catalog.yaml", "c0ffee", desired.digest)
    plan = plan_bearer(desired, marker, await read_bearer(room.writer))
    await apply_plan(plan.writable(), GatewayWriter(room.writer, marker))
    return len(list(plan))


async def provide(room: Room, way: BearerWay | None) -> str:
    """The models, both APIs, and a team; its first key."""
    catalog = catalog_of(way)
    return await provide_team(room, asking("gpt-4.1", of=catalog), catalog)


async def provide_team(room: Room, request: AccessRequest, catalog: Catalog) -> str:
    """The same for another request and catalogue."""
    way = catalog.bearer_keys
    await room.models(catalog)
    await put_bearer(room, catalog)
    desired = compile_gateway(request, catalog, room.platform)
    actual = ActualProduct(None, None, backends=(), bearer_linked=False)
    marker = replace(OWNER, digest=desired.digest)
    await apply_plan(plan_product(desired, marker, actual).writable(), GatewayWriter(room.writer, marker))
    key = await room.subscription(SUBSCRIPTION, f"/products/{names.product('alpha')}")
    if way == "mirrored":
        keys = await room.writer.keys(SUBSCRIPTION)
        await put_mirror(
            room.writer, SUBSCRIPTION, names.product("alpha"), "mergekey/1/alpha", None, keys=keys
        )
    return key


async def says(room: Room, base: str, *, bearer: str = "", key: str = "") -> int:
    """The status of a chat by a real client, which always sends a bearer token: its own, or one of nobody."""
    headers = {"api-key": key} if key else {}
    client = AsyncOpenAI(
        base_url=base, api_key=bearer or "none", default_headers=headers, max_retries=0, http_client=room.http
    )
    try:
        await client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "hi"}])
    except (AuthenticationError, NotFoundError) as error:
        return error.status_code
    return 200


@pytest.mark.parametrize(
    ("way", "by_bearer", "by_key"), [("native", 200, 200), ("mirrored", 200, 401), (None, 404, 404)]
)
async def test_each_way_lets_in_who_sends_what_it_reads(
    room: Room, way: BearerWay | None, by_bearer: int, by_key: int
) -> None:
    """The unified API stays as it is: which of two keys would count there is not documented."""
    key, gateway = await provide(room, way), room.platform.gateway_url
    assert await says(room, base_url(gateway), bearer=key) == by_bearer
    assert await says(room, base_url(gateway), key=key) == by_key
    assert await says(room, f"{gateway}/openai/v1", bearer=key) == 401
    assert await says(room, f"{gateway}/openai/v1", key=key) == 200
    assert await says(room, base_url(gateway), bearer="0" * 32) == (404 if way is None else 401)


async def test_a_service_that_ignores_the_field_is_seen_and_takes_no_bearer(room: Room) -> None:
    control = room.standins.control
    control.set_options("resource-manager", bearer_field="ignored")
    try:
        key = await provide(room, "native")
        assert not await takes_bearer(room.writer)
        assert await says(room, base_url(room.platform.gateway_url), bearer=key) == 401
        # A comparison tells it again, and the mirrored way puts it right.
        assert await put_bearer(room, catalog_of("native")) == 1
        assert await put_bearer(room, catalog_of("mirrored")) == 1
    finally:
        control.set_options("resource-manager", bearer_field="kept")


async def test_a_field_that_is_kept_and_not_acted_on_lets_nobody_in(room: Room) -> None:
    control = room.standins.control
    control.set_options("resource-manager", bearer_field_works=False)
    try:
        key = await provide(room, "native")
        assert await takes_bearer(room.writer)
        assert await says(room, base_url(room.platform.gateway_url), bearer=key) == 401
    finally:
        control.set_options("resource-manager", bearer_field_works=True)


async def test_the_field_is_written_after_an_import_and_nothing_twice(room: Room) -> None:
    await provide(room, "native")
    catalog = catalog_of("native")
    assert await put_bearer(room, catalog) == 0
    # Another import, as a change of the operations makes it, writes a contract without the field.
    desired = compile_catalog(catalog, room.platform)
    marker = Marker(1, "catalogue", "catalog.yaml", "c0ffee", desired.bearer_digest)
    await room.writer.put_api(BEARER_API, desired, marker, None)
    assert not await takes_bearer(room.writer)
    assert await put_bearer(room, catalog) == 1
    assert await takes_bearer(room.writer)


async def test_a_catalogue_without_bearer_keys_deletes_the_second_api_alone(room: Room) -> None:
    key, gateway = await provide(room, "native"), room.platform.gateway_url
    assert await put_bearer(room, catalog_of(None)) == 1
    assert await room.writer.api(BEARER_API) is None
    assert await room.writer.is_linked(names.product("alpha"), API)
    assert await says(room, base_url(gateway), bearer=key) == 404
    assert await says(room, f"{gateway}/openai/v1", key=key) == 200


async def test_the_bearer_key_dies_with_its_key(room: Room) -> None:
    old, base = await provide(room, "mirrored"), base_url(room.platform.gateway_url)
    await room.writer.regenerate_key(SUBSCRIPTION, 0)
    keys = await room.writer.keys(SUBSCRIPTION)
    await renew_mirror(room.writer, SUBSCRIPTION, keys)
    assert await says(room, base, bearer=old) == 401
    assert [await says(room, base, bearer=key.reveal()) for key in keys] == [200, 200]
    mirror = await room.writer.subscription(names.mirror(SUBSCRIPTION))
    assert mirror is not None
    await room.writer.suspend_subscription(mirror.name, mirror.etag)
    # Keys that are written late do not wake it.
    await renew_mirror(room.writer, SUBSCRIPTION, keys)
    assert [await says(room, base, bearer=key.reveal()) for key in keys] == [401, 401]


async def test_calls_by_key_and_by_bearer_share_one_limit(room: Room) -> None:
    catalog = catalog_of("mirrored")
    key, gateway = await provide(room, "mirrored"), room.platform.gateway_url
    request = asking("gpt-4.1", of=catalog, requests_per_minute=2)
    await room.put_right(request, catalog)
    chats = [(f"{gateway}/openai/v1", {"key": key}), (base_url(gateway), {"bearer": key})]
    statuses = [(await _status(room, base, **sent)) for base, sent in (*chats, chats[0], chats[1])]
    assert statuses == [200, 200, 429, 429]


async def _status(room: Room, base: str, *, bearer: str = "", key: str = "") -> int:
    answer = await room.http.post(
        f"{base}/chat/completions",
        json={"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi"}]},
        headers={"Authorization": f"Bearer {bearer}"} if bearer else {"api-key": key},
    )
    return answer.status_code
