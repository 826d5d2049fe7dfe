"""Messages of the Service Bus stand-in, driven by azure-servicebus over a socket: sent, settled, scheduled,
too old, too large.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceiveMode
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    ServiceBusError,
    ServiceBusQuotaExceededError,
)

from standins.tests.service_bus.room import (
    LOCK_SECONDS,
    MAX_DELIVERIES,
    QUEUE,
    WINDOW_SECONDS,
    WITH_SESSIONS,
    Namespace,
    Ordered,
    Plain,
    between,
    dead_letters_of,
    nothing,
    number,
    one,
    room,
    text,
)

QUEUES = {
    "idle": QUEUE,
    "many": QUEUE,
    "small": QUEUE | {"max_size_in_megabytes": 1},
    "brief": QUEUE | {"default_message_ttl": "PT30S"},
    "forgetful": QUEUE | {"dead_lettering_on_message_expiration": False},
}
TOPICS = {
    "news": {
        "duplicate_detection_window": "PT10M",
        "subscriptions": {
            "sport": QUEUE | {"rules": {"all": {"to": "all"}, "sport": {"to": "sport"}}},
            "politics": QUEUE | {"rules": {"all": {"to": "all"}, "politics": {"to": "politics"}}},
            "in-order": WITH_SESSIONS | {"rules": {"in-order": {"to": "in-order"}}},
        },
    }
}
namespace, line, ordered = room(plain=18, ordered=2, queues=QUEUES, topics=TOPICS)


async def test_a_message_arrives_as_it_was_sent(namespace: Namespace, line: Plain) -> None:
    sent = ServiceBusMessage(
        b"\x00body",
        message_id="m1",
        subject="greeting",
        correlation_id="c1",
        content_type="text/plain",
        to="all",
    )
    sent.application_properties = {"text": "x", "number": 7}
    before = namespace.now()
    await line.send(sent)
    message = await line.receive()
    after, lock = namespace.now(), timedelta(seconds=LOCK_SECONDS)
    assert b"".join(message.body) == b"\x00body"
    assert (message.message_id, message.subject, message.correlation_id, message.to) == (
        "m1",
        "greeting",
        "c1",
        "all",
    )
    assert message.application_properties == {b"text": b"x", b"number": 7}
    assert (message.sequence_number, message.delivery_count) == (1, 0)
    assert between(before, message.enqueued_time_utc, after)
    assert between(before + lock, message.locked_until_utc, after + lock)
    await line.receiver.complete_message(message)
    assert await line.receiver.peek_messages(1) == []


async def test_a_batch_arrives_in_order(line: Plain) -> None:
    await line.sender.send_messages([ServiceBusMessage(str(number)) for number in range(5)])
    messages = await line.receiver.receive_messages(5, max_wait_time=120)
    assert [text(message) for message in messages] == ["0", "1", "2", "3", "4"]


async def test_a_large_message_goes_through_in_several_frames_and_a_larger_one_is_refused(
    line: Plain,
) -> None:
    body = bytes(range(256)) * 800
    await line.send(ServiceBusMessage(body))
    assert b"".join((await line.receive()).body) == body
    with pytest.raises(
        MessageSizeExceededError, match=r"size:263\d+ bytes\) exceeds the limit \(262144 bytes\)"
    ):
        await line.send(ServiceBusMessage(b"x" * 263_000))
    await line.send(ServiceBusMessage("the link is still good"))


async def test_the_premium_tier_takes_messages_of_a_megabyte(namespace: Namespace, line: Plain) -> None:
    with namespace.changed(tier="premium"):
        sender = namespace.client.get_queue_sender(line.name)
        await namespace.open(sender)
    body = bytes(range(256)) * 4000
    for _ in range(6):
        await sender.send_messages(ServiceBusMessage(body))
    assert [b"".join((await line.receive()).body) == body for _ in range(6)] == [True] * 6
    with pytest.raises(MessageSizeExceededError):
        await sender.send_messages(ServiceBusMessage(b"x" * 1_050_000))


async def test_thousands_of_messages_go_through_one_link(namespace: Namespace) -> None:
    sender = namespace.client.get_queue_sender("many")
    receiver = namespace.client.get_queue_receiver(
        "many", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE, prefetch_count=500
    )
    await namespace.open(sender, receiver)
    for first in range(0, 3000, 1000):
        await sender.send_messages([ServiceBusMessage(str(number)) for number in range(first, first + 1000)])
    received: list[str] = []
    while len(received) < 3000:
        received += [text(message) for message in await receiver.receive_messages(500, max_wait_time=120)]
    assert received == [str(number) for number in range(3000)]


async def test_an_entity_that_is_full_takes_no_more_until_something_leaves(namespace: Namespace) -> None:
    sender = namespace.client.get_queue_sender("small")
    receiver = namespace.client.get_queue_receiver("small")
    await namespace.open(sender, receiver)
    for _ in range(5):
        await sender.send_messages(ServiceBusMessage(b"x" * 250_000))
    with pytest.raises(ServiceBusQuotaExceededError, match="maximum entity size"):
        await sender.send_messages(ServiceBusMessage("one too many"))
    for message in await receiver.receive_messages(1, max_wait_time=120):
        await receiver.complete_message(message)
    await sender.send_messages(ServiceBusMessage("room again"))


async def test_what_the_service_cannot_store_is_refused(line: Plain) -> None:
    with pytest.raises(ServiceBusError, match="unable to process the request"):
        await line.send(ServiceBusMessage("", application_properties={"stack": "x" * 32_768}))
    await line.send(
        ServiceBusMessage("", application_properties={"stack": "x" * 32_767}, partition_key="any")
    )
    message = await line.receive()
    assert message.partition_key == "any"


async def test_a_queue_with_sessions_takes_no_batch_with_a_message_without(
    namespace: Namespace, ordered: Ordered
) -> None:
    with pytest.raises(ServiceBusError, match=r"The SessionId was not set on a message, .* amqp:not-allowed"):
        await ordered.sender.send_messages(
            [ServiceBusMessage("a1", session_id="a"), ServiceBusMessage("homeless")]
        )
    assert await ordered.dead_letters.peek_messages(1) == []
    assert [session async for session in namespace.client.list_queue_sessions(ordered.name)] == []


async def test_a_subscription_with_sessions_makes_a_message_without_a_dead_letter(
    namespace: Namespace,
) -> None:
    sender = namespace.client.get_topic_sender("news")
    dead_letters = namespace.client.get_subscription_receiver("news", "in-order", sub_queue="deadletter")
    await namespace.open(sender, dead_letters)
    await sender.send_messages(ServiceBusMessage("homeless", to="in-order"))
    dead = await one(dead_letters)
    assert (text(dead), dead.dead_letter_reason) == ("homeless", "Session ID is null")


# ----------------------------------------------------------------------------------------------- time to live


async def test_a_message_that_is_too_old_becomes_a_dead_letter(namespace: Namespace, line: Plain) -> None:
    before, lives = namespace.now(), timedelta(minutes=30)
    await line.send(ServiceBusMessage("stale", time_to_live=lives), ServiceBusMessage("fresh"))
    [peeked, _] = await line.receiver.peek_messages(2)
    assert between(before + lives, peeked.expires_at_utc, namespace.now() + lives)
    namespace.world.advance(lives.total_seconds() + 1)
    dead = await one(line.dead_letters)
    assert (text(dead), dead.dead_letter_reason) == ("stale", "TTLExpiredException")
    assert text(await line.receive()) == "fresh"
    namespace.world.advance(31)
    assert [text(message) for message in await line.dead_letters.peek_messages(9, sequence_number=1)] == [
        "stale"
    ], "for good"


async def test_a_lock_protects_from_old_age_and_being_deferred_does_for_ever(
    namespace: Namespace, line: Plain
) -> None:
    await line.send(
        *(
            ServiceBusMessage(name, time_to_live=timedelta(seconds=30))
            for name in ("completed", "abandoned", "deferred")
        )
    )
    completed, abandoned, deferred = await line.receiver.receive_messages(3, max_wait_time=120)
    await line.receiver.defer_message(deferred)
    namespace.world.advance(31)
    await line.receiver.complete_message(completed)
    await line.receiver.abandon_message(abandoned)
    assert text(await one(line.dead_letters)) == "abandoned"
    [again] = await line.receiver.receive_deferred_messages(number(deferred))
    await line.receiver.complete_message(again)


async def test_an_entity_limits_how_long_messages_live(namespace: Namespace) -> None:
    client = namespace.client
    sender, receiver, dead_letters = (
        client.get_queue_sender("brief"),
        client.get_queue_receiver("brief"),
        dead_letters_of(client, "brief"),
    )
    await namespace.open(sender, receiver, dead_letters)
    await sender.send_messages(
        [ServiceBusMessage("none"), ServiceBusMessage("long", time_to_live=timedelta(days=1))]
    )
    await sender.send_messages(ServiceBusMessage("short", time_to_live=timedelta(seconds=5)))
    assert [
        message.time_to_live.seconds for message in await receiver.peek_messages(3) if message.time_to_live
    ] == [30, 30, 5]
    await sender.schedule_messages(ServiceBusMessage("late"), namespace.now() + timedelta(seconds=40))
    namespace.world.advance(45)
    assert {text(await one(dead_letters)) for _ in range(3)} == {"short", "none", "long"}
    assert [text(message) for message in await receiver.peek_messages(9, sequence_number=1)] == ["late"]


async def test_what_is_too_old_is_dropped_where_the_entity_says_so(namespace: Namespace) -> None:
    client = namespace.client
    sender, dead_letters = client.get_queue_sender("forgetful"), dead_letters_of(client, "forgetful")
    await namespace.open(sender, dead_letters)
    await sender.send_messages(
        [ServiceBusMessage("stale", time_to_live=timedelta(seconds=1)), ServiceBusMessage("fresh")]
    )
    namespace.world.advance(2)
    receiver = client.get_queue_receiver("forgetful")
    await namespace.open(receiver)
    assert [text(message) for message in await receiver.peek_messages(9)] == ["fresh"]
    assert await dead_letters.peek_messages(1) == []


async def test_an_abandoned_message_comes_back_first_and_counts_until_it_is_dead_lettered(
    line: Plain,
) -> None:
    await line.send(
        ServiceBusMessage("poison", message_id="poison"), ServiceBusMessage("next", message_id="next")
    )
    counts = []
    for _ in range(MAX_DELIVERIES):
        message = await line.receive()
        counts.append((message.message_id, message.delivery_count))
        await line.receiver.abandon_message(message)
    assert counts == [("poison", 0), ("poison", 1), ("poison", 2)]
    dead = await one(line.dead_letters)
    assert (dead.message_id, dead.dead_letter_reason) == ("poison", "MaxDeliveryCountExceeded")
    assert (await line.receive()).message_id == "next"


async def test_a_dead_lettered_message_says_why_and_keeps_what_it_was(
    namespace: Namespace, line: Plain
) -> None:
    await line.send(ServiceBusMessage("bad", message_id="m1", application_properties={"kept": 1}))
    await line.receiver.dead_letter_message(
        await line.receive(), reason="Unreadable", error_description="not YAML"
    )
    dead = await one(line.dead_letters)
    assert (dead.dead_letter_reason, dead.dead_letter_error_description, dead.dead_letter_source) == (
        "Unreadable",
        "not YAML",
        line.name,
    )
    assert (text(dead), dead.message_id, (dead.application_properties or {})[b"kept"]) == ("bad", "m1", 1)
    await line.dead_letters.complete_message(dead)
    assert namespace.count(f"complete {line.name} dead letters") == 1


async def test_a_deferred_message_is_handed_out_by_its_number_only(line: Plain) -> None:
    await line.send(ServiceBusMessage("later"))
    message = await line.receive()
    await line.receiver.defer_message(message)
    assert await nothing(line.receiver)
    [deferred] = await line.receiver.receive_deferred_messages(number(message))
    await line.receiver.abandon_message(deferred)
    [again] = await line.receiver.receive_deferred_messages(number(message))
    assert (text(again), again.delivery_count) == ("later", 1)
    await line.receiver.complete_message(again)
    with pytest.raises(MessageNotFoundError):
        await line.receiver.receive_deferred_messages(number(message))


async def test_a_lock_that_expired_is_lost_and_the_message_comes_again(
    namespace: Namespace, line: Plain
) -> None:
    await line.send(ServiceBusMessage("slow"))
    message = await line.receive()
    namespace.world.advance(LOCK_SECONDS + 1)
    with pytest.raises(MessageLockLostError):
        await line.receiver.complete_message(message)
    with pytest.raises(MessageLockLostError):
        await line.receiver.renew_message_lock(message)
    again = await line.receive()
    assert again.delivery_count == 1
    await line.receiver.complete_message(again)


async def test_a_renewed_lock_holds_longer(namespace: Namespace, line: Plain) -> None:
    await line.send(ServiceBusMessage("slow"))
    message = await line.receive()
    namespace.world.advance(LOCK_SECONDS * 0.7)
    until = await line.receiver.renew_message_lock(message)
    namespace.world.advance(LOCK_SECONDS * 0.7)
    assert until > namespace.now()
    await line.receiver.complete_message(message)


async def test_receive_and_delete_leaves_nothing_behind(namespace: Namespace) -> None:
    sender = namespace.client.get_queue_sender("idle")
    receiver = namespace.client.get_queue_receiver(
        "idle", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE
    )
    await namespace.open(sender, receiver)
    await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    messages = await receiver.receive_messages(2, max_wait_time=120)
    assert [text(message) for message in messages] == ["a", "b"]
    assert await receiver.peek_messages(1, sequence_number=1) == []


# ------------------------------------------------------------------------ schedules, duplicates, peek, topics


async def test_scheduled_messages_arrive_when_the_clock_gets_there(namespace: Namespace, line: Plain) -> None:
    due = namespace.now() + timedelta(hours=1)
    numbers = await line.sender.schedule_messages(
        [ServiceBusMessage("by request"), ServiceBusMessage("cancelled")], due
    )
    await line.send(ServiceBusMessage("by property", scheduled_enqueue_time_utc=due))
    await line.sender.cancel_scheduled_messages(numbers[1])
    assert await nothing(line.receiver)
    namespace.world.advance(3600)
    messages = await line.receiver.receive_messages(3, max_wait_time=120)
    assert {text(message) for message in messages} == {"by request", "by property"}
    assert all(between(due, message.enqueued_time_utc, namespace.now()) for message in messages)
    assert min(map(number, messages)) > max(numbers), "an activated message gets a new number"
    assert namespace.count(f"schedule {line.name}") == 3
    with pytest.raises(MessageNotFoundError):
        await line.sender.cancel_scheduled_messages(numbers[0])
    with pytest.raises(MessageNotFoundError):
        await line.sender.cancel_scheduled_messages(987_654)


async def test_a_message_id_is_taken_once_within_the_window(namespace: Namespace, line: Plain) -> None:
    await line.send(
        ServiceBusMessage("first", message_id="same"), ServiceBusMessage("second", message_id="same")
    )
    await line.sender.schedule_messages(
        ServiceBusMessage("third", message_id="same"), namespace.now() + timedelta(seconds=30)
    )
    namespace.world.advance(40)
    assert [text(message) for message in await line.receiver.peek_messages(5)] == ["first"]
    namespace.world.advance(WINDOW_SECONDS)
    await line.send(ServiceBusMessage("after the window", message_id="same"))
    assert [text(message) for message in await line.receiver.peek_messages(5, sequence_number=1)] == [
        "first",
        "after the window",
    ]


async def test_peek_shows_every_message_page_by_page_without_locking_it(
    namespace: Namespace, line: Plain
) -> None:
    await line.send(*(ServiceBusMessage(str(number)) for number in range(4)))
    await line.receiver.defer_message(await line.receive())
    await line.sender.schedule_messages(ServiceBusMessage("tomorrow"), namespace.now() + timedelta(days=1))
    assert [text(message) for message in await line.receiver.peek_messages(3, sequence_number=1)] == [
        "0",
        "1",
        "2",
    ]
    assert [text(message) for message in await line.receiver.peek_messages(3)] == ["3", "tomorrow"]
    assert [text(message) for message in await line.receiver.peek_messages(1, sequence_number=2)] == ["1"]
    states = [message.state.name for message in await line.receiver.peek_messages(9, sequence_number=1)]
    assert states == ["DEFERRED", "ACTIVE", "ACTIVE", "ACTIVE", "SCHEDULED"]
    await line.receiver.dead_letter_message(await line.receive())
    assert [text(message) for message in await line.dead_letters.peek_messages(9)] == ["1"]


async def test_a_topic_copies_to_the_subscriptions_whose_rules_match(namespace: Namespace) -> None:
    client = namespace.client
    sender, sport = client.get_topic_sender("news"), client.get_subscription_receiver("news", "sport")
    politics = client.get_subscription_receiver("news", "politics")
    dead_letters = client.get_subscription_receiver("news", "sport", sub_queue="deadletter")
    await namespace.open(sender, sport, politics, dead_letters)
    for message_id, to in (("1", "all"), ("2", "sport"), ("3", "Politics"), ("1", "politics")):
        await sender.send_messages(ServiceBusMessage("", message_id=message_id, to=to))
    await sender.schedule_messages(
        ServiceBusMessage("", message_id="5", to="politics"), namespace.now() + timedelta(hours=1)
    )
    namespace.world.advance(3600)
    assert [message.message_id for message in await sport.peek_messages(9)] == ["1", "2"]
    assert [message.message_id for message in await politics.peek_messages(9)] == ["1", "5"]
    await sport.dead_letter_message(await one(sport), reason="NoNews")
    dead = await one(dead_letters)
    assert (dead.dead_letter_reason, dead.dead_letter_source) == ("NoNews", "news/Subscriptions/sport")
    assert namespace.count("receive sport dead letters") == 1
