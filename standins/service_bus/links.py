"""The links of a channel: where messages come in, and where they go out."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, Protocol

from standins.clock import Timer
from standins.service_bus.codec import CodecError, Described, Symbol, UByte, UInt, ULong, described
from standins.service_bus.entries import Entry
from standins.service_bus.errors import (
    BusError,
    LinkForced,
    MalformedMessage,
    MessageSizeExceeded,
    SessionLockLost,
    TimedOut,
)
from standins.service_bus.frames import Attach, Detach, Disposition, Flow, Performative, Transfer
from standins.service_bus.operations import Operations
from standins.service_bus.queues import Queue
from standins.service_bus.sessions import SessionQueue
from standins.service_bus.settlement import ACCEPTED, Delivery, error_of, refusal
from standins.service_bus.turns import InTurn, Steps

#: The largest message in bytes by tier, without the large messages that an entity of the Premium tier may be
#: made for. https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
MAX_MESSAGE_SIZES = {"standard": 262_144, "premium": 1_048_576}
#: How many messages a sender may send before it needs new credit.
CREDIT = 1000
SESSION_FILTER = Symbol("com.microsoft:session-filter")
LOCKED_UNTIL = Symbol("com.microsoft:locked-until-utc")
TIMEOUT = Symbol("com.microsoft:timeout")
_SOURCE, _TARGET = 0x28, 0x29
_SETTLED = 1
_TICKS_AT_EPOCH = 621355968000000000  # .NET counts tenths of a microsecond since the year 1
_PATIENCE = 65.0  # seconds a receiver waits for a session when it does not say how long
_FRAME_OVERHEAD = 128  # more than the header and fields of any transfer


class Channel(Protocol):
    """What links need of their AMQP session."""

    operations: Operations
    frame_size: int
    unsettled: dict[int, tuple[Link, Delivery]]

    def send(self, performative: Performative, payload: bytes = b"") -> None: ...

    def flow(self, **link: Any) -> Flow:
        """A flow performative with the windows of the session filled in."""

    def has_room(self) -> bool:
        """Whether the client takes one more frame of a transfer."""

    def drop(self) -> None:
        """End the connection without a word."""

    def next_delivery_id(self) -> int: ...

    def forget(self, link: Link) -> None: ...


class Link:
    """One end of a link. The handle of the client serves as the handle of this side too."""

    def __init__(self, channel: Channel, attach: Attach) -> None:
        self.channel = channel
        self.request = attach
        self.handle = UInt(attach.handle)
        self.turns = InTurn(channel.drop)
        self.max_message_size: int = MAX_MESSAGE_SIZES[channel.operations.options["tier"]]
        #: What the client must be allowed as long as the link is open; None where any token will do.
        self.needs: tuple[Collection[str], str] | None = None

    def attached(self, properties: dict[Symbol, Any] | None = None, session: str | None = None) -> None:
        """Confirm the link. `session` is the one granted, which the source of the answer carries."""
        self._answer(properties, _source(self.request, session), _target(self.request))

    def refuse(self, error: BusError) -> None:
        """Refuse the link: an attach without a terminus, then a detach that says why."""
        receives = self.request.role
        self._answer(
            None, None if receives else _source(self.request), _target(self.request) if receives else None
        )
        self.detach(error)

    def detach(self, error: BusError) -> None:
        self.channel.send(Detach(self.handle, True, error_of(error)))
        self.channel.forget(self)

    def on_flow(self, flow: Flow) -> None:
        """The client gave credit."""

    def closed(self, *, broken: bool = False) -> None:  # noqa: ARG002  # how it went matters to a receiver
        """The link is gone, at the wish of the client, or because the connection is `broken`."""
        self.turns.stop()

    def _answer(
        self, properties: dict[Symbol, Any] | None, source: Described | None, target: Described | None
    ) -> None:
        request = self.request
        self.channel.send(
            Attach(
                request.name,
                self.handle,
                not request.role,
                UByte(request.snd_settle_mode or 0),
                UByte(request.rcv_settle_mode or 0),
                source,
                target,
                initial_delivery_count=UInt(0) if request.role else None,
                max_message_size=ULong(self.max_message_size),
                properties=properties,
            )
        )


class InboundLink(Link):
    """Messages come in. `handler` takes the encoded message and its format, and may raise BusError to reject
    it.
    """

    def __init__(
        self, channel: Channel, attach: Attach, handler: Callable[[bytes, int], Steps[None]]
    ) -> None:
        super().__init__(channel, attach)
        self._handler = handler
        self._first: Transfer | None = None
        self._content = bytearray()
        self._size = 0
        self._count = 0
        self._handled = 0
        self._used = 0.0
        self._idleness: Timer | None = None

    def close_when_idle(self, seconds: float) -> None:
        """The service closes the link of a sender that sends nothing for ten minutes; by the movable clock.

        https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-troubleshoot#link-is-closed
        """
        clock = self.channel.operations.world.clock

        def check() -> None:
            if self._used + seconds > clock.now():
                self._idleness = clock.call_at(self._used + seconds, check)
                return
            self.closed()
            detail = (
                "Detach origin: AmqpMessagePublisher.IdleTimerExpired: Idle timeout: "
                f"{timedelta(seconds=seconds)}."
            )
            self.detach(
                LinkForced(f"The link '{self.request.name}' is force detached by the broker. {detail}")
            )

        self._used = clock.now()
        self._idleness = clock.call_at(self._used + seconds, check)

    def closed(self, *, broken: bool = False) -> None:
        super().closed(broken=broken)
        if self._idleness is not None:
            self._idleness.cancel()

    def grant(self) -> None:
        self.channel.send(
            self.channel.flow(handle=self.handle, delivery_count=UInt(self._count), link_credit=UInt(CREDIT))
        )

    def on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        first = self._first = self._first or transfer
        self._used = self.channel.operations.world.clock.now()
        self._size += len(payload)
        if self._size <= self.max_message_size:
            self._content += payload
        if transfer.aborted or not transfer.more:
            content, size = bytes(self._content), self._size
            self._first, self._content, self._size = None, bytearray(), 0
            self._count += 1
            if not transfer.aborted:
                self.turns.start(self._receive(first, content, size))

    def _receive(self, first: Transfer, content: bytes, size: int) -> Steps[None]:
        outcome = described(ACCEPTED)
        try:
            if size > self.max_message_size:
                limit = f"exceeds the limit ({self.max_message_size} bytes) currently allowed on the link"
                raise MessageSizeExceeded(
                    f"The received message (delivery-id:{first.delivery_id}, size:{size} bytes) {limit}."
                )
            yield from self._handler(content, first.message_format or 0)
        except BusError as error:
            outcome = refusal(error)
        except CodecError as error:
            outcome = refusal(MalformedMessage(str(error)))
        if not first.settled:
            delivery = UInt(first.delivery_id)
            self.channel.send(Disposition(True, delivery, delivery, True, outcome))
        self._handled += 1
        if self._handled % (CREDIT // 2) == 0:
            self.grant()


class OutboundLink(Link):
    """Messages go out, as long as the client gives credit."""

    def __init__(self, channel: Channel, attach: Attach) -> None:
        super().__init__(channel, attach)
        self.credit = 0
        self._count = 0

    def transmit(self, content: bytes, tag: bytes, *, settled: bool) -> int:
        """Send a message in as many frames as it needs and return the delivery id."""
        delivery = self.channel.next_delivery_id()
        self.credit -= 1
        self._count += 1
        room = self.channel.frame_size - _FRAME_OVERHEAD
        parts = (
            [content]
            if len(content) <= room
            else [content[start : start + room] for start in range(0, len(content), room)]
        )
        for number, part in enumerate(parts, start=1):
            more = number < len(parts)
            self.channel.send(Transfer(self.handle, UInt(delivery), tag, UInt(0), settled, more), part)
        return delivery

    def on_flow(self, flow: Flow) -> None:
        self.credit = (flow.delivery_count or 0) + (flow.link_credit or 0) - self._count
        self.credited()
        if flow.drain:
            self._count += max(self.credit, 0)
            self.credit = 0
        if flow.drain or flow.echo:
            state = {
                "delivery_count": UInt(self._count),
                "link_credit": UInt(self.credit),
                "drain": flow.drain,
            }
            self.channel.send(self.channel.flow(handle=self.handle, **state))

    def credited(self) -> None:
        """There may be credit, or room in the window of the session, for something to send."""


class ReceiverLink(OutboundLink):
    """A receiver of a queue: the `Consumer` of the broker."""

    def __init__(self, channel: Channel, attach: Attach, queue: Queue) -> None:
        super().__init__(channel, attach)
        self.queue = queue
        self.destructive = attach.snd_settle_mode == _SETTLED
        self.session: str | None = None
        self._patience: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        return self.credit > 0 and self.channel.has_room()

    def open(self) -> None:
        """Start to receive; with sessions, as soon as the session asked for is granted. Raises
        SessionCannotBeLocked.
        """
        if isinstance(self.queue, SessionQueue):
            wanted = session_filter(self.request)[SESSION_FILTER]
            # Real time, not that of the movable clock: how long a client waits is its own affair.
            wait = (self.request.properties or {}).get(TIMEOUT)
            self._patience = asyncio.get_running_loop().call_later(
                _PATIENCE if wait is None else wait / 1000, self._give_up
            )
            self.queue.request(self, wanted)
        else:
            self.attached()
            self.queue.add(self)

    def credited(self) -> None:
        self.queue.credited(self)

    def deliver(self, entry: Entry) -> None:
        self.channel.operations.note(f"receive {self.queue.name}", entry.message.id)
        token = uuid.uuid4() if entry.lock is None else entry.lock.token
        delivery = self.transmit(entry.encode(), token.bytes_le, settled=self.destructive)
        if not self.destructive:
            self.channel.unsettled[delivery] = (self, Delivery(self.queue, token))

    def session_granted(self, session: str, until: float) -> None:
        self._stop_waiting()
        self.session = session
        self.channel.operations.note(f"accept {self.queue.name}", session)
        self.attached({LOCKED_UNTIL: int(until * 10_000_000) + _TICKS_AT_EPOCH}, session)

    def session_lost(self) -> None:
        self.turns.stop()
        self.detach(SessionLockLost())

    def closed(self, *, broken: bool = False) -> None:
        super().closed()
        self._stop_waiting()
        self.credit = 0
        self.queue.remove(self, broken=broken)

    def _give_up(self) -> None:
        self.closed()
        self.refuse(TimedOut())

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()


def session_filter(attach: Attach) -> dict[Any, Any]:
    """The filters of the source; a receiver that wants a session has SESSION_FILTER among them."""
    fields = attach.source.value if attach.source else []
    return (fields[7] if len(fields) > 7 else None) or {}


def address(attach: Attach) -> str:
    """The path of the entity a link is for, without scheme and host."""
    terminus = attach.source if attach.role else attach.target
    text = str(terminus.value[0] or "") if terminus and terminus.value else ""
    return text.split("/", 3)[-1] if "://" in text else text.strip("/")


def _source(attach: Attach, session: str | None = None) -> Described:
    fields: list[Any] = list(attach.source.value) if attach.source else []
    fields += [None] * (8 - len(fields))
    if session is not None:
        fields[7] = {SESSION_FILTER: session}
    return described(_SOURCE, *fields)


def _target(attach: Attach) -> Described:
    return described(_TARGET, *(attach.target.value if attach.target else []))
