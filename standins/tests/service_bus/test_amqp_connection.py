"""What AMQP asks of the Service Bus stand-in and azure-servicebus does not exercise: windows, drained credit,
small frames.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standins.service_bus import OPTIONS
from standins.service_bus.access import signature
from standins.service_bus.broker import Broker
from standins.service_bus.codec import Symbol, Timestamp, UInt, described
from standins.service_bus.connection import WINDOW, Connection
from standins.service_bus.entity import Environment
from standins.service_bus.entries import State
from standins.service_bus.errors import ServerBusy
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
from standins.service_bus.message import APPLICATION, DATA, PROPERTIES, VALUE, Message, section
from standins.service_bus.operations import Operations
from standins.service_bus.settlement import Settlement, of_request
from standins.service_bus.storage import Storage
from standins.tests.differences import known_difference
from standins.world import World

QUEUES = {"queues": {"plain": {"lock_duration": "PT1M", "max_delivery_count": 3}}}
RECEIVER, SENDER = True, False
HANDLE = UInt(0)
ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x24, 0x25, 0x26, 0x27


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
        self._connection.flush()
        arrived, self._received = self._received, []
        return arrived

    def begin(self, window: int, frame_size: int = 65536, authorized: bool = True) -> None:
        self.say(Open("client", max_frame_size=UInt(frame_size)))
        self.say(Begin(None, UInt(0), UInt(window), UInt(100)))
        if authorized:
            self.put_token()

    def put_token(self) -> None:
        """In an AMQP session of its own, so that it takes nothing of the windows of the other."""
        resource = "sb://localhost/"
        token = section(VALUE, signature(resource, int(time.time()) + 600, "local", "local"))
        fields = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": resource}
        cbs = 1
        for performative, payload in (
            (Begin(None, UInt(0), UInt(100), UInt(100)), b""),
            (
                Attach("answers", UInt(1), RECEIVER, source=described(0x28, "$cbs"), target=described(0x29)),
                b"",
            ),
            (
                Attach("requests", UInt(2), SENDER, source=described(0x28), target=described(0x29, "$cbs")),
                b"",
            ),
            (Transfer(UInt(2), UInt(0), b"tag", UInt(0), True), section(APPLICATION, fields) + token),
        ):
            self._connection.data_received(encode_frame(cbs, performative, payload))
        assert b"OK" in self.arrived()[-1].payload

    def receive_from(self, queue: str) -> None:
        answer, *_ = self.say(attach(RECEIVER, described(0x28, queue), described(0x29)))
        assert answer.performative.source is not None

    def send_to(self, queue: str) -> Frame:
        """The flow that grants credit."""
        answer, granted = self.say(attach(SENDER, described(0x28), described(0x29, queue)))
        assert answer.performative.target is not None
        return granted

    def credit(self, credit: int, received: int = 0, window: int = 100, **options: Any) -> list[Frame]:
        return self.say(
            Flow(
                UInt(received),
                UInt(window),
                UInt(0),
                UInt(100),
                HANDLE,
                UInt(received),
                UInt(credit),
                **options,
            )
        )


def attach(role: bool, source: Any, target: Any) -> Attach:
    return Attach("link", HANDLE, role, source=source, target=target)


@pytest.fixture
async def operations(tmp_path: Path) -> Operations:
    world = World(tmp_path)
    storage = Storage(tmp_path / "service-bus.sqlite")
    return Operations(
        world, Broker(Environment(world.clock, storage, world.options_of("service-bus", OPTIONS)), QUEUES)
    )


def fill(operations: Operations, *bodies: bytes) -> None:
    for body in bodies:
        done(operations.send(operations.broker.target("plain"), section(0x75, body), 0))


def done(steps: Iterator[float]) -> None:
    """Nothing was ordered to be slow."""
    assert list(steps) == []


async def test_drained_credit_is_used_up_and_the_client_is_told(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    wire.receive_from("plain")
    fill(operations, b"only one")
    transfer, flow = wire.credit(5, drain=True)
    assert isinstance(transfer.performative, Transfer)
    assert (flow.performative.delivery_count, flow.performative.link_credit, flow.performative.drain) == (
        5,
        0,
        True,
    )
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
    answers = wire.say(Disposition(RECEIVER, UInt(0), UInt(1), False, described(ACCEPTED)))
    assert [(frame.performative.first, frame.performative.settled) for frame in answers] == [
        (0, True),
        (1, True),
    ]
    assert operations.broker.source("plain").peek(0, 9) == []


async def test_a_sender_gets_new_credit_before_it_runs_out(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    granted = wire.send_to("plain")
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


async def test_no_link_opens_without_a_token(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100, authorized=False)
    for role, source, target in (
        (SENDER, None, "plain"),
        (RECEIVER, "plain", None),
        (SENDER, None, "plain/$management"),
    ):
        _, detached = wire.say(attach(role, described(0x28, source), described(0x29, target)))
        assert detached.performative.error.value[0] == Symbol("amqp:unauthorized-access")


async def test_a_released_delivery_does_not_count_and_one_that_is_modified_does(
    operations: Operations,
) -> None:
    """Whatever `delivery-failed` says: the first of them leaves it out, as some SDKs do."""
    wire = Wire(operations)
    wire.begin(window=100)
    wire.receive_from("plain")
    fill(operations, b"again and again")
    wire.credit(4)
    for number, outcome in enumerate(
        (described(RELEASED), described(MODIFIED, None), described(MODIFIED, True))
    ):
        wire.say(Disposition(RECEIVER, UInt(number), UInt(number), True, outcome))
    [entry] = operations.broker.source("plain").peek(0, 9)
    assert entry.deliveries == 2


async def test_a_message_without_an_id_is_given_one(operations: Operations) -> None:
    """Most SDKs give one themselves."""
    fields = [None, b"somebody", None, "news", None, None, Symbol("text/plain")]
    queue = operations.broker.target("plain")
    for sections in (b"", section(PROPERTIES, fields), section(PROPERTIES, ["mine"])):
        done(operations.send(queue, sections + section(DATA, b"x"), 0))
    bare, described_one, named = (entry.message for entry in operations.broker.source("plain").peek(0, 9))
    assert named.id == "mine"
    assert re.fullmatch("[0-9a-f]{32}", bare.id)
    assert re.fullmatch("[0-9a-f]{32}", described_one.id)
    assert bare.id != described_one.id
    assert Message.decode(described_one.encode()).properties == [described_one.id, *fields[1:]]


_GIVEN = {Symbol("colour"): "red"}
_REASON = {Symbol("DeadLetterReason"): "R"}
_ERROR = described(0x1D, Symbol("com.microsoft:dead-letter"), "no", _GIVEN | _REASON)


@pytest.mark.parametrize(
    ("outcome", "place", "state"),
    [
        (described(MODIFIED, False, False, _GIVEN), "plain", State.ACTIVE),
        (described(MODIFIED, True, True, _GIVEN), "plain", State.DEFERRED),
        (described(REJECTED, _ERROR), "plain/$DeadLetterQueue", State.ACTIVE),
    ],
    ids=["abandoned", "deferred", "dead-lettered"],
)
async def test_properties_that_are_given_with_an_outcome_stay(
    operations: Operations, outcome: Any, place: str, state: State
) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    wire.receive_from("plain")
    queue = operations.broker.source("plain")
    before = section(APPLICATION, {"colour": "blue", "size": 3})
    queue.enqueue(Message(application=before, body=section(DATA, b"x")))
    wire.credit(1)
    wire.say(Disposition(RECEIVER, UInt(0), UInt(0), True, outcome))
    [entry] = operations.broker.source(place).peek(0, 9)
    found = entry.message.application_properties()
    assert entry.state is state
    assert {name: found[name] for name in ("colour", "size")} == {"colour": "red", "size": 3}
    assert found.get("DeadLetterReason") == ("R" if "Dead" in place else None)
    assert all(type(name) is str for name in found)
    assert operations.broker.source(place).size == entry.message.size


def test_properties_that_are_given_over_management_stay_too() -> None:
    body = {"disposition-status": "defered", "properties-to-modify": {"colour": "red"}}
    assert of_request(body) == Settlement("defer", properties={"colour": "red"})


async def test_a_message_of_many_frames_waits_for_room_in_the_window(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=2, frame_size=512)
    wire.receive_from("plain")
    fill(operations, b"x" * 950, b"next")
    frames = wire.credit(5, window=2)
    assert len(frames) == 2
    frames += wire.say(Flow(UInt(2), UInt(5), UInt(0), UInt(100)))
    assert [frame.performative.more for frame in frames] == [True, True, False, False]
    assert b"".join(frame.payload for frame in frames[:3]).endswith(b"x" * 950)


async def test_a_client_that_sends_many_frames_is_told_of_new_room(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    wire.send_to("plain")
    room = WINDOW
    for sent in range(1, 2 * WINDOW):
        for frame in wire.say(Transfer(HANDLE, UInt(0), b"tag", UInt(0), True, True), b""):
            room = frame.performative.next_incoming_id + frame.performative.incoming_window
        assert sent < room


async def test_transactions_are_refused_loudly(
    operations: Operations, capfd: pytest.CaptureFixture[str]
) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    _, detached = wire.say(
        attach(SENDER, described(0x28), described(0x30, [Symbol("amqp:local-transactions")]))
    )
    assert detached.performative.error.value[0] == Symbol("amqp:not-implemented")
    assert "501 transaction" in capfd.readouterr().err


async def test_an_aborted_message_did_not_happen(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    wire.send_to("plain")
    wire.say(Transfer(HANDLE, UInt(0), b"tag", UInt(0), True, True), section(0x75, b"half a mess"))
    wire.say(Transfer(HANDLE, aborted=True))
    wire.say(Transfer(HANDLE, UInt(1), b"tag", UInt(0), True), section(0x75, b"whole"))
    assert [entry.message.body[-5:] for entry in operations.broker.source("plain").peek(0, 9)] == [b"whole"]


@pytest.mark.parametrize(
    ("properties", "annotations", "condition"),
    [
        (["x" * 129], {}, "com.microsoft:argument-error"),
        ([None] * 10 + ["a"], {"x-opt-partition-key": "b"}, "amqp:not-allowed"),
    ],
    ids=["a long message id", "a partition key that is not the session id"],
)
async def test_what_the_sdk_would_not_send_is_refused_too(
    operations: Operations, properties: list[Any], annotations: dict[str, str], condition: str
) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    wire.send_to("plain")
    encoded = (
        section(0x72, {Symbol(name): value for name, value in annotations.items()})
        + section(0x73, properties)
        + section(0x75, b"")
    )
    [answer] = wire.say(Transfer(HANDLE, UInt(0), b"tag", UInt(0), False), encoded)
    assert answer.performative.state.value[0].value[0] == condition


async def test_a_time_to_live_too_long_for_the_header_is_read_from_the_properties(
    operations: Operations,
) -> None:
    created, expires = Timestamp(1_000), Timestamp(1_000 + 2**33)
    message = Message.decode(section(0x73, [None] * 8 + [expires, created]) + section(0x75, b""))
    assert message.ttl == 2**33 / 1000
    assert message.lasting_at_most(60).ttl == 60


@known_difference(
    "service-bus",
    "The Standard tier answers server-busy to more than 1,000 operations of a namespace in a second.",
)
async def test_too_many_operations_are_throttled(operations: Operations) -> None:
    with pytest.raises(ServerBusy):
        fill(operations, *[b"x"] * 1_100)


@known_difference(
    "service-bus",
    "A lock outlives whatever happens inside the service; a restart of the stand-in ends all locks.",
)
async def test_a_lock_outlives_a_restart(operations: Operations) -> None:
    wire = Wire(operations)
    wire.begin(window=100)
    wire.receive_from("plain")
    fill(operations, b"locked")
    wire.credit(1)
    again = Broker(operations.broker.environment, QUEUES)
    [entry] = again.source("plain").peek(0, 9)
    assert entry.lock is not None
