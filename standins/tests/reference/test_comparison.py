"""The comparison of a whole run: it fails the test that was running, counts, and notices that stand-ins
started again.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from standins import control
from standins.control import Control
from standins.tests.reference.comparison import Comparison, comparison_of_the_run
from standins.tests.reference.samples import product_deleted, product_written, secret_read, workspace_applied
from standins.world import Exchange, World

WRONG, RIGHT = product_deleted(), product_deleted(**{"if-match": "*"})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, exchanges=deque())


@pytest_asyncio.fixture(loop_scope="session")
async def interface(world: World) -> AsyncIterator[Control]:
    async with TestServer(control.build(world, lambda _: None)) as server:
        yield Control(str(server.make_url("")).rstrip("/"))


def record(world: World, *exchanges: Exchange) -> None:
    for exchange in exchanges:
        parts = asdict(exchange)
        del parts["number"]
        world.record_exchange(**parts)


async def test_a_wrong_exchange_fails_the_test_that_made_it_and_no_other(
    world: World, interface: Control
) -> None:
    comparison = Comparison()
    record(world, RIGHT, WRONG)
    with pytest.raises(pytest.fail.Exception, match="If-Match: is required"):
        await asyncio.to_thread(comparison.check, interface)
    await asyncio.to_thread(comparison.check, interface)


async def test_stand_ins_that_started_again_count_from_one(world: World, interface: Control) -> None:
    comparison = Comparison()
    record(world, RIGHT, RIGHT)
    await asyncio.to_thread(comparison.check, interface)
    assert world.exchanges is not None
    world.exchanges.clear()
    world.run, world._exchanged = "another", 0
    record(world, WRONG)
    with pytest.raises(pytest.fail.Exception):
        await asyncio.to_thread(comparison.check, interface)


async def test_a_marked_test_may_send_wrong_requests(world: World, interface: Control) -> None:
    record(world, workspace_applied(status={"state": 1}))
    await asyncio.to_thread(Comparison().check, interface, wrong_on_purpose=True)


async def test_what_was_compared_is_reported(
    world: World, interface: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERGEKEY_CONTRACT_REPORT", str(tmp_path / "report.json"))
    run = comparison_of_the_run()
    comparison = next(run)
    record(world, product_written(), product_written(), secret_read())
    await asyncio.to_thread(comparison.check, interface)
    assert next(run, None) is None
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "key-vault": {"operations": ["GET it"], "requests": 1, "answers": 1},
        "resource-manager": {"operations": ["PUT it"], "requests": 2, "answers": 2},
    }
