"""One TCP connection: layers, AMQP sessions (channels), and the links on them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from standins.service_bus import management
from standins.service_bus.access import LISTEN, MANAGEMENT_SUFFIX, SEND, Access
from standins.service_bus.codec import CodecError, Described, Symbol, UByte, UInt, UShort
from standins.service_bus.entity import Entity
from standins.service_bus.errors import BusError, MalformedMessage, NotAllowed, NotImplementedHere
from standins.service_bus.frames import (
    AMQP_HEADER,
    MAX_FRAME_SIZE,
    SASL_HEADER,
    Attach,
    Begin,
    Close,
    Detach,
    Disposition,
    End,
    Flow,
    Frame,
    FrameReader,
    Open,
    Performative,
    SaslInit,
    SaslMechanisms,
    SaslOutcome,
    Transfer,
    encode_frame,
)
from standins.service_bus.links import (
    SESSION_FILTER,
    InboundLink,
    Link,
    OutboundLink,
    ReceiverLink,
    address,
    session_filter,
)
from standins.service_bus.message import Message
from standins.service_bus.operations import SERVER, Operations
from standins.service_bus.sessions import SessionQueue
from standins.service_bus.settlement import Delivery, error_of, of_outcome, refusal
from standins.service_bus.turns import Steps

#: How many frames of transfers a client may send before it is told of new room.
WINDOW = 5000
_CBS = "$cbs"
#: The target of a link that controls transactions.
_COORDINATOR = 0x30


class Connection(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self, operations: Operations) -> None:
        self.access = Access(operations.world, operations.broker)
        self._operations = operations
        self._reader = FrameReader()
        self._channels: dict[int, AmqpSession] = {}
        self._transport: asyncio.Transport | None = None
        self._storage = operations.broker.environment.storage
        self._output: list[bytes] = []
        self._flush_follows = False
        self._expiries: list[asyncio.TimerHandle] = []
        self.frame_size = MAX_FRAME_SIZE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    # why it was lost makes no difference
    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        for timer in self._expiries:
            timer.cancel()
        for number in list(self._channels):
            self._channels.pop(number).close(broken=True)

    def data_received(self, data: bytes) -> None:
        self._storage.flush_follows = self._flush_follows = True
        try:
            for item in self._reader.feed(data):
                if self._is_open():
                    self._receive(item)
        except CodecError as error:
            self._operations.world.loud(SERVER, f"connection closed: {error}")
            self.send(0, Close(error_of(MalformedMessage(str(error)))))
            self._close()
        finally:
            self._storage.flush_follows = self._flush_follows = False
            self.flush()

    def send(self, channel: int, performative: Performative, payload: bytes = b"") -> None:
        self.write(encode_frame(channel, performative, payload))

    def write(self, data: bytes) -> None:
        if not self._output and not self._flush_follows:
            asyncio.get_running_loop().call_soon(self.flush)
        self._output.append(data)

    def flush(self) -> None:
        """Let go what was said in this turn of the event loop, after what it says has happened is in the
        file.
        """
        self._storage.flush()
        output, self._output = b"".join(self._output), []
        if output and self._transport is not None and self._is_open():
            self._transport.write(output)

    def drop(self) -> None:
        """End without a word."""
        if self._transport is not None:
            self._transport.abort()

    def expect_expiry(self, until: float) -> None:
        """When a token expires, and no newer one is there, its links are closed; `until` is real time."""
        delay = max(0.0, until - time.time())
        self._expiries.append(asyncio.get_running_loop().call_later(delay, self._close_forbidden_links))

    def _close_forbidden_links(self) -> None:
        for session in self._channels.values():
            session.close_forbidden_links()

    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _close(self) -> None:
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def _receive(self, item: bytes | Frame) -> None:
        if isinstance(item, bytes):
            self._on_header(item)
        elif type(item.performative) in _CONNECTION_HANDLERS:
            _CONNECTION_HANDLERS[type(item.performative)](self, item)
        elif item.channel in self._channels:
            self._channels[item.channel].receive(item.performative, item.payload)

    def _on_header(self, header: bytes) -> None:
        if header not in (AMQP_HEADER, SASL_HEADER):
            raise CodecError("neither AMQP 1.0 nor its SASL layer")
        self.write(header)
        if header == SASL_HEADER:
            self.send(0, SaslMechanisms(Symbol("ANONYMOUS")))

    def _on_sasl_init(self, _: Frame) -> None:
        self.send(0, SaslOutcome(UByte(0)))
        self._reader.expect_header()

    def _on_open(self, frame: Frame) -> None:
        self.frame_size = min(MAX_FRAME_SIZE, frame.performative.max_frame_size or MAX_FRAME_SIZE)
        self.send(
            0, Open("service-bus-stand-in", max_frame_size=UInt(MAX_FRAME_SIZE), channel_max=UShort(255))
        )

    def _on_begin(self, frame: Frame) -> None:
        self._channels[frame.channel] = AmqpSession(self, self._operations, frame.channel, frame.performative)
        window = UInt(WINDOW)
        self.send(frame.channel, Begin(UShort(frame.channel), UInt(0), window, window, UInt(255)))

    def _on_end(self, frame: Frame) -> None:
        if (session := self._channels.pop(frame.channel, None)) is not None:
            session.close()
            self.send(frame.channel, End())

    def _on_close(self, _: Frame) -> None:
        self.send(0, Close())
        self._close()


_CONNECTION_HANDLERS: dict[type, Callable[[Connection, Frame], None]] = {
    SaslInit: Connection._on_sasl_init,
    Open: Connection._on_open,
    Begin: Connection._on_begin,
    End: Connection._on_end,
    Close: Connection._on_close,
}


class AmqpSession:
    """A session of AMQP, which is a channel with windows; not to be confused with a session of Service
    Bus.
    """

    def __init__(self, connection: Connection, operations: Operations, number: int, begin: Begin) -> None:
        self.operations = operations
        self.unsettled: dict[int, tuple[Link, Delivery]] = {}
        self.frame_size = connection.frame_size
        self._connection = connection
        self._number = number
        self._links: dict[int, Link] = {}
        self._answers: dict[str, OutboundLink] = {}  # by address of the node that answers
        self._window: int = begin.incoming_window
        self._held_back: deque[tuple[Transfer, bytes]] = deque()
        self._incoming = self._announced = int(begin.next_outgoing_id or 0)
        self._outgoing = 0
        self._deliveries = 0

    def receive(self, performative: Performative, payload: bytes) -> None:
        if isinstance(performative, Transfer):
            self._on_transfer(performative, payload)
        else:
            _SESSION_HANDLERS[type(performative)](self, performative)

    def close(self, *, broken: bool = False) -> None:
        for link in list(self._links.values()):
            self.forget(link)
            link.closed(broken=broken)

    def close_forbidden_links(self) -> None:
        """Close what no token allows any more."""
        for link in list(self._links.values()):
            try:
                if link.needs is not None:
                    self._connection.access.require(*link.needs)
            except BusError as error:
                link.closed()
                link.detach(error)

    # ------------------------------------------------------------------------------------------ for the links

    def send(self, performative: Performative, payload: bytes = b"") -> None:
        if not isinstance(performative, Transfer):
            self._connection.send(self._number, performative, payload)
        elif self.has_room():
            self._transfer(performative, payload)
        else:
            self._held_back.append((performative, payload))

    def has_room(self) -> bool:
        return self._window > 0 and not self._held_back

    def drop(self) -> None:
        self._connection.drop()

    def flow(self, **link: Any) -> Flow:
        window = UInt(WINDOW)
        self._announced = self._incoming
        return Flow(UInt(self._incoming), window, UInt(self._outgoing), window, **link)

    def _transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._outgoing += 1
        self._window -= 1
        self._connection.send(self._number, transfer, payload)

    def next_delivery_id(self) -> int:
        self._deliveries += 1
        return self._deliveries - 1

    def forget(self, link: Link) -> None:
        self._links.pop(link.request.handle, None)
        for delivery in [number for number, (owner, _) in self.unsettled.items() if owner is link]:
            del self.unsettled[delivery]

    # ---------------------------------------------------------------------------------------- from the client

    def _on_attach(self, attach: Attach) -> None:
        link: Link = Link(self, attach)
        try:
            link = self._links[attach.handle] = self._link_to(address(attach), attach)
            if isinstance(link, ReceiverLink):
                link.open()
            else:
                link.attached()
            if isinstance(link, InboundLink):
                link.grant()
        except BusError as error:
            link.closed()
            link.refuse(error)

    def _link_to(self, path: str, attach: Attach) -> Link:
        """The link a client asks for. Raises EntityNotFound, NotAllowed or Unauthorized."""
        if attach.target is not None and attach.target.descriptor == _COORDINATOR:
            self.operations.world.loud(SERVER, "501 transaction: this stand-in has no transactions")
            raise NotImplementedHere("Transactions are not known here.")
        if path == _CBS:
            return self._node(path, attach, self._authorize)
        link = self._link_to_entity(path, attach)
        claims = (
            (SEND, LISTEN)
            if path.lower().endswith(MANAGEMENT_SUFFIX)
            else (LISTEN,)
            if attach.role
            else (SEND,)
        )
        link.needs = claims, path
        self._connection.access.require(*link.needs)
        return link

    def _link_to_entity(self, path: str, attach: Attach) -> Link:
        broker = self.operations.broker
        if path.lower().endswith(MANAGEMENT_SUFFIX):
            entity = broker.find(path[: -len(MANAGEMENT_SUFFIX)])
            return self._node(
                path, attach, partial(management.manage, self.operations, self._connection.access, entity)
            )
        if not attach.role:
            return self._sender_link(broker.target(path), attach)
        queue = broker.source(path)
        if isinstance(queue, SessionQueue) != (SESSION_FILTER in session_filter(attach)):
            raise NotAllowed(_WRONG_KIND[isinstance(queue, SessionQueue)])
        return ReceiverLink(self, attach, queue)

    def _sender_link(self, entity: Entity, attach: Attach) -> Link:
        link = InboundLink(self, attach, partial(self.operations.send, entity))
        if (seconds := self.operations.options["idle_senders_closed_after"]) is not None:
            link.close_when_idle(seconds)
        return link

    def _node(self, path: str, attach: Attach, answer: Callable[[bytes], Steps[bytes]]) -> Link:
        """One of the two links of a node that answers requests."""
        if attach.role:
            link = self._answers[path] = OutboundLink(self, attach)
            return link

        def handle(content: bytes, _: int) -> Steps[None]:
            if path not in self._answers:
                raise NotAllowed("There is no link for the answer.")
            self._answers[path].transmit((yield from answer(content)), b"answer", settled=True)

        return InboundLink(self, attach, handle)

    def _authorize(self, content: bytes) -> Steps[bytes]:
        """Answer a request to `$cbs`."""
        request = Message.decode(content)
        operation = str(request.application_properties().get("operation"))
        if operation != "put-token":
            self.operations.world.loud(
                SERVER, f"501 {operation} on {_CBS}: this stand-in does not know the operation"
            )
            return management.answer(
                request, management.CBS_FIELDS, (501, f"Unknown operation '{operation}'."), None
            )
        try:
            until = yield from self.operations.perform(
                [(operation, _CBS)], partial(self._connection.access.put, request)
            )
        except BusError as error:
            return management.answer(request, management.CBS_FIELDS, (error.status, str(error)), None)
        self._connection.expect_expiry(until)
        return management.answer(request, management.CBS_FIELDS, (200, "OK"), None)

    def _on_flow(self, flow: Flow) -> None:
        self._window = (flow.next_incoming_id or 0) + flow.incoming_window - self._outgoing
        while self._held_back and self._window > 0:
            self._transfer(*self._held_back.popleft())
        if flow.handle in self._links:
            self._links[flow.handle].on_flow(flow)
        elif flow.handle is None:
            for link in list(self._links.values()):
                if isinstance(link, OutboundLink):
                    link.credited()

    def _on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._incoming += 1
        if self._incoming - self._announced > WINDOW // 2:
            self.send(self.flow())
        link = self._links.get(transfer.handle)
        if isinstance(link, InboundLink):
            link.on_transfer(transfer, payload)

    def _on_disposition(self, disposition: Disposition) -> None:
        """What the receiver made of deliveries. Those this side sent settled, or whose link is gone, are not
        known any more.
        """
        last = disposition.first if disposition.last is None else disposition.last
        for number in range(disposition.first, last + 1):
            if disposition.role and number in self.unsettled:
                link, delivery = self.unsettled.pop(number)
                link.turns.start(self._settle(number, delivery, disposition))

    def _settle(self, number: int, delivery: Delivery, disposition: Disposition) -> Steps[None]:
        """Do what the receiver wants, and confirm it with the same outcome, or say why it could not be
        done.
        """
        state: Described | None = disposition.state
        try:
            yield from self.operations.settle(of_outcome(state), delivery.queue, [delivery.token])
            # The SDKs take a rejection with an error for a failure, even of a message that they themselves
            # rejected.
            outcome = None if state is None else Described(state.descriptor, [])
        except BusError as error:
            outcome = refusal(error)
        if not disposition.settled:
            self.send(Disposition(False, UInt(number), UInt(number), True, outcome))

    def _on_detach(self, detach: Detach) -> None:
        link = self._links.get(detach.handle)
        if link is not None:
            self.forget(link)
            link.closed()
            self.send(Detach(link.handle, True))


#: By whether the queue has sessions: what a receiver of the other kind is told.
_WRONG_KIND = {
    True: (
        "It is not possible for an entity that requires sessions to create a non-sessionful message receiver."
    ),
    False: (
        "A sessionful message receiver cannot be created on an entity that does not require sessions. "
        "Ensure RequiresSession is set to true when creating a Queue or Subscription to enable sessionful "
        "behavior."
    ),
}

_SESSION_HANDLERS: dict[type, Callable[[AmqpSession, Any], None]] = {
    Attach: AmqpSession._on_attach,
    Flow: AmqpSession._on_flow,
    Disposition: AmqpSession._on_disposition,
    Detach: AmqpSession._on_detach,
}
