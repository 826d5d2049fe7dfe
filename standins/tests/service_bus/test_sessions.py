"""Sessions of the Service Bus stand-in, driven by azure-servicebus over a socket."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from standins.tests.service_bus.room import (
    LOCK_SECONDS,
    Namespace,
    Ordered,
    number,
    one,
    room,
    text,
)

namespace, line, ordered = room(plain=0, ordered=12)


async def test_a_session_is_exclusive_ordered_and_has_a_state(namespace: Namespace, ordered: Ordered) -> None:
    await ordered.send_to("a", "a1")
    await ordered.send_to("b", "b1")
    await ordered.send_to("a", "a2")
    receiver = await namespace.session(ordered, "a")
    refused = asyncio.create_task(namespace.session(ordered, "a"))
    first, second = await receiver.receive_messages(2, max_wait_time=120)
    assert (text(first), text(second)) == ("a1", "a2")
    await receiver.abandon_message(second)
    await receiver.abandon_message(first)
    again = await receiver.receive_messages(2, max_wait_time=120)
    assert [(text(message), message.delivery_count) for message in again] == [("a1", 1), ("a2", 1)]
    assert await receiver.session.get_state() is None
    await receiver.session.set_state(b"half way")
    assert await receiver.session.get_state() == b"half way"
    with pytest.raises(SessionCannotBeLockedError):
        await refused


async def test_the_next_session_is_one_that_nobody_holds(namespace: Namespace, ordered: Ordered) -> None:
    await ordered.send_to("a", "a1")
    await ordered.send_to("b", "b1")
    receivers = await asyncio.gather(*(namespace.session(ordered, NEXT_AVAILABLE_SESSION) for _ in range(2)))
    third = asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION, wait=0.5))
    assert {receiver.session.session_id for receiver in receivers} == {"a", "b"}
    assert [text(await one(receiver)) for receiver in receivers] == [
        f"{receiver.session.session_id}1" for receiver in receivers
    ]
    with pytest.raises(OperationTimeoutError):
        await third


async def test_who_waits_for_a_session_gets_the_next_that_comes(
    namespace: Namespace, ordered: Ordered
) -> None:
    waiting = asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION))
    await namespace.session(ordered, "held without messages")
    assert not waiting.done()
    await ordered.send_to("late", "l1")
    assert text(await one(await waiting)) == "l1"


async def test_closing_a_session_gives_its_messages_back_without_counting(
    namespace: Namespace, ordered: Ordered
) -> None:
    await ordered.send_to("a", "a1")
    receiver = await namespace.session(ordered, "a")
    next_one = asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION))
    await one(receiver)
    await receiver.close()
    assert (await one(await next_one)).delivery_count == 0


async def test_a_session_that_is_given_back_goes_to_one_of_those_who_wait(
    namespace: Namespace, ordered: Ordered
) -> None:
    await ordered.send_to("a", "a1", "a2")
    receiver = await namespace.session(ordered, "a")
    waiting = [asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION)) for _ in range(2)]
    assert len(await receiver.receive_messages(2, max_wait_time=120)) == 2
    await namespace.session(ordered, "held without messages")
    await receiver.close()
    (first,), (second,) = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert [text(await one(first.result())) for _ in range(2)] == ["a1", "a2"]
    assert not second.done()
    await ordered.send_to("b", "b1")
    assert text(await one(await second)) == "b1"


async def test_a_broken_connection_frees_its_session(namespace: Namespace, ordered: Ordered) -> None:
    await ordered.send_to("a", "a1")
    receiver = await namespace.session(ordered, "a")
    next_one = asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION))
    message = await one(receiver)
    with namespace.fault(f"complete {ordered.name}", status=0), pytest.raises(ServiceBusError):
        await receiver.complete_message(message)
    assert text(await one(await next_one)) == "a1"


async def test_a_session_lock_that_expires_is_lost_and_the_deliveries_count(
    namespace: Namespace, ordered: Ordered
) -> None:
    await ordered.send_to("a", "a1")
    receiver = await namespace.session(ordered, "a")
    next_one = asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION))
    message = await one(receiver)
    namespace.world.advance(LOCK_SECONDS + 1)
    with pytest.raises(SessionLockLostError):
        await receiver.complete_message(message)
    assert (await one(await next_one)).delivery_count == 1


async def test_a_renewed_session_keeps_its_messages(namespace: Namespace, ordered: Ordered) -> None:
    await ordered.send_to("a", "a1")
    receiver = await namespace.session(ordered, "a")
    message = await one(receiver)
    namespace.world.advance(LOCK_SECONDS * 0.7)
    until = await receiver.session.renew_lock()
    namespace.world.advance(LOCK_SECONDS * 0.7)
    assert until > namespace.now()
    await receiver.complete_message(message)


async def test_a_broken_connection_that_the_service_does_not_notice_keeps_its_session(
    namespace: Namespace, ordered: Ordered
) -> None:
    await ordered.send_to("a", "a1")
    receiver = await namespace.session(ordered, "a")
    message = await one(receiver)
    with namespace.changed(sessions_freed_on_disconnect=False):
        with namespace.fault(f"complete {ordered.name}", status=0), pytest.raises(ServiceBusError):
            await receiver.complete_message(message)
        with pytest.raises(SessionCannotBeLockedError):
            await namespace.session(ordered, "a")
    namespace.world.advance(LOCK_SECONDS + 1)
    assert (await one(await namespace.session(ordered, "a"))).delivery_count == 1, (
        "the lock expired, which counts"
    )


async def test_sessions_with_messages_or_a_state_are_listed(namespace: Namespace, ordered: Ordered) -> None:
    wanted = [f"session-{number:03}" for number in range(130)]
    await ordered.sender.send_messages([ServiceBusMessage("", session_id=session) for session in wanted])
    receiver = await namespace.session(ordered, wanted[0])
    await receiver.session.set_state(b"kept")
    await receiver.complete_message(await one(receiver))
    assert [session async for session in namespace.client.list_queue_sessions(ordered.name)] == wanted


async def test_a_message_that_is_too_old_leaves_no_empty_session_behind(
    namespace: Namespace, ordered: Ordered
) -> None:
    await ordered.send(ServiceBusMessage("stale", session_id="a", time_to_live=timedelta(seconds=1)))
    namespace.world.advance(2)
    assert (await one(ordered.dead_letters)).dead_letter_reason == "TTLExpiredException"
    with pytest.raises(OperationTimeoutError):
        await namespace.session(ordered, NEXT_AVAILABLE_SESSION, wait=0.2)


async def test_deferred_messages_of_a_session_are_received_in_it(
    namespace: Namespace, ordered: Ordered
) -> None:
    await ordered.send_to("a", "a1", "a2")
    receiver = await namespace.session(ordered, "a")
    first = await one(receiver)
    await receiver.defer_message(first)
    assert [text(message) for message in await receiver.peek_messages(9, sequence_number=1)] == ["a1", "a2"]
    [deferred] = await receiver.receive_deferred_messages(number(first))
    await receiver.dead_letter_message(deferred, reason="Late", error_description="too late")
    await receiver.complete_message(await one(receiver))
    dead = await one(ordered.dead_letters)
    assert (text(dead), dead.session_id, dead.dead_letter_reason) == ("a1", "a", "Late")
