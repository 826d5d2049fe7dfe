"""The Service Bus stand-in, driven by azure-servicebus over a socket. The server runs in this process, with a clock of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusMessage, ServiceBusReceivedMessage, ServiceBusReceiveMode
from azure.servicebus import ServiceBusClient as BlockingClient
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender
from azure.servicebus.exceptions import (
    MessageLockLostError,
    MessageNotFoundError,
    MessageSizeExceededError,
    MessagingEntityNotFoundError,
    OperationTimeoutError,
    ServiceBusError,
    ServiceBusServerBusyError,
    SessionCannotBeLockedError,
    SessionLockLostError,
)

from standins.faults import Fault
from standins.service_bus import serve
from standins.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
LOCK_SECONDS, WINDOW_SECONDS, MAX_DELIVERIES = 60, 600, 3
QUEUE: dict[str, Any] = {"requires_session": False, "lock_duration": "PT1M", "max_delivery_count": MAX_DELIVERIES}
WITH_SESSIONS = QUEUE | {"requires_session": True}
PLAIN = [f"plain-{number}" for number in range(17)]
ORDERED = [f"ordered-{number}" for number in range(10)]
IDLE = ["idle", "idle-too"]  # queues without open receivers, which would take the messages
ENTITIES: dict[str, Any] = {
    "queues": dict.fromkeys(PLAIN, QUEUE | {"duplicate_detection_window": "PT10M"})
    | dict.fromkeys(ORDERED, WITH_SESSIONS)
    | dict.fromkeys(IDLE, QUEUE),
    "topics": {
        "news": {
            "duplicate_detection_window": "PT10M",
            "subscriptions": {
                "sport": QUEUE | {"rules": {"all": {"to": "all"}, "sport": {"to": "sport"}}},
                "politics": QUEUE | {"rules": {"all": {"to": "all"}, "politics": {"to": "politics"}}},
            },
        }
    },
}


@dataclass(frozen=True)
class Line:
    """A queue of one test, with its links open: opening one takes the SDK half a second, so all are opened at once."""

    name: str
    sender: ServiceBusSender
    dead_letters: ServiceBusReceiver

    async def send(self, *messages: ServiceBusMessage) -> None:
        for message in messages:
            await self.sender.send_messages(message)


@dataclass(frozen=True)
class Plain(Line):
    """A queue without sessions."""

    receiver: ServiceBusReceiver

    async def receive(self) -> ServiceBusReceivedMessage:
        return await one(self.receiver)


@dataclass(frozen=True)
class Ordered(Line):
    """A queue with sessions."""

    async def send_to(self, session: str | None, *bodies: str) -> None:
        await self.send(*(ServiceBusMessage(body, session_id=session) for body in bodies))


@dataclass(frozen=True)
class Namespace:
    """The running stand-in. Each test takes a queue for itself, so that no test finds the messages of another."""

    world: World
    client: ServiceBusClient
    port: int
    plain: Iterator[Plain]
    ordered: Iterator[Ordered]
    opened: list[Any]

    def now(self) -> datetime:
        return self.world.clock.utcnow()

    def count(self, kind: str) -> int:
        return sum(call.kind == kind for call in self.world.calls)

    @contextmanager
    def fault(self, kind: str, **options: Any) -> Iterator[Fault]:
        fault = Fault("service-bus", kind, **options)
        self.world.trouble.faults.append(fault)
        yield fault
        self.world.trouble.faults.remove(fault)

    async def open(self, *links: Any) -> None:
        """Open links; they are closed with all others at the end, because closing takes the SDK long too."""
        self.opened.extend(links)
        await asyncio.gather(*(link.__aenter__() for link in links))

    async def session(self, queue: Ordered, session: Any, wait: float = 5) -> ServiceBusReceiver:
        receiver = self.client.get_queue_receiver(queue.name, session_id=session, max_wait_time=wait)
        await self.open(receiver)
        return receiver


def connection_string(port: int) -> str:
    return f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=any;SharedAccessKey=any;UseDevelopmentEmulator=true;"


@asynccontextmanager
async def opened(*links: ServiceBusSender | ServiceBusReceiver) -> AsyncIterator[None]:
    """Links opened and closed at once."""
    await asyncio.gather(*(link.__aenter__() for link in links))
    yield
    await asyncio.gather(*(link.close() for link in links))


async def one(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    messages = await receiver.receive_messages(1, max_wait_time=5)
    assert len(messages) == 1, "no message came"
    return messages[0]


async def nothing(receiver: ServiceBusReceiver) -> bool:
    return await receiver.receive_messages(1, max_wait_time=0.2) == []


def text(message: ServiceBusReceivedMessage) -> str:
    return b"".join(message.body).decode()


def number(message: ServiceBusReceivedMessage) -> int:
    assert message.sequence_number is not None
    return message.sequence_number


def about(moment: datetime | None, expected: datetime) -> bool:
    return moment is not None and abs(moment - expected) < timedelta(seconds=5)


async def open_plain(client: ServiceBusClient, name: str) -> Plain:
    line = Plain(name, client.get_queue_sender(name), dead_letters_of(client, name), client.get_queue_receiver(name))
    await asyncio.gather(*(link.__aenter__() for link in (line.sender, line.receiver, line.dead_letters)))
    return line


async def open_ordered(client: ServiceBusClient, name: str) -> Ordered:
    line = Ordered(name, client.get_queue_sender(name), dead_letters_of(client, name))
    await asyncio.gather(line.sender.__aenter__(), line.dead_letters.__aenter__())
    return line


def dead_letters_of(client: ServiceBusClient, queue: str) -> ServiceBusReceiver:
    return client.get_queue_receiver(queue, sub_queue="deadletter")


@pytest.fixture(scope="session")
async def namespace(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Namespace]:
    world = World(tmp_path_factory.mktemp("service-bus"))
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = await serve(world, listener, ENTITIES)
    port = listener.getsockname()[1]
    client = ServiceBusClient.from_connection_string(connection_string(port), retry_total=0)
    plain = await asyncio.gather(*(open_plain(client, name) for name in PLAIN))
    ordered = await asyncio.gather(*(open_ordered(client, name) for name in ORDERED))
    links = [link for line in (*plain, *ordered) for link in (line.sender, line.dead_letters)] + [line.receiver for line in plain]
    opened: list[Any] = []
    yield Namespace(world, client, port, iter(plain), iter(ordered), opened)
    await asyncio.gather(*(link.close() for link in (*links, *opened)))
    await client.close()
    server.close()


@pytest.fixture
def line(namespace: Namespace) -> Plain:
    return next(namespace.plain)


@pytest.fixture
def ordered(namespace: Namespace) -> Ordered:
    return next(namespace.ordered)


# ------------------------------------------------------------------------------------------------------- sending and settling


async def test_a_message_arrives_as_it_was_sent(namespace: Namespace, line: Plain) -> None:
    sent = ServiceBusMessage(b"\x00body", message_id="m1", subject="greeting", correlation_id="c1", content_type="text/plain", to="all")
    sent.application_properties = {"text": "x", "number": 7}
    await line.send(sent)
    message = await line.receive()
    assert b"".join(message.body) == b"\x00body"
    assert (message.message_id, message.subject, message.correlation_id, message.to) == ("m1", "greeting", "c1", "all")
    assert message.application_properties == {b"text": b"x", b"number": 7}
    assert (message.sequence_number, message.delivery_count) == (1, 0)
    assert about(message.enqueued_time_utc, namespace.now())
    assert about(message.locked_until_utc, namespace.now() + timedelta(seconds=LOCK_SECONDS))
    await line.receiver.complete_message(message)
    assert await line.receiver.peek_messages(1) == []


async def test_a_batch_arrives_in_order(line: Plain) -> None:
    await line.sender.send_messages([ServiceBusMessage(str(number)) for number in range(5)])
    messages = await line.receiver.receive_messages(5, max_wait_time=5)
    assert [text(message) for message in messages] == ["0", "1", "2", "3", "4"]


async def test_a_large_message_goes_through_in_several_frames_and_a_larger_one_is_refused(line: Plain) -> None:
    body = bytes(range(256)) * 800
    await line.send(ServiceBusMessage(body))
    assert b"".join((await line.receive()).body) == body
    with pytest.raises(MessageSizeExceededError):
        await line.send(ServiceBusMessage(b"x" * 263_000))


async def test_an_abandoned_message_comes_back_first_and_counts_until_it_is_dead_lettered(line: Plain) -> None:
    await line.send(ServiceBusMessage("poison", message_id="poison"), ServiceBusMessage("next", message_id="next"))
    counts = []
    for _ in range(MAX_DELIVERIES):
        message = await line.receive()
        counts.append((message.message_id, message.delivery_count))
        await line.receiver.abandon_message(message)
    assert counts == [("poison", 0), ("poison", 1), ("poison", 2)]
    dead = await one(line.dead_letters)
    assert (dead.message_id, dead.dead_letter_reason) == ("poison", "MaxDeliveryCountExceeded")
    assert (await line.receive()).message_id == "next"


async def test_a_dead_lettered_message_says_why_and_keeps_what_it_was(namespace: Namespace, line: Plain) -> None:
    await line.send(ServiceBusMessage("bad", message_id="m1", application_properties={"kept": 1}))
    await line.receiver.dead_letter_message(await line.receive(), reason="Unreadable", error_description="not YAML")
    dead = await one(line.dead_letters)
    assert (dead.dead_letter_reason, dead.dead_letter_error_description, dead.dead_letter_source) == ("Unreadable", "not YAML", line.name)
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


async def test_a_lock_that_expired_is_lost_and_the_message_comes_again(namespace: Namespace, line: Plain) -> None:
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
    receiver = namespace.client.get_queue_receiver("idle", receive_mode=ServiceBusReceiveMode.RECEIVE_AND_DELETE)
    await namespace.open(sender, receiver)
    await sender.send_messages([ServiceBusMessage("a"), ServiceBusMessage("b")])
    messages = await receiver.receive_messages(2, max_wait_time=5)
    assert [text(message) for message in messages] == ["a", "b"]
    assert await receiver.peek_messages(1, sequence_number=1) == []


# ------------------------------------------------------------------------------------- schedules, duplicates, peek, topics


async def test_scheduled_messages_arrive_when_the_clock_gets_there(namespace: Namespace, line: Plain) -> None:
    due = namespace.now() + timedelta(hours=1)
    numbers = await line.sender.schedule_messages([ServiceBusMessage("by request"), ServiceBusMessage("cancelled")], due)
    await line.send(ServiceBusMessage("by property", scheduled_enqueue_time_utc=due))
    await line.sender.cancel_scheduled_messages(numbers[1])
    assert await nothing(line.receiver)
    namespace.world.advance(3600)
    messages = await line.receiver.receive_messages(3, max_wait_time=5)
    assert {text(message) for message in messages} == {"by request", "by property"}
    assert all(about(message.enqueued_time_utc, due) for message in messages)
    assert min(map(number, messages)) > max(numbers), "an activated message gets a new number"
    assert namespace.count(f"schedule {line.name}") == 3
    with pytest.raises(MessageNotFoundError):
        await line.sender.cancel_scheduled_messages(numbers[0])


async def test_a_message_id_is_taken_once_within_the_window(namespace: Namespace, line: Plain) -> None:
    await line.send(ServiceBusMessage("first", message_id="same"), ServiceBusMessage("second", message_id="same"))
    await line.sender.schedule_messages(ServiceBusMessage("third", message_id="same"), namespace.now() + timedelta(seconds=30))
    namespace.world.advance(40)
    assert [text(message) for message in await line.receiver.peek_messages(5)] == ["first"]
    namespace.world.advance(WINDOW_SECONDS)
    await line.send(ServiceBusMessage("after the window", message_id="same"))
    assert [text(message) for message in await line.receiver.peek_messages(5, sequence_number=1)] == ["first", "after the window"]


async def test_peek_shows_every_message_page_by_page_without_locking_it(namespace: Namespace, line: Plain) -> None:
    await line.send(*(ServiceBusMessage(str(number)) for number in range(4)))
    await line.receiver.defer_message(await line.receive())
    await line.sender.schedule_messages(ServiceBusMessage("tomorrow"), namespace.now() + timedelta(days=1))
    assert [text(message) for message in await line.receiver.peek_messages(3, sequence_number=1)] == ["0", "1", "2"]
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
    async with opened(sender, sport, politics, dead_letters):
        for message_id, to in (("1", "all"), ("2", "sport"), ("3", "Politics"), ("1", "politics")):
            await sender.send_messages(ServiceBusMessage("", message_id=message_id, to=to))
        await sender.schedule_messages(ServiceBusMessage("", message_id="5", to="politics"), namespace.now() + timedelta(hours=1))
        namespace.world.advance(3600)
        assert [message.message_id for message in await sport.peek_messages(9)] == ["1", "2"]
        assert [message.message_id for message in await politics.peek_messages(9)] == ["1", "5"]
        await sport.dead_letter_message(await one(sport), reason="NoNews")
        dead = await one(dead_letters)
    assert (dead.dead_letter_reason, dead.dead_letter_source) == ("NoNews", "news/Subscriptions/sport")
    assert namespace.count("receive sport dead letters") == 1


# -------------------------------------------------------------------------------------------------------------- sessions


async def test_a_session_is_exclusive_ordered_and_has_a_state(namespace: Namespace, ordered: Ordered) -> None:
    await ordered.send_to("a", "a1")
    await ordered.send_to("b", "b1")
    await ordered.send_to("a", "a2")
    receiver = await namespace.session(ordered, "a")
    refused = asyncio.create_task(namespace.session(ordered, "a"))
    first, second = await receiver.receive_messages(2, max_wait_time=5)
    assert (text(first), text(second)) == ("a1", "a2")
    await receiver.abandon_message(second)
    await receiver.abandon_message(first)
    again = await receiver.receive_messages(2, max_wait_time=5)
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
    assert [text(await one(receiver)) for receiver in receivers] == [f"{receiver.session.session_id}1" for receiver in receivers]
    with pytest.raises(OperationTimeoutError):
        await third


async def test_who_waits_for_a_session_gets_the_next_that_comes(namespace: Namespace, ordered: Ordered) -> None:
    waiting = asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION))
    await namespace.session(ordered, "held without messages")
    assert not waiting.done()
    await ordered.send_to("late", "l1")
    assert text(await one(await waiting)) == "l1"


async def test_closing_a_session_gives_its_messages_back_without_counting(namespace: Namespace, ordered: Ordered) -> None:
    await ordered.send_to("a", "a1")
    receiver = await namespace.session(ordered, "a")
    next_one = asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION))
    await one(receiver)
    await receiver.close()
    assert (await one(await next_one)).delivery_count == 0


async def test_a_broken_connection_frees_its_session(namespace: Namespace, ordered: Ordered) -> None:
    await ordered.send_to("a", "a1")
    receiver = await namespace.session(ordered, "a")
    next_one = asyncio.create_task(namespace.session(ordered, NEXT_AVAILABLE_SESSION))
    message = await one(receiver)
    with namespace.fault(f"complete {ordered.name}", status=0), pytest.raises(ServiceBusError):
        await receiver.complete_message(message)
    assert text(await one(await next_one)) == "a1"


async def test_a_session_lock_that_expires_is_lost_and_the_deliveries_count(namespace: Namespace, ordered: Ordered) -> None:
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


async def test_a_message_without_session_is_dead_lettered_where_sessions_are_required(ordered: Ordered) -> None:
    await ordered.send_to(None, "homeless")
    dead = await one(ordered.dead_letters)
    assert (text(dead), dead.dead_letter_reason) == ("homeless", "Session ID is null")


async def test_deferred_messages_of_a_session_are_received_in_it(namespace: Namespace, ordered: Ordered) -> None:
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


# ------------------------------------------------------------------------------------------------------ refusals and faults


async def test_what_does_not_exist_or_fit_is_refused(namespace: Namespace, capfd: pytest.CaptureFixture[str]) -> None:
    client = namespace.client
    refusals = await asyncio.gather(
        client.get_queue_sender("nowhere").__aenter__(),
        client.get_subscription_receiver("news", "nowhere").__aenter__(),
        client.get_queue_receiver("ordered-0").__aenter__(),
        client.get_queue_receiver("idle", session_id="a").__aenter__(),
        anext(aiter(client.list_queue_sessions("ordered-0"))),
        return_exceptions=True,
    )
    assert [type(refusal) for refusal in refusals[:2]] == [MessagingEntityNotFoundError] * 2
    conditions = ["amqp:not-allowed", "amqp:not-allowed", "amqp:not-implemented"]
    assert all(condition in str(refusal) for condition, refusal in zip(conditions, refusals[2:], strict=True)), refusals
    assert "501 com.microsoft:get-message-sessions on ordered-0" in capfd.readouterr().err


async def test_a_peer_that_does_not_speak_amqp_is_shown_the_door(namespace: Namespace, capfd: pytest.CaptureFixture[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", namespace.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), timeout=5)
    writer.close()
    assert b"amqp:decode-error" in answer
    assert "neither AMQP 1.0 nor its SASL layer" in capfd.readouterr().err


async def test_an_injected_fault_is_a_busy_server_before_or_after_the_effect(namespace: Namespace, line: Plain) -> None:
    with namespace.fault(f"send {line.name}"), pytest.raises(ServiceBusServerBusyError):
        await line.send(ServiceBusMessage("before", message_id="before"))
    with namespace.fault(f"send {line.name}", when="after"), pytest.raises(ServiceBusServerBusyError):
        await line.send(ServiceBusMessage("after", message_id="after"))
    message = await line.receive()
    assert message.message_id == "after"
    with namespace.fault(f"complete {line.name}"), pytest.raises(ServiceBusServerBusyError):
        await line.receiver.complete_message(message)
    calls = [(call.kind.split()[0], call.target, call.status) for call in namespace.world.calls if call.kind.endswith(line.name)]
    assert calls == [("send", "before", 503), ("send", "after", 503), ("receive", "after", 200), ("complete", "after", 503)]


async def test_a_client_that_retries_survives_a_dropped_connection(namespace: Namespace, line: Plain) -> None:
    client = ServiceBusClient.from_connection_string(connection_string(namespace.port), retry_backoff_factor=0.01)
    sender = client.get_queue_sender(line.name)
    await namespace.open(sender)
    with namespace.fault(f"send {line.name}", status=0) as fault:
        await sender.send_messages(ServiceBusMessage("stubborn"))
    assert fault.count == 0
    assert text(await line.receive()) == "stubborn"


# --------------------------------------------------------------------------------------------- other clients, and restarts


class Credential:
    """A token for anybody."""

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == ("https://servicebus.azure.net//.default",)
        return AccessToken("any", int(datetime.now(UTC).timestamp()) + 3600)

    async def close(self) -> None: ...

    async def __aenter__(self) -> Credential:
        return self

    async def __aexit__(self, *_: object) -> None: ...


async def test_a_client_with_a_credential_instead_of_a_key_is_served(namespace: Namespace, line: Plain) -> None:
    client = ServiceBusClient(f"127.0.0.1:{namespace.port}", Credential(), use_tls=False)
    sender = client.get_queue_sender(line.name)
    await namespace.open(sender)
    await sender.send_messages(ServiceBusMessage("with a token"))
    assert text(await line.receive()) == "with a token"


async def test_the_blocking_client_is_served_too(namespace: Namespace) -> None:
    def exchange() -> str:
        client = BlockingClient.from_connection_string(connection_string(namespace.port))
        with client, client.get_queue_sender("idle-too") as sender, client.get_queue_receiver("idle-too") as receiver:
            sender.send_messages(ServiceBusMessage("blocking"))
            [message] = receiver.receive_messages(1, max_wait_time=5)
            receiver.complete_message(message)
            return text(message)

    assert await asyncio.to_thread(exchange) == "blocking"


@contextmanager
def process(folder: Path, entities: Path) -> Iterator[str]:
    """A stand-in in a process of its own, which is killed at the end. Yields the connection string."""
    command = [sys.executable, "-m", "standins.run", "--folder", str(folder), "--entities", str(entities), "--only", "service-bus"]
    command += ["--latency", "none"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        ready = json.loads(running.stdout.readline())
        try:
            yield connection_string(int(ready["addresses"]["service-bus"].rpartition(":")[2]))
        finally:
            running.kill()


async def leave_one_of_each(client: ServiceBusClient) -> int:
    """An active, a locked, a scheduled, a deferred and a dead-lettered message, and a session with a state; the deferred one's number."""
    sender, receiver = client.get_queue_sender("q"), client.get_queue_receiver("q")
    session_sender, session = client.get_queue_sender("s"), client.get_queue_receiver("s", session_id="a")
    async with opened(sender, receiver, session_sender, session):
        for name in ("deferred", "dead", "locked", "active"):
            await sender.send_messages(ServiceBusMessage(name, message_id=name))
        await sender.schedule_messages(ServiceBusMessage("scheduled"), datetime.now(UTC) + timedelta(hours=1))
        deferred, dead, _ = await receiver.receive_messages(3, max_wait_time=5)
        await receiver.defer_message(deferred)
        await receiver.dead_letter_message(dead, reason="Bad")
        await session_sender.send_messages(ServiceBusMessage("in session", session_id="a"))
        await one(session)
        await session.session.set_state(b"state")
    return number(deferred)


