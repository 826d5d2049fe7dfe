"""A gateway with one model that does everything, and a team whose key opens both APIs."""

from __future__ import annotations

from dataclasses import replace

from shared.catalog.catalog import Catalog, CatalogModel, Member
from shared.catalog.terms import Ability, BearerWay
from shared.catalog.verbs import VERBS
from tests.gateway.clients import MODEL
from tests.gateway.room import Room, asking
from tests.gateway.test_bearer import provide_team

FOUNDRY = "https://contoso-ai.openai.azure.com/openai/v1"
EVERYTHING: frozenset[Ability] = frozenset({"tools", *(verb.ability for verb in VERBS)})
CATALOG = Catalog(
    (CatalogModel(MODEL, "foundry", (Member(FOUNDRY, "gpt-41-eu"),), serves=EVERYTHING),),
    bearer_keys="native",
)


async def a_key(room: Room, way: BearerWay = "native") -> str:
    catalog = replace(CATALOG, bearer_keys=way)
    return await provide_team(room, asking(MODEL, of=catalog, requests_per_minute=1000), catalog)
