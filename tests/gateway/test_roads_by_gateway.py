"""Roads asked through API Management, as infra/roads.json sets it up: the key of the platform's own product
opens the lists of models of workspaces and nothing else, and reaches no server.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from shared.adapters.roads import KEY_HEADER, RoadsByGateway
from shared.catalog.catalog import Catalog, CatalogModel, SharedWorkspace
from shared.gateway_api.road import NotReached, Served, Unserved
from shared.names import ROADS
from tests.fakes.app import GPU
from tests.gateway.room import CHAT, CLUSTER, Room, asking, saying

TEMPLATE = json.loads((Path(__file__).parents[2] / "infra" / "roads.json").read_text())
CATALOG = Catalog((CatalogModel("phi-4", "kaito", preset="phi-4", shared=SharedWorkspace(GPU)),))
ROAD, PATH = f"{CLUSTER.url}/team-alpha/phi-4/v1", f"/{ROADS}/team-alpha/phi-4/v1/models"
HOST = "models.internal.contoso.com"
ARM = "https://management.azure.com/.default"


@dataclass
class Models:
    """The cluster's Gateway. `seen` are the calls: method and path, and the headers."""

    status: int = 200
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.seen.append((f"{request.method} {request.path_qs}", dict(request.headers)))
        return web.json_response({"object": "list", "data": [{"id": "phi-4"}]}, status=self.status)


@asynccontextmanager
async def models(room: Room) -> AsyncIterator[Models]:
    found, app = Models(), web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    control = room.standins.control
    before = control.options("gateway")["hosts"]
    async with TestServer(app) as server:
        control.set_options("gateway", hosts={**before, HOST: str(server.make_url("")).rstrip("/")})
        yield found
        control.set_options("gateway", hosts=before)


async def set_up(room: Room) -> None:
    """As Azure deploys the template: each resource after those that it names."""
    token = await room.credential.get_token(ARM)
    given = {"service": room.name, "ingressUrl": CLUSTER.url, "certificates": []}
    for resource in TEMPLATE["resources"]:
        kinds = resource["type"].split("/")[2:]
        _, *names = evaluated(resource["name"], room, given).split("/")
        at = "/".join(f"{kind}/{name}" for kind, name in zip(kinds, names, strict=True))
        properties = evaluated(resource.get("properties", {}), room, given)
        answer = await room.http.put(
            f"{room.standins.addresses['resource-manager']}{room.service}/{at}",
            params={"api-version": resource["apiVersion"]},
            headers={"Authorization": f"Bearer {token.token}"},
            json={"properties": properties} if properties else None,
        )
        assert answer.status_code in (200, 201, 202), (at, answer.text)


def evaluated(value: Any, room: Room, given: dict[str, Any]) -> Any:
    """With the template's expressions replaced: those that it has, and no other."""
    if isinstance(value, dict):
        return {name: evaluated(each, room, given) for name, each in value.items()}
    if not isinstance(value, str) or not value.startswith("["):
        return value
    if found := re.fullmatch(r"\[parameters\('(\w+)'\)\]", value):
        return given[found[1]]
    if found := re.fullmatch(r"\[concat\(parameters\('service'\), '(.+)'\)\]", value):
        return f"{room.name}{found[1]}"
    found = re.fullmatch(
        r"\[resourceId\('Microsoft.ApiManagement/service/(\w+)', parameters\('service'\), '(.+)'\)\]", value
    )
    assert found is not None, value
    return f"{room.service}/{found[1]}/{found[2]}"


def roads(room: Room) -> RoadsByGateway:
    return RoadsByGateway(str(room.http.base_url), CLUSTER.url, room.writer.keys)


async def test_a_road_is_asked_and_the_key_reaches_no_server(room: Room) -> None:
    await set_up(room)
    keys = {each.reveal() for each in await room.writer.keys(ROADS)}
    async with models(room) as found:
        assert await roads(room).ask(ROAD) == Served(("phi-4",))
    [(call, headers)] = found.seen
    assert call == "GET /team-alpha/phi-4/v1/models"
    assert not keys & set(headers.values())


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("POST", CHAT, {401}),
        ("POST", PATH, {404}),
        ("POST", f"/{ROADS}/team-alpha/phi-4/v1/chat/completions", {404}),
        ("GET", f"/{ROADS}/team-alpha/phi-4/metrics", {404}),
        ("GET", f"/{ROADS}/team-alpha/phi-4/v1/models/phi-4", {404}),
        ("GET", f"/{ROADS}/team-alpha/phi-4/more/v1/models", {404}),
        ("GET", f"/{ROADS}", {404}),
    ],
)
async def test_its_key_opens_nothing_else(room: Room, method: str, path: str, statuses: set[int]) -> None:
    await room.models(CATALOG)
    await set_up(room)
    key = (await room.writer.keys(ROADS))[0].reveal()
    async with models(room) as found:
        answer = await room.http.request(
            method, path, headers={KEY_HEADER: key}, json=saying("hello", "phi-4")
        )
    assert (answer.status_code in statuses, found.seen) == (True, []), answer.text


async def test_neither_a_teams_key_nor_none_opens_the_lists(room: Room) -> None:
    await room.models(CATALOG)
    key = await room.team(asking("phi-4", of=CATALOG), CATALOG)
    await set_up(room)
    async with models(room) as found:
        answers = [await room.http.get(PATH, headers=each) for each in ({}, {KEY_HEADER: key})]
    assert ([each.status_code for each in answers], found.seen) == ([401, 401], [])


async def test_what_the_gateway_of_the_cluster_answers_is_told_apart(room: Room) -> None:
    await set_up(room)
    async with models(room) as found:
        for status in (404, 500, 503):
            found.status = status
            assert await roads(room).ask(ROAD) == Unserved(status)


async def test_where_it_is_not_set_up_no_road_is_said_to_fail(room: Room) -> None:
    assert isinstance(await roads(room).ask(ROAD), NotReached)
    await set_up(room)
    deletion = await room.writer._client.api.begin_delete("ai", room.name, ROADS, "*")
    await deletion.result()
    answer = await roads(room).ask(ROAD)
    assert isinstance(answer, NotReached)
    assert "mergekey-road" in answer.why


async def test_a_key_that_was_renewed_is_read_anew(room: Room) -> None:
    await set_up(room)
    asked = roads(room)
    async with models(room):
        assert isinstance(await asked.ask(ROAD), Served)
        await room.writer.regenerate_key(ROADS, 0)
        assert isinstance(await asked.ask(ROAD), NotReached)
        assert isinstance(await asked.ask(ROAD), Served)


async def test_no_other_address_than_the_clusters_is_asked(room: Room) -> None:
    await set_up(room)
    async with models(room) as found:
        assert isinstance(await roads(room).ask("https://elsewhere.example/a/b/v1"), NotReached)
    assert found.seen == []
