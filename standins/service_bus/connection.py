"""One TCP connection: layers, AMQP sessions (channels), and the links on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from standins.service_bus import management
from standins.service_bus.codec import CodecError, Described, Symbol, UByte, UInt, UShort
from standins.service_bus.errors import BusError, MalformedMessage, NotAllowed
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
from standins.service_bus.links import SESSION_FILTER, InboundLink, Link, OutboundLink, ReceiverLink, address, session_filter
from standins.service_bus.operations import SERVER, ConnectionDropped, Operations
from standins.service_bus.sessions import SessionQueue
from standins.service_bus.settlement import Delivery, error_of, of_outcome, refusal

_WINDOW = 5000
_CBS = "$cbs"
_MANAGEMENT_SUFFIX = "/$management"


class Connection(asyncio.Protocol):
    """The server's end of a connection."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._reader = FrameReader()
        self._channels: dict[int, AmqpSession] = {}
        self._transport: asyncio.Transport | None = None
        self.frame_size = MAX_FRAME_SIZE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why it was lost makes no difference
        for number in list(self._channels):
            self._channels.pop(number).close()

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        try:
            for item in self._reader.feed(data):
                self._receive(item)
        except ConnectionDropped:
            self._transport.abort()
        except CodecError as error:
            self._operations.world.loud(SERVER, f"connection closed: {error}")
            self.send(0, Close(error_of(MalformedMessage(str(error)))))
            self._transport.close()

    def send(self, channel: int, performative: Performative, payload: bytes = b"") -> None:
        self.write(encode_frame(channel, performative, payload))

    def write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

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
        self.send(0, Open("service-bus-stand-in", max_frame_size=UInt(MAX_FRAME_SIZE), channel_max=UShort(255)))

    def _on_begin(self, frame: Frame) -> None:
        self._channels[frame.channel] = AmqpSession(self, self._operations, frame.channel, frame.performative)
        window = UInt(_WINDOW)
        self.send(frame.channel, Begin(UShort(frame.channel), UInt(0), window, window, UInt(255)))

    def _on_end(self, frame: Frame) -> None:
        if (session := self._channels.pop(frame.channel, None)) is not None:
            session.close()
            self.send(frame.channel, End())

    def _on_close(self, _: Frame) -> None:
        self.send(0, Close())
        if self._transport is not None:
            self._transport.close()


_CONNECTION_HANDLERS: dict[type, Callable[[Connection, Frame], None]] = {
    SaslInit: Connection._on_sasl_init,
    Open: Connection._on_open,
    Begin: Connection._on_begin,
    End: Connection._on_end,
    Close: Connection._on_close,
}


