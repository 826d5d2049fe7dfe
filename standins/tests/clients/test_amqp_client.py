"""The Service Bus stand-in, asked by an AMQP client that others wrote and that does not know Service Bus;
Azure's is on the other side.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.amqp import AmqpAnnotatedMessage, AmqpMessageBodyType, AmqpMessageProperties

from standins.tests.clients.amqp_client import Proton, installed, started
from standins.tests.plugin import ROOT
from standins.tests.service_bus.room import (
    LOCK_SECONDS,
    QUEUE,
    WITH_SESSIONS,
    Namespace,
    number,
    one,
    serving,
    text,
)

#: Queues of single tests, besides what is deployed.
PLAIN = [f"plain-{count}" for count in range(8)]
ORDERED = ["ordered-0", "ordered-1"]
TOPIC = {"subscriptions": {"readers": QUEUE}}
PROPERTIES: dict[str | bytes, Any] = {"colour": "red", "count": 3, "share": 0.5, "good": True}


class Azure:
    """Azure's client. Links are closed together at the end, which takes the SDK a second each."""

    def __init__(self, namespace: Namespace) -> None:
        self.bus = namespace.client
        self._plain: Iterator[str] = iter(PLAIN)
        self._ordered: Iterator[str] = iter(ORDERED)
        self._links: list[Any] = []

    async def open(self, link: Any) -> Any:
        self._links.append(link)
        return await link.__aenter__()

    def queue(self) -> str:
        """A queue that nobody has used."""
        return next(self._plain)

    def queue_with_sessions(self) -> str:
        return next(self._ordered)

    async def sender(self, queue: str) -> Any:
        return await self.open(self.bus.get_queue_sender(queue))

    async def receiver(self, queue: str, **options: Any) -> Any:
        return await self.open(self.bus.get_queue_receiver(queue, **options))

    async def close(self) -> None:
        await asyncio.gather(*(link.close() for link in self._links))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def namespace(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Namespace]:
    installed()  # without the other client nothing is done
    deployed = json.loads((ROOT / "infra" / "service-bus.json").read_text())
    queues = deployed["queues"] | dict.fromkeys(PLAIN, QUEUE) | dict.fromkeys(ORDERED, WITH_SESSIONS)
    entities = {"queues": queues, "topics": deployed["topics"] | {"news": TOPIC}}
    async with serving(tmp_path_factory.mktemp("service-bus"), entities, [], []) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def proton(namespace: Namespace) -> AsyncIterator[Proton]:
    async with started() as proton:
        assert await proton("connect", address=f"127.0.0.1:{namespace.port}", name="local", key="local") == {
            "status": 200
        }
        yield proton


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def azure(namespace: Namespace) -> AsyncIterator[Azure]:
    azure = Azure(namespace)
    yield azure
    await azure.close()


async def sent(proton: Proton, to: str, **message: Any) -> Any:
    """What became of a message."""
    await proton("open_sender", link=f"to {to}", to=to)
    answer = await proton("send", link=f"to {to}", **message)
    await proton("close", link=f"to {to}")
    return answer


async def test_azure_receives_what_the_other_sent(proton: Proton, azure: Azure) -> None:
    queue = azure.queue()
    answer = await sent(
        proton,
        queue,
        body="hello",
        id="m-1",
        subject="news",
        properties=PROPERTIES,
        content_type="text/plain",
    )
    assert answer == {"outcome": "accept"}
    receiver = await azure.receiver(queue)
    message = await one(receiver)
    assert (text(message), message.body_type, message.message_id) == (
        "hello",
        AmqpMessageBodyType.DATA,
        "m-1",
    )
    assert (message.subject, message.content_type) == ("news", "text/plain")
    # Azure's client shows names and texts as bytes.
    assert message.application_properties == {b"colour": b"red", b"count": 3, b"share": 0.5, b"good": True}
    await receiver.complete_message(message)


