"""Lists that concurrent callers share: one request serves all who ask before it begins."""

from __future__ import annotations

import asyncio
from collections import Counter

from standins.tests.plugin import StandIns
from tests.wire.adapters import the_adapters


def _made(standins: StandIns) -> Counter[str]:
    return Counter(call.kind for call in standins.control.calls() if call.server == "resource-manager")


async def test_many_who_ask_at_once_for_all_products_or_readers_cost_one_list_each(
    standins: StandIns,
) -> None:
    async with the_adapters(standins) as adapters:
        standins.control.forget_calls()
        await asyncio.gather(*(adapters.gateway.products() for _ in range(5)))
        await asyncio.gather(*(adapters.roles.readers() for _ in range(5)))
        assert _made(standins) == {"LIST products": 1, "LIST role assignments": 1}


async def test_who_asks_later_gets_a_list_of_its_own(standins: StandIns) -> None:
    async with the_adapters(standins) as adapters:
        standins.control.forget_calls()
        for _ in range(2):
            await adapters.gateway.products()
        assert _made(standins) == {"LIST products": 2}