class AmqpSession:
    """A session of AMQP, which is a channel with windows; not to be confused with a session of Service Bus."""

    def __init__(self, connection: Connection, operations: Operations, number: int, begin: Begin) -> None:
        self.operations = operations
        self.window: int = begin.incoming_window
        self.unsettled: dict[int, tuple[Link, Delivery]] = {}
        self.frame_size = connection.frame_size
        self._connection = connection
        self._number = number
        self._links: dict[int, Link] = {}
        self._answers: dict[str, OutboundLink] = {}  # by address of the node that answers
        self._incoming = int(begin.next_outgoing_id or 0)
        self._outgoing = 0
        self._deliveries = 0

    def receive(self, performative: Performative, payload: bytes) -> None:
        if isinstance(performative, Transfer):
            self._on_transfer(performative, payload)
        else:
            _SESSION_HANDLERS[type(performative)](self, performative)

    def close(self) -> None:
        for link in list(self._links.values()):
            self.forget(link)
            link.closed()

    # ---------------------------------------------------------------------------------------------------- for the links

    def send(self, performative: Performative, payload: bytes = b"") -> None:
        if isinstance(performative, Transfer):
            self._outgoing += 1
            self.window -= 1
        self._connection.send(self._number, performative, payload)

    def flow(self, **link: Any) -> Flow:
        window = UInt(_WINDOW)
        return Flow(UInt(self._incoming), window, UInt(self._outgoing), window, **link)

    def next_delivery_id(self) -> int:
        self._deliveries += 1
        return self._deliveries - 1

    def forget(self, link: Link) -> None:
        self._links.pop(link.request.handle, None)
        for delivery in [number for number, (owner, _) in self.unsettled.items() if owner is link]:
            del self.unsettled[delivery]

    # ---------------------------------------------------------------------------------------------------- from the client

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
        """The link a client asks for. Raises EntityNotFound or NotAllowed."""
        broker = self.operations.broker
        if path == _CBS:
            return self._node(path, attach, partial(management.authorize, self.operations))
        if path.lower().endswith(_MANAGEMENT_SUFFIX):
            entity = broker.find(path[: -len(_MANAGEMENT_SUFFIX)])
            return self._node(path, attach, partial(management.manage, self.operations, entity))
        if not attach.role:
            return InboundLink(self, attach, partial(self.operations.send, broker.target(path)))
        queue = broker.source(path)
        if isinstance(queue, SessionQueue) != (SESSION_FILTER in session_filter(attach)):
            raise NotAllowed(f"'{path}' needs a receiver of the other kind: one with sessions, or one without.")
        return ReceiverLink(self, attach, queue)

    def _node(self, path: str, attach: Attach, answer: Callable[[bytes], bytes]) -> Link:
        """One of the two links of a node that answers requests."""
        if attach.role:
            link = self._answers[path] = OutboundLink(self, attach)
            return link

        def handle(content: bytes, _: int) -> None:
            if path not in self._answers:
                raise NotAllowed("There is no link for the answer.")
            self._answers[path].transmit(answer(content), b"answer", settled=True)

        return InboundLink(self, attach, handle)

    def _on_flow(self, flow: Flow) -> None:
        self.window = (flow.next_incoming_id or 0) + flow.incoming_window - self._outgoing
        if flow.handle in self._links:
            self._links[flow.handle].on_flow(flow)
        elif flow.handle is None:
            for link in list(self._links.values()):
                if isinstance(link, OutboundLink):
                    link.credited()

    def _on_transfer(self, transfer: Transfer, payload: bytes) -> None:
        self._incoming += 1
        link = self._links.get(transfer.handle)
        if isinstance(link, InboundLink):
            link.on_transfer(transfer, payload)

    def _on_disposition(self, disposition: Disposition) -> None:
        """What the receiver made of deliveries. Those this side sent settled, or whose link is gone, are not known any more."""
        last = disposition.first if disposition.last is None else disposition.last
        for number in range(disposition.first, last + 1):
            if disposition.role and number in self.unsettled:
                outcome = self._settle(self.unsettled.pop(number)[1], disposition.state)
                if not disposition.settled:
                    self.send(Disposition(False, UInt(number), UInt(number), True, outcome))

    def _settle(self, delivery: Delivery, outcome: Described | None) -> Described | None:
        """The outcome to confirm: the same, or why it could not be."""
        try:
            self.operations.settle(of_outcome(outcome), delivery.queue, delivery.token)
        except BusError as error:
            return refusal(error)
        # The SDKs take a rejection with an error for a failure, even of a message that they themselves rejected.
        return None if outcome is None else Described(outcome.descriptor, [])

    def _on_detach(self, detach: Detach) -> None:
        link = self._links.get(detach.handle)
        if link is not None:
            self.forget(link)
            link.closed()
            self.send(Detach(link.handle, True))


_SESSION_HANDLERS: dict[type, Callable[[AmqpSession, Any], None]] = {
    Attach: AmqpSession._on_attach,
    Flow: AmqpSession._on_flow,
    Disposition: AmqpSession._on_disposition,
    Detach: AmqpSession._on_detach,
}
