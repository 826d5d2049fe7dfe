"""The queue of dead letters over Service Bus, on links that stay open.

Service Bus can receive a message by its number only when it is deferred. So before a letter is locked, all
letters up to it are deferred, once: peeking still shows them, and each can then be received by its number.
"""

from __future__ import annotations

import asyncio
from datetime import UTC
from typing import TYPE_CHECKING, Any

from shared.adapters.service_bus import SYSTEM
from shared.adapters.translate import translated
from shared.errors import Busy
from shared.messaging.retry_state import IncomingMessage
from shared.messaging.routes import DEAD_LETTERS
from shared.ports import QueuedDeadLetter

if TYPE_CHECKING:
    from azure.servicebus import ServiceBusReceivedMessage
    from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver

PAGE_SIZE = 250
#: Messages that are locked at a time while they are being deferred.
BATCH_SIZE = 100
#: Seconds to wait for the next message; none comes when other receivers hold them.
TIMEOUT = 2


class ServiceBusDeadLetters:
    """Serves one caller at a time, because the SDK's receivers are not safe for concurrent use. The caller
    closes the client.
    """

    def __init__(self, client: ServiceBusClient) -> None:
        self._client = client
        self._turn = asyncio.Lock()
        self._looking: ServiceBusReceiver | None = None
        self._taking: ServiceBusReceiver | None = None
        self._held: dict[int, ServiceBusReceivedMessage] = {}
        self._deferred_up_to = 0

    async def peek(self, first: int) -> list[QueuedDeadLetter]:
        async with self._turn:
            with translated(SYSTEM):
                return [_kept(message) for message in await self._peek(first, PAGE_SIZE)]

    async def lock(self, sequence: int) -> QueuedDeadLetter | None:
        async with self._turn:
            with translated(SYSTEM):
                if (found := await self._find(sequence)) is None:
                    return None
                if _is_active(found):
                    await self._defer(sequence)
                message = await self._receive(sequence)
                if message is not None:
                    self._held[sequence] = message
                    return _kept(message)
                if await self._find(sequence) is not None:
                    raise Busy(
                        "another receiver holds this dead letter; it comes back within minutes",
                        reason="LetterIsHeld",
                    )
                return None

    async def complete(self, sequence: int) -> None:
        from azure.servicebus.exceptions import MessageLockLostError

        message = self._held.pop(sequence)
        async with self._turn:
            with translated(SYSTEM):
                try:
                    await (await self._looker()).complete_message(message)
                except MessageLockLostError:
                    raise Busy(
                        "the dead letter was held for too long and stays where it was", reason="LetterIsHeld"
                    ) from None

    async def release(self, sequence: int) -> None:
        message = self._held.pop(sequence)
        async with self._turn:
            with translated(SYSTEM):
                await (await self._looker()).abandon_message(message)

    async def close(self) -> None:
        for receiver in (self._looking, self._taking):
            if receiver is not None:
                await receiver.close()

    async def _peek(self, first: int, most: int) -> list[ServiceBusReceivedMessage]:
        found = await (await self._looker()).peek_messages(
            max_message_count=most, sequence_number=max(first, 1)
        )
        return list(found)

    async def _find(self, sequence: int) -> ServiceBusReceivedMessage | None:
        return next(
            (message for message in await self._peek(sequence, 1) if message.sequence_number == sequence),
            None,
        )

    async def _receive(self, sequence: int) -> ServiceBusReceivedMessage | None:
        """None when it is gone or locked by another receiver. The SDK retries before it reports this, which
        takes more than a second.
        """
        from azure.servicebus.exceptions import MessageNotFoundError

        try:
            [message] = await (await self._looker()).receive_deferred_messages([sequence])
        except MessageNotFoundError:
            return None
        return message

    async def _defer(self, sequence: int) -> None:
        """Defer all messages up to the number. No more are requested than exist: a message that arrives for
        an abandoned request would stay locked on the link.
        """
        left = await self._count_active(sequence)
        while left > 0:
            receiver = await self._taker()
            batch = await receiver.receive_messages(
                max_message_count=min(left, BATCH_SIZE), max_wait_time=TIMEOUT
            )
            for message in batch:
                await receiver.defer_message(message)
            left -= len(batch)
            if not batch:
                # Other receivers hold some. The link is closed, so that the requested messages do not arrive
                # later.
                self._taking = None
                await receiver.close()
                return
        self._deferred_up_to = max(self._deferred_up_to, sequence)

    async def _count_active(self, sequence: int) -> int:
        count, first = 0, self._deferred_up_to + 1
        while first <= sequence and (page := await self._peek(first, min(PAGE_SIZE, sequence - first + 1))):
            count += sum(1 for message in page if _number(message) <= sequence and _is_active(message))
            first = _number(page[-1]) + 1
        return count

    async def _looker(self) -> ServiceBusReceiver:
        """The receiver for operations by number. It never requests messages, so none is delivered to it."""
        if self._looking is None:
            self._looking = await self._client.get_queue_receiver(DEAD_LETTERS).__aenter__()
        return self._looking

    async def _taker(self) -> ServiceBusReceiver:
        if self._taking is None:
            self._taking = await self._client.get_queue_receiver(DEAD_LETTERS).__aenter__()
        return self._taking


def _is_active(message: ServiceBusReceivedMessage) -> bool:
    return message.state.name == "ACTIVE"


def _number(message: ServiceBusReceivedMessage) -> int:
    return message.sequence_number or 0


def _kept(message: ServiceBusReceivedMessage) -> QueuedDeadLetter:
    enqueued = message.enqueued_time_utc
    assert enqueued is not None
    properties = {_text(name): _text(value) for name, value in (message.application_properties or {}).items()}
    moment = enqueued if enqueued.tzinfo else enqueued.replace(tzinfo=UTC)
    message_id, session = (
        None if name is None else str(_text(name)) for name in (message.message_id, message.session_id)
    )
    return QueuedDeadLetter(
        _number(message), IncomingMessage(_body(message), message_id or "", session, moment, properties)
    )


def _body(message: ServiceBusReceivedMessage) -> bytes:
    """A foreign message may hold an AMQP value or sequence in place of bytes: then its text form."""
    if message.body_type.name == "DATA":
        return b"".join(message.body or ())
    value = list(message.body) if message.body_type.name == "SEQUENCE" else message.body
    return str(value).encode(errors="backslashreplace")


def _text(value: Any) -> Any:
    """Decode the texts that the SDK returns as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