async def test_the_other_receives_what_azure_sent(proton: Proton, azure: Azure) -> None:
    queue = azure.queue()
    sender = await azure.sender(queue)
    await sender.send_messages(
        ServiceBusMessage(
            "hello", message_id="m-2", subject="news", to="you", application_properties=PROPERTIES
        )
    )
    await proton("open_receiver", link="r", source=queue)
    message = await proton("receive", link="r")
    assert {
        name: message[name] for name in ("body", "kind", "id", "subject", "address", "delivery_count")
    } == {
        "body": "hello",
        "kind": "data",
        "id": "m-2",
        "subject": "news",
        "address": "you",
        "delivery_count": 0,
    }
    assert message["properties"] == PROPERTIES
    assert message["annotations"].keys() >= {
        "x-opt-sequence-number",
        "x-opt-enqueued-time",
        "x-opt-locked-until",
    }
    assert await proton("settle", link="r", outcome="accept") == {"outcome": "accept"}
    await proton("close", link="r")


async def test_a_body_that_is_a_value_stays_one_both_ways(proton: Proton, azure: Azure) -> None:
    queue, value = azure.queue(), {"team": "alpha", "limits": [1, 2]}
    assert await sent(proton, queue, body=value, kind="value") == {"outcome": "accept"}
    sender, receiver = await azure.sender(queue), await azure.receiver(queue)
    message = await one(receiver)
    assert message.body_type is AmqpMessageBodyType.VALUE
    assert message.body == {b"team": b"alpha", b"limits": [1, 2]}
    await receiver.complete_message(message)
    await sender.send_messages(
        AmqpAnnotatedMessage(value_body=value, properties=AmqpMessageProperties(message_id="v"))
    )
    await proton("open_receiver", link="r", source=queue)
    back = await proton("receive", link="r")
    assert (back["kind"], back["body"], back["id"]) == ("value", value, "v")
    await proton("close", link="r")


async def test_a_message_of_many_frames_arrives_whole(proton: Proton, azure: Azure) -> None:
    queue, body = azure.queue(), "0123456789" * 20_000
    assert await sent(proton, queue, body=body) == {"outcome": "accept"}
    await proton("open_receiver", link="r", source=queue)
    assert (await proton("receive", link="r"))["body"] == body
    await proton("close", link="r")
    assert (await sent(proton, queue, body=body * 2))["error"] == "amqp:link:message-size-exceeded"


async def test_sessions_go_both_ways(proton: Proton, azure: Azure) -> None:
    queue = azure.queue_with_sessions()
    assert await sent(proton, queue, body="to azure", group_id="one") == {"outcome": "accept"}
    receiver, sender = await azure.receiver(queue, session_id="one"), await azure.sender(queue)
    message = await one(receiver)
    assert (text(message), message.session_id) == ("to azure", "one")
    assert await proton("open_receiver", link="r", source=queue, session="one") == {
        "error": "com.microsoft:session-cannot-be-locked"
    }
    await receiver.complete_message(message)
    await sender.send_messages(ServiceBusMessage("from azure", session_id="two"))
    granted = await proton("open_receiver", link="r", source=queue, session=None)
    assert granted == {"filter": {"com.microsoft:session-filter": "two"}}
    message = await proton("receive", link="r")
    assert (message["body"], message["group_id"]) == ("from azure", "two")
    assert await proton("settle", link="r", outcome="accept") == {"outcome": "accept"}
    await proton("close", link="r")


async def test_every_outcome_does_what_it_means(proton: Proton, azure: Azure) -> None:
    queue = azure.queue()
    for body in ("released", "failed", "deferred", "dead"):
        await sent(proton, queue, body=body)
    await proton("open_receiver", link="r", source=queue)

    async def settled(body: str, outcome: str, **how: Any) -> None:
        assert (await proton("receive", link="r"))["body"] == body
        assert await proton("settle", link="r", outcome=outcome, **how) == {"outcome": outcome}

    await settled("released", "release")
    await settled("released", "accept")
    await settled("failed", "modify", failed=True)
    again = await proton("receive", link="r")
    assert (again["body"], again["delivery_count"]) == ("failed", 1)
    await proton("settle", link="r", outcome="accept")
    await settled("deferred", "modify", undeliverable=True)
    await settled("dead", "reject", reason="NoGood", description="it is no good")
    await proton("close", link="r")
    receiver, dead_letters = await azure.receiver(queue), await azure.receiver(queue, sub_queue="deadletter")
    [deferred] = await receiver.peek_messages(10)
    assert [text(message) for message in (deferred, *await dead_letters.peek_messages(10))] == [
        "deferred",
        "dead",
    ]
    assert [text(each) for each in await receiver.receive_deferred_messages([number(deferred)])] == [
        "deferred"
    ]
    dead = await one(dead_letters)
    assert (text(dead), dead.dead_letter_reason, dead.dead_letter_error_description) == (
        "dead",
        "NoGood",
        "it is no good",
    )


