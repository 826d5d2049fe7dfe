"""The Service Bus stand-in, asked by Microsoft's SDK for JavaScript, which speaks AMQP by another library
than the one for Python; that one is on the other side.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage

from standins.tests.clients.line_client import LineClient
from standins.tests.clients.service_bus_client import installed, started
from standins.tests.service_bus.room import (
    LOCK_SECONDS,
    MAX_DELIVERIES,
    QUEUE,
    WITH_SESSIONS,
    Namespace,
    connection_string,
    one,
    serving,
    text,
)

PLAIN = [f"plain-{count}" for count in range(8)]
UNIQUE = QUEUE | {"duplicate_detection_window": "PT10M"}
TOPIC = {"subscriptions": {"readers": QUEUE}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def namespace(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Namespace]:
    installed()  # without the client nothing is done
    queues = dict.fromkeys(PLAIN, QUEUE) | {"ordered": WITH_SESSIONS, "unique": UNIQUE}
    entities = {"queues": queues, "topics": {"news": TOPIC}}
    async with serving(tmp_path_factory.mktemp("service-bus"), entities, [], []) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(namespace: Namespace) -> AsyncIterator[LineClient]:
    async with started() as client:
        assert await client("connect", connection=connection_string(namespace.port)) == {}
        yield client


@pytest.fixture(scope="module")
def queues() -> Iterator[str]:
    return iter(PLAIN)


@pytest.fixture
def queue(queues: Iterator[str]) -> str:
    """A queue that nobody has used."""
    return next(queues)


async def send(client: LineClient, to: str, *messages: dict[str, Any], batch: bool = False) -> None:
    assert await client("send", to=to, messages=messages, batch=batch) == {}


async def take(client: LineClient, link: str, count: int = 1) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client("receive", link=link, count=count))["messages"]
    return found


async def test_messages_go_both_ways(namespace: Namespace, client: LineClient, queue: str) -> None:
    properties = {"colour": "red", "good": True}
    await send(
        client,
        queue,
        {
            "body": "hello",
            "id": "m-1",
            "subject": "news",
            "contentType": "text/plain",
            "applicationProperties": properties,
        },
    )
    async with namespace.client.get_queue_receiver(queue) as receiver:
        message = await one(receiver)
        assert (text(message), message.message_id, message.subject) == ("hello", "m-1", "news")
        assert message.application_properties == {b"colour": b"red", b"good": True}
        await receiver.complete_message(message)
    async with namespace.client.get_queue_sender(queue) as sender:
        back = ServiceBusMessage("back", message_id="m-2", application_properties={"count": 3})
        await sender.send_messages(back)
    await client("open", link="both", source=queue)
    [found] = await take(client, "both")
    shown = {name: found[name] for name in ("body", "id", "properties", "deliveries", "state")}
    assert shown == {
        "body": "back",
        "id": "m-2",
        "properties": {"count": 3},
        "deliveries": 0,
        "state": "active",
    }
    assert await client("settle", link="both", how="complete") == {}
    await client("close", link="both")


async def test_an_abandoned_message_counts_and_keeps_what_was_given(client: LineClient, queue: str) -> None:
    """The SDK says nothing of `delivery-failed`."""
    await send(client, queue, {"body": "again", "applicationProperties": {"size": 3}})
    await client("open", link="abandon", source=queue)
    for number in range(MAX_DELIVERIES):
        [found] = await take(client, "abandon")
        assert found["deliveries"] == number
        given = {"attempt": f"number {number}"}
        assert await client("settle", link="abandon", how="abandon", properties=given) == {}
    await client("open", link="dead", source=queue, deadLetters=True)
    [dead] = (await client("peek", link="dead"))["messages"]
    assert dead["reason"] == "MaxDeliveryCountExceeded"
    assert dead["properties"].items() >= {"size": 3, "attempt": f"number {MAX_DELIVERIES - 1}"}.items()
    await client("close", link="abandon")
    await client("close", link="dead")


async def test_a_deferred_message_is_asked_for_by_its_number(client: LineClient, queue: str) -> None:
    await send(client, queue, {"body": "later"})
    await client("open", link="defer", source=queue)
    [found] = await take(client, "defer")
    assert await client("settle", link="defer", how="defer", properties={"why": "not now"}) == {}
    [waiting] = (await client("peek", link="defer"))["messages"]
    assert (waiting["state"], waiting["properties"]) == ("deferred", {"why": "not now"})
    answer = await client("receiveDeferred", link="defer", sequence=found["sequence"])
    assert [each["body"] for each in answer["messages"]] == ["later"]
    # The SDK settles a deferred message through `$management`.
    given = {"how": "abandon", "properties": {"why": "not yet"}}
    assert await client("settle", link="defer", **given) == {}
    [waiting] = (await client("peek", link="defer"))["messages"]
    assert (waiting["properties"], waiting["deliveries"]) == ({"why": "not yet"}, 1)
    await client("close", link="defer")


async def test_a_dead_letter_has_its_reason_and_what_was_given(client: LineClient, queue: str) -> None:
    await send(client, queue, {"body": "no good"})
    await client("open", link="bury", source=queue)
    await take(client, "bury")
    given = {"reason": "NoGood", "description": "it is no good", "properties": {"colour": "red"}}
    assert await client("settle", link="bury", how="deadletter", **given) == {}
    await client("open", link="buried", source=queue, deadLetters=True)
    [dead] = await take(client, "buried")
    assert (dead["reason"], dead["description"]) == ("NoGood", "it is no good")
    assert dead["properties"]["colour"] == "red"
    assert await client("settle", link="buried", how="complete") == {}
    await client("close", link="bury")
    await client("close", link="buried")


async def test_a_message_without_an_id_has_one_when_it_comes(client: LineClient, queue: str) -> None:
    await send(client, queue, {"body": "one"}, {"body": "other"})
    await client("open", link="ids", source=queue)
    first, second = (each["id"] for each in (await client("peek", link="ids"))["messages"])
    assert first
    assert second
    assert first != second
    await client("close", link="ids")


async def test_a_batch_is_taken_as_a_whole_and_duplicates_are_dropped(client: LineClient) -> None:
    await send(client, "unique", {"body": "a", "id": "1"}, {"body": "b", "id": "2"}, batch=True)
    await send(client, "unique", {"body": "c", "id": "1"})
    await client("open", link="unique", source="unique")
    found = (await client("peek", link="unique"))["messages"]
    assert [(each["id"], each["body"]) for each in found] == [("1", "a"), ("2", "b")]
    await client("close", link="unique")


async def test_a_scheduled_message_comes_when_it_is_due(
    namespace: Namespace, client: LineClient, queue: str
) -> None:
    due = (namespace.world.clock.now() + 3600) * 1000
    messages = [{"body": "later", "id": "1"}, {"body": "never", "id": "2"}]
    answer = await client("schedule", to=queue, messages=messages, due=due)
    assert await client("cancel", to=queue, sequences=answer["sequences"][1:]) == {}
    await client("open", link="due", source=queue)
    [waiting] = (await client("peek", link="due"))["messages"]
    assert (waiting["body"], waiting["state"]) == ("later", "scheduled")
    namespace.world.clock.advance(3600)
    assert [each["body"] for each in await take(client, "due")] == ["later"]
    await client("close", link="due")


async def test_a_session_has_one_receiver_a_state_and_a_lock(
    namespace: Namespace, client: LineClient
) -> None:
    await send(client, "ordered", {"body": "first", "session": "s"}, {"body": "second", "session": "s"})
    assert await client("open", link="mine", source="ordered", session=None) == {"session": "s"}
    refused = await client("open", link="yours", source="ordered", session="s")
    assert refused["error"] == "SessionCannotBeLocked"
    assert await client("state", link="mine", set="half way") == {"state": "half way"}
    assert await client("state", link="mine", set=None) == {"state": None}
    namespace.world.clock.advance(LOCK_SECONDS - 1)
    until = (await client("renew", link="mine"))["until"] / 1000
    assert until > namespace.world.clock.now() + LOCK_SECONDS - 2
    for body in ("first", "second"):
        [found] = await take(client, "mine")
        assert (found["body"], found["session"]) == (body, "s")
        assert await client("settle", link="mine", how="complete") == {}
    await client("close", link="mine")


async def test_a_lock_that_expired_is_lost(namespace: Namespace, client: LineClient, queue: str) -> None:
    await send(client, queue, {"body": "late"})
    await client("open", link="late", source=queue)
    await take(client, "late")
    namespace.world.clock.advance(LOCK_SECONDS + 1)
    refused = await client("settle", link="late", how="complete")
    assert refused["error"] == "MessageLockLost"
    [again] = await take(client, "late")
    assert again["deliveries"] == 1
    await client("close", link="late")


async def test_a_subscription_of_a_topic_is_read(client: LineClient) -> None:
    await send(client, "news", {"body": "of today"})
    await client("open", link="news", source="news/Subscriptions/readers")
    assert [each["body"] for each in await take(client, "news")] == ["of today"]
    await client("close", link="news")


async def test_a_guessed_key_opens_nothing(namespace: Namespace) -> None:
    async with started() as stranger:
        await stranger("connect", connection=connection_string(namespace.port, key="guessed"))
        refused = await stranger("send", to=PLAIN[0], messages=[{"body": "x"}])
        assert refused["error"] == "UnauthorizedAccess"
