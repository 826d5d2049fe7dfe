"""The Service Bus stand-in is killed: what it acknowledged is there when it runs again."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import (
    ServiceBusError,
)

from standins.tests.service_bus.room import (
    QUEUE,
    WITH_SESSIONS,
    eventually,
    number,
    one,
    opened,
    process,
    text,
)

ENTITIES = {"queues": {"q": QUEUE | {"duplicate_detection_window": "PT10M"}, "s": WITH_SESSIONS}}


async def leave_one_of_each(client: ServiceBusClient) -> int:
    """An active, a locked, a scheduled, a deferred and a dead-lettered message, and a session with a state;
    the deferred one's number.
    """
    sender, receiver = client.get_queue_sender("q"), client.get_queue_receiver("q")
    session_sender, session = client.get_queue_sender("s"), client.get_queue_receiver("s", session_id="a")
    async with opened(sender, receiver, session_sender, session):
        for name in ("deferred", "dead", "locked", "active"):
            await sender.send_messages(ServiceBusMessage(name, message_id=name))
        await sender.schedule_messages(ServiceBusMessage("scheduled"), datetime.now(UTC) + timedelta(hours=1))
        deferred, dead, _ = await receiver.receive_messages(3, max_wait_time=120)
        await receiver.defer_message(deferred)
        await receiver.dead_letter_message(dead, reason="Bad")
        await session_sender.send_messages(ServiceBusMessage("in session", session_id="a"))
        await one(session)
        await session.session.set_state(b"state")
    return number(deferred)


async def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    with process(tmp_path, ENTITIES) as (_, address):
        async with ServiceBusClient.from_connection_string(address) as client:
            deferred = await leave_one_of_each(client)
    with process(tmp_path, ENTITIES) as (_, address):
        async with ServiceBusClient.from_connection_string(address) as client:
            sender, receiver = client.get_queue_sender("q"), client.get_queue_receiver("q")
            dead_letters, session = (
                client.get_queue_receiver("q", sub_queue="deadletter"),
                client.get_queue_receiver("s", session_id="a"),
            )
            async with opened(sender, receiver, dead_letters, session):
                await sender.send_messages(
                    [ServiceBusMessage("again", message_id="active"), ServiceBusMessage("new")]
                )
                received = await receiver.receive_messages(9, max_wait_time=120)
                assert [text(message) for message in received] == ["locked", "active", "new"]
                numbers = [number(message) - deferred for message in received]
                assert numbers[:2] == [2, 3]
                assert numbers[2] > 4, "a number is not given twice"
                assert [text(message) for message in await receiver.receive_deferred_messages(deferred)] == [
                    "deferred"
                ]
                assert "scheduled" in {
                    text(message) for message in await receiver.peek_messages(9, sequence_number=1)
                }
                assert (await one(dead_letters)).dead_letter_reason == "Bad"
                assert text(await one(session)) == "in session"
                assert await session.session.get_state() == b"state"


async def send_until_it_breaks(sender: ServiceBusSender, acknowledged: list[str], asked: list[str]) -> None:
    """Single messages and batches in turn, each with its own id."""
    with suppress(ServiceBusError):
        for number in count():
            ids = [f"{number}-{part}" for part in range(1 + number % 3)]
            asked += ids
            await sender.send_messages([ServiceBusMessage(each, message_id=each) for each in ids])
            acknowledged += ids


async def test_every_acknowledged_message_of_a_stream_survives_a_kill_in_its_middle(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    asked: list[str] = []
    with process(tmp_path, ENTITIES) as (running, address):
        client = ServiceBusClient.from_connection_string(address, retry_total=0)
        sender = client.get_queue_sender("q")
        await sender.__aenter__()
        sending = asyncio.create_task(send_until_it_breaks(sender, acknowledged, asked))
        await eventually(lambda: len(acknowledged) > 500)
        running.kill()
        await sending
    with process(tmp_path, ENTITIES) as (_, address):
        async with ServiceBusClient.from_connection_string(address) as again:
            kept = await drained(again, set(acknowledged))
    assert len(kept) == len(set(kept)), "nothing is there twice"
    assert set(acknowledged) <= set(kept) <= set(asked)
    assert len(kept) - len(acknowledged) in range(4), "and of the last send, all or nothing"
    await asyncio.gather(sender.close(), client.close())


async def drained(client: ServiceBusClient, wanted: set[str]) -> list[str]:
    """What is left, which takes longer to arrive as long as something of it is missing."""
    receiver = client.get_queue_receiver(
        "q", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE, prefetch_count=500
    )
    ids: list[str] = []
    async with receiver:
        while messages := await receiver.receive_messages(
            500, max_wait_time=0.3 if wanted <= set(ids) else 30
        ):
            ids += [str(message.message_id) for message in messages]
    return ids