async def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    entities = tmp_path / "entities.json"
    entities.write_text(json.dumps({"queues": {"q": QUEUE | {"duplicate_detection_window": "PT10M"}, "s": WITH_SESSIONS}}))
    with process(tmp_path, entities) as address:
        async with ServiceBusClient.from_connection_string(address) as client:
            deferred = await leave_one_of_each(client)
    with process(tmp_path, entities) as address:
        async with ServiceBusClient.from_connection_string(address) as client:
            sender, receiver = client.get_queue_sender("q"), client.get_queue_receiver("q")
            dead_letters, session = client.get_queue_receiver("q", sub_queue="deadletter"), client.get_queue_receiver("s", session_id="a")
            async with opened(sender, receiver, dead_letters, session):
                await sender.send_messages([ServiceBusMessage("again", message_id="active"), ServiceBusMessage("new")])
                received = await receiver.receive_messages(9, max_wait_time=5)
                assert [text(message) for message in received] == ["locked", "active", "new"]
                numbers = [number(message) - deferred for message in received]
                assert numbers[:2] == [2, 3]
                assert numbers[2] > 4, "a number is not given twice"
                assert [text(message) for message in await receiver.receive_deferred_messages(deferred)] == ["deferred"]
                assert "scheduled" in {text(message) for message in await receiver.peek_messages(9, sequence_number=1)}
                assert (await one(dead_letters)).dead_letter_reason == "Bad"
                assert text(await one(session)) == "in session"
                assert await session.session.get_state() == b"state"
