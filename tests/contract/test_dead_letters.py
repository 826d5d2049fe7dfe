"""What both the fake and Service Bus do with the queue of dead letters."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageProperties

from shared.adapters.dead_letters import ServiceBusDeadLetters
from shared.adapters.service_bus import create_client
from shared.errors import Busy
from shared.inventory.dead_letters import read_letter
from shared.messaging.routes import DEAD_LETTERS
from shared.ports import Bus, DeadLetters, OutgoingMessage, QueuedDeadLetter
from standins.tests.plugin import StandIns
from tests.contract.sides import Watch
from tests.contract.targets import Targets, unique
from tests.fakes.app import FakeApp

LOCK = timedelta(minutes=5, seconds=1)


@dataclass
class Room:
    """The queue with what one test put into it: other tests use it too."""

    port: DeadLetters
    sender: Bus
    mark: str

    async def put(self, count: int) -> list[int]:
        """So many letters, in order; their numbers."""
        ids = [f"{self.mark}/{number}" for number in range(count)]
        await self.sender.send(
            [
                OutgoingMessage(
                    DEAD_LETTERS, each, each.encode(), properties={"stage": "sweeps", "replays": 2}
                )
                for each in ids
            ]
        )
        found = await self.own()
        assert [kept.received.message_id for kept in found] == ids
        return [kept.sequence for kept in found]

    async def own(self) -> list[QueuedDeadLetter]:
        """Page by page."""
        found: list[QueuedDeadLetter] = []
        first = 1
        while page := await self.port.peek(first):
            found += page
            first = page[-1].sequence + 1
        return [kept for kept in found if kept.received.message_id.startswith(f"{self.mark}/")]

    async def numbers(self) -> list[int]:
        return [kept.sequence for kept in await self.own()]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(where: Targets) -> AsyncIterator[ServiceBusClient]:
    async with create_client(where.service_bus, None, None) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def port(client: ServiceBusClient) -> AsyncIterator[ServiceBusDeadLetters]:
    opened = ServiceBusDeadLetters(client)
    yield opened
    await opened.close()


@pytest.fixture
def room(side: str, app: FakeApp, adapters: dict[str, Any], port: ServiceBusDeadLetters) -> Room:
    real = side == "adapter"
    return Room(port if real else app.dead_letters, adapters["bus"] if real else app.bus, unique("letters"))


async def test_a_letter_is_shown_as_it_was_sent(room: Room) -> None:
    await room.put(1)
    [kept] = await room.own()
    assert (kept.received.message_id, kept.received.body) == (f"{room.mark}/0", f"{room.mark}/0".encode())
    assert dict(kept.received.properties) == {"stage": "sweeps", "replays": 2}
    assert kept.received.enqueued.tzinfo is not None


async def test_looking_locks_nothing_and_may_begin_anywhere(room: Room) -> None:
    numbers = await room.put(3)
    page = await room.port.peek(numbers[1])
    assert [kept.sequence for kept in page] == numbers[1:]
    assert await room.port.peek(numbers[-1] + 1) == []
    for number in numbers:
        assert await room.port.lock(number) is not None


async def test_the_last_one_is_taken_out_and_those_before_it_stay_as_they_were(room: Room) -> None:
    numbers = await room.put(4)
    before = await room.own()
    kept = await room.port.lock(numbers[-1])
    assert kept == before[-1]
    await room.port.complete(numbers[-1])
    assert await room.own() == before[:-1]
    assert await room.port.lock(numbers[-1]) is None


async def test_those_that_were_passed_over_can_be_taken_in_any_order(room: Room) -> None:
    numbers = await room.put(4)
    for number in (numbers[2], numbers[0], numbers[3], numbers[1]):
        kept = await room.port.lock(number)
        assert kept is not None
        assert kept.sequence == number
        await room.port.complete(number)
    assert await room.numbers() == []


async def test_what_comes_while_another_is_held_can_be_taken_too(room: Room) -> None:
    [first] = await room.put(1)
    await room.port.lock(first)
    await room.sender.send([OutgoingMessage(DEAD_LETTERS, f"{room.mark}/late", b"late")])
    late = (await room.numbers())[-1]
    assert await room.port.lock(late) is not None
    await room.port.complete(late)
    await room.port.complete(first)
    assert await room.numbers() == []


async def test_who_holds_one_keeps_others_off_until_it_is_given_back(room: Room) -> None:
    [number] = await room.put(1)
    await room.port.lock(number)
    with pytest.raises(Busy):
        await room.port.lock(number)
    await room.port.release(number)
    assert await room.port.lock(number) is not None
    await room.port.complete(number)


async def test_a_letter_whose_holder_died_comes_back_and_cannot_be_taken_out_by_the_dead(
    room: Room, clock: Watch
) -> None:
    [number] = await room.put(1)
    await room.port.lock(number)
    clock.advance(LOCK)
    with pytest.raises(Busy):
        await room.port.complete(number)
    assert await room.numbers() == [number]
    assert await room.port.lock(number) is not None
    await room.port.complete(number)


async def test_a_thousand_letters_are_listed_in_pages_and_the_last_is_taken(room: Room) -> None:
    numbers = await room.put(1000)
    assert await room.port.lock(numbers[-1]) is not None
    await room.port.complete(numbers[-1])
    assert await room.numbers() == numbers[:-1]
    assert await room.port.lock(numbers[0]) is not None
    await room.port.complete(numbers[0])


@pytest.mark.parametrize("side", ["adapter"])
async def test_letters_that_are_taken_one_after_another_are_never_asked_for_in_vain(
    room: Room, standins: StandIns, where: Targets
) -> None:
    """The SDK asks three times for what it does not get, with pauses: more than a second for every letter."""
    if "bus" in where.real:
        pytest.skip("nobody counts the calls to a real service")
    numbers = await room.put(10)
    standins.control.forget_calls()
    for number in numbers[::3]:
        assert await room.port.lock(number) is not None
        await room.port.complete(number)
    calls = standins.control.calls("service-bus")
    assert len(calls) > 4
    assert [call.kind for call in calls if call.status != 200] == []


@pytest.mark.parametrize("side", ["adapter"])
async def test_a_tool_that_died_on_its_way_to_a_letter_holds_it_up_for_the_time_of_a_lock(
    room: Room, client: ServiceBusClient, clock: Watch
) -> None:
    numbers = await room.put(5)
    dead, held = client.get_queue_receiver(DEAD_LETTERS), 0
    while held != numbers[-1]:
        [message] = await dead.receive_messages(max_message_count=1, max_wait_time=120)
        held = message.sequence_number or 0
    with pytest.raises(Busy):
        await room.port.lock(numbers[-1])
    clock.advance(LOCK)
    assert await room.port.lock(numbers[-1]) is not None
    await room.port.complete(numbers[-1])
    assert await room.numbers() == numbers[:-1]


@pytest.mark.parametrize("side", ["adapter"])
async def test_two_tools_at_the_same_letters_take_each_of_them_once(
    room: Room, client: ServiceBusClient
) -> None:
    numbers = await room.put(3)
    other = ServiceBusDeadLetters(client)
    assert await other.lock(numbers[2]) is not None
    assert await room.port.lock(numbers[1]) is not None
    with pytest.raises(Busy):
        await room.port.lock(numbers[2])
    await other.complete(numbers[2])
    assert await room.port.lock(numbers[2]) is None
    await room.port.complete(numbers[1])
    assert await room.numbers() == numbers[:1]
    await other.close()


ODD: dict[str, Any] = {
    "a text": {"value_body": "héllo"},
    "a number": {"value_body": 7},
    "a map": {"value_body": {"team": "alpha"}},
    "a sequence": {"sequence_body": [[1, "x"], [2]]},
    "an id that is no text": {
        "data_body": b"{}",
        "properties": AmqpMessageProperties(message_id=uuid.UUID(int=7)),
    },
    "odd properties": {
        "data_body": b"{}",
        "application_properties": {"stage": uuid.UUID(int=7), "at": datetime(2026, 1, 1, tzinfo=UTC)},
    },
}


@pytest.mark.parametrize("side", ["adapter"])
@pytest.mark.parametrize("form", ODD.values(), ids=ODD.keys())
async def test_a_message_of_another_form_hides_no_other_letter(
    room: Room, client: ServiceBusClient, form: dict[str, Any]
) -> None:
    async with client.get_queue_sender(DEAD_LETTERS) as sender:
        await sender.send_messages(AmqpAnnotatedMessage(**form))
    await room.put(1)
    found = [kept async for kept in _all(room)]
    assert all(isinstance(read_letter(kept).message_id, str) for kept in found)
    odd = max(kept.sequence for kept in found if not kept.received.message_id.startswith(room.mark))
    assert await room.port.lock(odd) is not None
    await room.port.complete(odd)


async def _all(room: Room) -> AsyncIterator[QueuedDeadLetter]:
    first = 1
    while page := await room.port.peek(first):
        for kept in page:
            yield kept
        first = page[-1].sequence + 1
