"""What the official client for Python can do with a key, in each way to send it, and what is counted for it.
The other clients of the table are in `test_clients_of_others.py`.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from shared.catalog.terms import BearerWay
from tests.gateway.client_room import a_key
from tests.gateway.client_table import as_the_table_says
from tests.gateway.clients import EXPECTED, Place, seen
from tests.gateway.room import Room


@pytest.mark.parametrize("client", ["openai for Python, OpenAI", "openai for Python, AzureOpenAI"])
async def test_a_key_works_for_each_verb_as_the_table_says(room: Room, client: str) -> None:
    found = await _seen(room, client)
    assert as_the_table_says(client, found)
    # The answer with a picture has a usage too; lists are of no model.
    counted = Counter(str(metric["dimensions"]["Model"]) for metric in room.metrics())
    assert counted == {"gpt-4.1": 2 * len(set(EXPECTED) - {"models"})}


async def test_mirrored_keys_do_as_much_as_native_ones(room: Room) -> None:
    client = "openai for Python, OpenAI"
    found = await _seen(room, client, "mirrored")
    assert as_the_table_says(client, {"bearer": found["bearer"]})


async def _seen(room: Room, client: str, way: BearerWay = "native") -> dict[str, dict[str, object]]:
    place = Place(room.platform.gateway_url, await a_key(room, way))
    return await asyncio.to_thread(seen, client, place)