async def test_a_dead_letter_of_azure_is_read_by_the_other(proton: Proton, azure: Azure) -> None:
    queue = azure.queue()
    await sent(proton, queue, body="no good")
    receiver = await azure.receiver(queue)
    await receiver.dead_letter_message(await one(receiver), reason="NoGood")
    await proton("open_receiver", link="r", source=f"{queue}/$DeadLetterQueue")
    dead = await proton("receive", link="r")
    assert (dead["body"], dead["properties"]["DeadLetterReason"]) == ("no good", "NoGood")
    await proton("close", link="r")


async def test_a_lock_that_expired_is_lost_for_any_client(
    proton: Proton, azure: Azure, namespace: Namespace
) -> None:
    queue = azure.queue()
    await sent(proton, queue, body="late")
    await proton("open_receiver", link="r", source=queue)
    await proton("receive", link="r")
    namespace.world.clock.advance(LOCK_SECONDS + 1)
    answer = await proton("settle", link="r", outcome="accept")
    assert answer == {"outcome": "reject", "error": "com.microsoft:message-lock-lost"}
    assert (await proton("receive", link="r"))["delivery_count"] == 1
    await proton("close", link="r")


async def test_no_more_comes_than_there_is_credit_for(proton: Proton, azure: Azure) -> None:
    queue = azure.queue()
    for body in ("first", "second", "third"):
        await sent(proton, queue, body=body)
    await proton("open_receiver", link="r", source=queue)
    assert await proton("grant", link="r", credit=1) == {"queued": 1, "credit": 0}
    await sent(proton, queue, body="fourth")  # a round trip, in which all of them could have come
    assert await proton("waiting", link="r") == {"queued": 1, "credit": 0}
    assert await proton("grant", link="r", credit=2) == {"queued": 3, "credit": 0}
    bodies = [(await proton("receive", link="r"))["body"] for _ in range(4)]
    assert bodies == ["first", "second", "third", "fourth"]
    await proton("close", link="r")


async def test_a_subscription_of_a_topic_is_read(proton: Proton, azure: Azure) -> None:
    assert await sent(proton, "news", body="from the other") == {"outcome": "accept"}
    await (await azure.open(azure.bus.get_topic_sender("news"))).send_messages(
        ServiceBusMessage("from azure")
    )
    await proton("open_receiver", link="r", source="news/Subscriptions/readers")
    assert [(await proton("receive", link="r"))["body"] for _ in range(2)] == ["from the other", "from azure"]
    await proton("close", link="r")


@pytest.mark.parametrize(
    ("command", "arguments", "condition"),
    [
        ("open_sender", {"to": "absent"}, "amqp:not-found"),
        ("open_receiver", {"source": "absent"}, "amqp:not-found"),
        ("open_receiver", {"source": "access-changes"}, "amqp:not-allowed"),
        ("open_receiver", {"source": "sweeps"}, "amqp:not-allowed"),
        ("open_receiver", {"source": "dead-letters", "session": "s"}, "amqp:not-allowed"),
        ("open_sender", {"to": "dead-letters/$DeadLetterQueue"}, "amqp:not-allowed"),
    ],
)
async def test_a_refused_link_says_why(
    proton: Proton, command: str, arguments: dict[str, str], condition: str
) -> None:
    assert await proton(command, link="refused", **arguments) == {"error": condition}


async def test_a_refused_message_says_why(proton: Proton, azure: Azure) -> None:
    queue = azure.queue_with_sessions()
    assert await sent(proton, queue, body="of no session") == {
        "outcome": "reject",
        "error": "amqp:not-allowed",
    }


async def test_without_a_good_token_nothing_opens(namespace: Namespace) -> None:
    async with started() as stranger:
        assert await stranger(
            "connect", address=f"127.0.0.1:{namespace.port}", name="local", key="guessed"
        ) == {"status": 401}
        assert await stranger("open_receiver", link="r", source="dead-letters") == {
            "error": "amqp:unauthorized-access"
        }
