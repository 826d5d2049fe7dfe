"""Service Bus: queueing messages. One client and one open link per entity for the life of the process:
opening one costs half a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shared import telemetry
from shared.adapters.translate import translated
from shared.messaging.retry_state import MAX_MESSAGE_BYTES
from shared.messaging.routes import TOPIC
from shared.ports import OutgoingMessage

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential
    from azure.servicebus import ServiceBusMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusSender

SYSTEM = "Service Bus"
#: What a trace takes in a message, generously.
_TRACE_BYTES = 100


class ServiceBus:
    """Sends to queues and to the topic. `connection` is a connection string, `namespace` a host name for the
    credential.
    """

    def __init__(
        self, connection: str | None, namespace: str | None, credential: AsyncTokenCredential | None
    ) -> None:
        self._client = create_client(connection, namespace, credential)
        self._senders: dict[str, ServiceBusSender] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def send(self, envelopes: Sequence[OutgoingMessage]) -> None:
        """Queue all, in batches as large as the service takes; a message that is due later carries its time
        itself.
        """
        groups: dict[str, list[ServiceBusMessage]] = {}
        for envelope in envelopes:
            groups.setdefault(envelope.entity, []).append(_message(envelope))
        with translated(SYSTEM):
            await asyncio.gather(
                *(self._send_in_turn(entity, messages) for entity, messages in groups.items())
            )

    async def _send_in_turn(self, entity: str, messages: Sequence[ServiceBusMessage]) -> None:
        """A sender is not made for two sends at once."""
        async with self._locks.setdefault(entity, asyncio.Lock()):
            await self._send(entity, messages)

    async def _send(self, entity: str, messages: Sequence[ServiceBusMessage]) -> None:
        sender = await self._sender(entity)
        if len(messages) == 1:
            await sender.send_messages(messages[0])
            return
        from azure.servicebus.exceptions import MessageSizeExceededError

        batch = await sender.create_message_batch()
        for message in messages:
            try:
                batch.add_message(message)
            except MessageSizeExceededError:
                await sender.send_messages(batch)
                batch = await sender.create_message_batch()
                batch.add_message(message)
        await sender.send_messages(batch)

    async def _sender(self, entity: str) -> ServiceBusSender:
        if entity not in self._senders:
            make = self._client.get_topic_sender if entity == TOPIC else self._client.get_queue_sender
            self._senders[entity] = await make(entity).__aenter__()
        return self._senders[entity]

    async def close(self) -> None:
        for sender in self._senders.values():
            await sender.close()
        await self._client.close()


def create_client(
    connection: str | None, namespace: str | None, credential: AsyncTokenCredential | None
) -> ServiceBusClient:
    """A client of the SDK, for the life of the process."""
    import ssl

    from azure.servicebus.aio import ServiceBusClient

    # Given once: the SDK would load all certificates anew for every link.
    # Two quick retries, for a link that broke: a webhook call has ten seconds in all, for two sends at worst.
    retries = {"retry_total": 2, "retry_backoff_factor": 0.2}
    options: dict[str, Any] = {**retries, "ssl_context": ssl.create_default_context()}
    if connection is not None:
        return ServiceBusClient.from_connection_string(connection, **options)
    assert namespace is not None
    assert credential is not None
    return ServiceBusClient(namespace, credential, **options)


def _message(envelope: OutgoingMessage) -> ServiceBusMessage:
    from azure.servicebus import ServiceBusMessage

    return ServiceBusMessage(
        envelope.body,
        message_id=envelope.message_id,
        session_id=envelope.session,
        to=envelope.to,
        content_type=envelope.content_type,
        application_properties=_properties(envelope),
        scheduled_enqueue_time_utc=envelope.due,
    )


def _properties(envelope: OutgoingMessage) -> dict[str | bytes, Any]:
    """Those of the message, and the trace that it belongs to, where there is room for it."""
    properties: dict[str | bytes, Any] = {str(name): value for name, value in envelope.properties.items()}
    if telemetry.trace() and envelope.size + _TRACE_BYTES <= MAX_MESSAGE_BYTES:
        properties[telemetry.TRACE_PROPERTY] = telemetry.trace()
    return properties
