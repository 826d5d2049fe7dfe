"""What AMQP asks of the Service Bus stand-in and azure-servicebus does not exercise: windows, drained credit, small frames."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from standins.service_bus.broker import Broker
from standins.service_bus.codec import Symbol, UInt, described
from standins.service_bus.connection import Connection
from standins.service_bus.entries import Environment, Storage
from standins.service_bus.frames import (
    AMQP_HEADER,
    Attach,
    Begin,
    Detach,
    Disposition,
    Flow,
    Frame,
    FrameReader,
    Open,
    Transfer,
    encode_frame,
)
from standins.service_bus.message import section
from standins.service_bus.operations import Operations
from standins.world import World

QUEUES = {"queues": {"plain": {"lock_duration": "PT1M", "max_delivery_count": 3}}}
RECEIVER, SENDER = True, False
HANDLE = UInt(0)


class Wire(asyncio.Transport):
    """The client's end: hands frames to the connection and keeps what it answers."""

    def __init__(self, operations: Operations) -> None:
        super().__init__()
        self._connection = Connection(operations)
        self._reader = FrameReader()
        self._received: list[Any] = []
        self._connection.connection_made(self)
        self._connection.data_received(AMQP_HEADER)

    def write(self, data: Any) -> None:
        self._received += self._reader.feed(bytes(data))

    def is_closing(self) -> bool:
        return False

    def say(self, performative: Any, payload: bytes = b"") -> list[Frame]:
        """Send one frame and return the frames that came back at once."""
        self.arrived()
        self._connection.data_received(encode_frame(0, performative, payload))
        return self.arrived()

    def arrived(self) -> list[Frame]:
        """What came since it was last asked for."""
        arrived, self._received = self._received, []
        return arrived

    def begin(self, window: int, frame_size: int = 65536) -> None:
        self.say(Open("client", max_frame_size=UInt(frame_size)))
        self.say(Begin(None, UInt(0), UInt(window), UInt(100)))

    def receive_from(self, queue: str) -> None:
        answer, *_ = self.say(attach(RECEIVER, described(0x28, queue), described(0x29)))
        assert answer.performative.source is not None

    def credit(self, credit: int, received: int = 0, window: int = 100, **options: Any) -> list[Frame]:
        return self.say(Flow(UInt(received), UInt(window), UInt(0), UInt(100), HANDLE, UInt(received), UInt(credit), **options))


def attach(role: bool, source: Any, target: Any) -> Attach:
    return Attach("link", HANDLE, role, source=source, target=target)


@pytest.fixture
async def operations(tmp_path: Path) -> Operations:
    world = World(tmp_path)
    return Operations(world, Broker(Environment(world.clock, Storage(world.store("service-bus"))), QUEUES))


def fill(operations: Operations, *bodies: bytes) -> None:
    for body in bodies:
        operations.send(operations.broker.target("plain"), section(0x75, body), 0)


async def test_drained_credit_is_used_up_and_the_client_is_told(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    wire.receive_from("plain")
    fill(operations, b"only one")
    transfer, flow = wire.credit(5, drain=True)
    assert isinstance(transfer.performative, Transfer)
    assert (flow.performative.delivery_count, flow.performative.link_credit, flow.performative.drain) == (5, 0, True)
    fill(operations, b"too late")
    assert wire.arrived() == [], "nothing is delivered without credit"


async def test_no_more_is_sent_than_the_window_of_the_client_allows(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=1)
    wire.receive_from("plain")
    fill(operations, b"first", b"second", b"third")
    assert len(wire.credit(10, window=1)) == 1
    reopened = wire.say(Flow(UInt(1), UInt(1), UInt(0), UInt(100)))
    assert [frame.payload[-6:] for frame in reopened] == [b"second"]


async def test_a_message_is_cut_to_the_frames_the_client_takes(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100, frame_size=512)
    wire.receive_from("plain")
    fill(operations, b"x" * 1000)
    frames = wire.credit(1)
    assert [frame.performative.more for frame in frames] == [True] * (len(frames) - 1) + [False]
    assert all(len(encode_frame(0, frame.performative, frame.payload)) <= 512 for frame in frames)
    assert b"".join(frame.payload for frame in frames).endswith(b"x" * 1000)


async def test_several_deliveries_are_settled_in_one_disposition(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    wire.receive_from("plain")
    fill(operations, b"first", b"second")
    wire.credit(2)
    answers = wire.say(Disposition(RECEIVER, UInt(0), UInt(1), False, described(0x24)))
    assert [(frame.performative.first, frame.performative.settled) for frame in answers] == [(0, True), (1, True)]
    assert operations.broker.source("plain").peek(0, 9) == []


async def test_a_sender_gets_new_credit_before_it_runs_out(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    _, granted = wire.say(attach(SENDER, described(0x28), described(0x29, "plain")))
    given: int = granted.performative.link_credit
    for number in range(given - 1):
        for frame in wire.say(Transfer(HANDLE, UInt(number), b"tag", UInt(0), True), section(0x75, b"x")):
            given = frame.performative.delivery_count + frame.performative.link_credit
        assert given > number + 1


async def test_a_refused_link_has_no_terminus_and_says_why(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    refused, detached = wire.say(attach(SENDER, described(0x28), described(0x29, "amqps://host/nowhere")))
    assert refused.performative.target is None
    assert detached.performative.error.value[0] == Symbol("amqp:not-found")
    assert wire.say(Detach(HANDLE, True)) == [], "a link that is gone is not detached twice"
