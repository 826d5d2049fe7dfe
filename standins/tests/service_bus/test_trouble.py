"""What the Service Bus stand-in refuses, and how it fails when it is told to, driven by azure-servicebus over
a socket.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from azure.servicebus.exceptions import (
    OperationTimeoutError,
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
    ServiceBusServerBusyError,
)

from standins.tests.service_bus.room import (
    QUEUE,
    Namespace,
    Plain,
    connection_string,
    eventually,
    room,
    text,
)

namespace, line, ordered = room(
    plain=8,
    ordered=1,
    queues={"idle": QUEUE, "idle-too": QUEUE},
    topics={"news": {"subscriptions": {"sport": QUEUE}}},
)


async def test_what_does_not_exist_is_said_when_the_token_is_put(namespace: Namespace) -> None:
    """As the service does: `status-code: 404` from `$cbs`, which the SDK takes for a failed
    authentication.
    """
    client = namespace.client
    refusals = await asyncio.gather(
        client.get_queue_sender("nowhere").__aenter__(),
        client.get_subscription_receiver("news", "nowhere").__aenter__(),
        return_exceptions=True,
    )
    assert [type(refusal) for refusal in refusals] == [ServiceBusAuthenticationError] * 2
    answers = [call.status for call in namespace.world.calls if call.kind == "put-token"]
    assert answers[-2:] == [404, 404]


async def test_a_receiver_of_the_wrong_kind_is_refused(
    namespace: Namespace, capfd: pytest.CaptureFixture[str]
) -> None:
    client = namespace.client
    since = datetime(2026, 1, 1, tzinfo=UTC)
    refusals = await asyncio.gather(
        client.get_queue_receiver("ordered-0").__aenter__(),
        client.get_queue_receiver("idle", session_id="a").__aenter__(),
        anext(aiter(client.list_queue_sessions("ordered-0", state_updated_after=since))),
        return_exceptions=True,
    )
    conditions = ["amqp:not-allowed", "amqp:not-allowed", "amqp:not-implemented"]
    assert all(condition in str(refusal) for condition, refusal in zip(conditions, refusals, strict=True)), (
        refusals
    )
    assert "501 get-message-sessions on ordered-0" in capfd.readouterr().err


async def test_a_peer_that_does_not_speak_amqp_is_shown_the_door(
    namespace: Namespace, capfd: pytest.CaptureFixture[str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", namespace.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), timeout=300)
    writer.close()
    assert b"amqp:decode-error" in answer
    assert "neither AMQP 1.0 nor its SASL layer" in capfd.readouterr().err


async def test_an_injected_fault_is_a_busy_server_before_or_after_the_effect(
    namespace: Namespace, line: Plain
) -> None:
    with namespace.fault(f"send {line.name}"), pytest.raises(ServiceBusServerBusyError):
        await line.send(ServiceBusMessage("before", message_id="before"))
    with namespace.fault(f"send {line.name}", when="after"), pytest.raises(ServiceBusServerBusyError):
        await line.send(ServiceBusMessage("after", message_id="after"))
    message = await line.receive()
    assert message.message_id == "after"
    with namespace.fault(f"complete {line.name}"), pytest.raises(ServiceBusServerBusyError):
        await line.receiver.complete_message(message)
    calls = [
        (call.kind.split()[0], call.target, call.status)
        for call in namespace.world.calls
        if call.kind.endswith(line.name)
    ]
    assert calls == [
        ("send", "before", 503),
        ("send", "after", 503),
        ("receive", "after", 200),
        ("complete", "after", 503),
    ]


async def test_a_client_that_retries_survives_a_dropped_connection(namespace: Namespace, line: Plain) -> None:
    client = ServiceBusClient.from_connection_string(
        connection_string(namespace.port), retry_backoff_factor=0.01
    )
    sender = client.get_queue_sender(line.name)
    await namespace.open(sender)
    with namespace.fault(f"send {line.name}", status=0) as fault:
        await sender.send_messages(ServiceBusMessage("stubborn"))
    assert fault.count == 0
    assert text(await line.receive()) == "stubborn"


async def test_a_batch_that_meets_a_fault_is_not_taken_in_parts(namespace: Namespace, line: Plain) -> None:
    await line.send(ServiceBusMessage("before"))
    with (
        namespace.fault(f"send {line.name}", count=1, probability=1.0) as fault,
        pytest.raises(ServiceBusServerBusyError),
    ):
        await line.sender.send_messages([ServiceBusMessage("1"), ServiceBusMessage("2")])
    assert fault.count == 0
    assert [text(message) for message in await line.receiver.peek_messages(9)] == ["before"]


@pytest.fixture(scope="module")
def shared_line(namespace: Namespace) -> Plain:
    return next(namespace.plain)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, ServiceBusAuthorizationError), (408, OperationTimeoutError), (500, ServiceBusError)],
)
async def test_a_fault_of_a_status_is_what_the_sdk_makes_of_it(
    namespace: Namespace, shared_line: Plain, status: int, expected: type[ServiceBusError]
) -> None:
    with namespace.fault(f"send {shared_line.name}", status=status), pytest.raises(expected):
        await shared_line.send(ServiceBusMessage("refused"))


async def test_a_slow_link_keeps_its_order_and_holds_up_no_other(namespace: Namespace, line: Plain) -> None:
    other = namespace.client.get_queue_sender("idle")
    await namespace.open(other)
    with namespace.fault(f"send {line.name}", seconds=1.0, status=None) as fault:
        slow = asyncio.create_task(line.send(ServiceBusMessage("first"), ServiceBusMessage("second")))
        await eventually(lambda: not fault.count)
        await other.send_messages(ServiceBusMessage("meanwhile"))
        assert not slow.done()
        assert await line.receiver.peek_messages(1) == [], "it has not happened yet"
        await slow
    assert [text(message) for message in await line.receiver.peek_messages(9)] == ["first", "second"]
    seconds = [call.seconds for call in namespace.world.calls if call.kind == f"send {line.name}"]
    assert seconds[0] > 0.95
    assert seconds[1] < 0.5


async def test_an_answer_can_be_late_and_then_the_connection_gone(namespace: Namespace, line: Plain) -> None:
    with (
        namespace.fault(f"send {line.name}", seconds=0.3, status=0, when="after"),
        pytest.raises(ServiceBusError),
    ):
        await line.send(ServiceBusMessage("arrived all the same"))
    assert text(await line.receive()) == "arrived all the same"


async def test_the_latency_of_azure_makes_each_send_slower(namespace: Namespace, line: Plain) -> None:
    namespace.world.trouble.use_profile("azure")
    try:
        await line.send(*(ServiceBusMessage(str(number)) for number in range(5)))
        await line.receiver.complete_message(await line.receive())
    finally:
        namespace.world.trouble.use_profile("none")
    seconds = {
        call.kind.split()[0]: call.seconds for call in namespace.world.calls if call.kind.endswith(line.name)
    }
    assert seconds["send"] > 0.002
    assert seconds["complete"] > 0.002


async def test_a_sender_that_was_idle_for_ten_minutes_has_lost_its_link(namespace: Namespace) -> None:
    client = ServiceBusClient.from_connection_string(
        connection_string(namespace.port), retry_total=1, retry_backoff_factor=0.01
    )
    used, idle = (namespace.client.get_queue_sender("idle-too") for _ in range(2))
    patient = client.get_queue_sender("idle-too")
    with namespace.changed(idle_senders_closed_after=600):
        await namespace.open(used, idle, patient)
    namespace.world.advance(590)
    await used.send_messages(ServiceBusMessage("in time"))
    namespace.world.advance(590)
    await used.send_messages(ServiceBusMessage("in time again"))
    with pytest.raises(ServiceBusError):
        await idle.send_messages(ServiceBusMessage("too late"))
    await patient.send_messages(ServiceBusMessage("a retry opens another link"))
    assert namespace.count("send idle-too") == 3
