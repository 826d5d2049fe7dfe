"""A running Service Bus stand-in for the tests of one file, with a clock of its own: the server runs in this
process.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.servicebus import ServiceBusMessage, ServiceBusReceivedMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusReceiver, ServiceBusSender

from standins.faults import Fault
from standins.service_bus import serve
from standins.world import World

ROOT = Path(__file__).resolve().parents[3]
LOCK_SECONDS, WINDOW_SECONDS, MAX_DELIVERIES = 60, 600, 3
QUEUE: dict[str, Any] = {
    "requires_session": False,
    "lock_duration": "PT1M",
    "max_delivery_count": MAX_DELIVERIES,
}
#: The certificate store of all clients, as the app has one: else the SDK loads it for every link, TLS or not.
TRUST = ssl.create_default_context()
WITH_SESSIONS = QUEUE | {"requires_session": True}


@dataclass(frozen=True)
class Line:
    """A queue of one test, with its links open: opening one takes the SDK half a second, so all are opened at
    once.
    """

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
    """The running stand-in. Each test takes a queue for itself, so that no test finds the messages of
    another.
    """

    world: World
    client: ServiceBusClient
    port: int
    opened: list[Any]
    plain: Iterator[Plain]
    ordered: Iterator[Ordered]

    def now(self) -> datetime:
        return self.world.clock.utcnow()

    def count(self, kind: str) -> int:
        return sum(call.kind == kind for call in self.world.calls)

    @contextmanager
    def fault(self, kind: str, **options: Any) -> Iterator[Fault]:
        fault = Fault("service-bus", kind, **options)
        self.world.trouble.faults.append(fault)
        try:
            yield fault
        finally:
            self.world.trouble.faults.remove(fault)

    async def open(self, *links: Any) -> None:
        """Open links; they are closed with all others at the end, because closing takes the SDK long too."""
        self.opened.extend(links)
        await asyncio.gather(*(link.__aenter__() for link in links))

    @contextmanager
    def changed(self, **options: Any) -> Iterator[None]:
        """Options of the stand-in, changed for a while."""
        before = self.world.options["service-bus"].all()
        self.world.options["service-bus"].change(options)
        try:
            yield
        finally:
            self.world.options["service-bus"].change({name: before[name] for name in options})

    async def session(self, queue: Ordered, session: Any, wait: float = 120) -> ServiceBusReceiver:
        receiver = self.client.get_queue_receiver(queue.name, session_id=session, max_wait_time=wait)
        await self.open(receiver)
        return receiver


def connection_string(port: int, name: str = "local", key: str = "local") -> str:
    return (
        f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName={name};SharedAccessKey={key};"
        "UseDevelopmentEmulator=true;"
    )


@asynccontextmanager
async def opened(*links: ServiceBusSender | ServiceBusReceiver) -> AsyncIterator[None]:
    """Links opened and closed at once."""
    await asyncio.gather(*(link.__aenter__() for link in links))
    yield
    await asyncio.gather(*(link.close() for link in links))


async def eventually(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(300):
        while not condition():  # noqa: ASYNC110  # what is waited for happens beyond a socket
            await asyncio.sleep(0.001)


async def one(receiver: ServiceBusReceiver) -> ServiceBusReceivedMessage:
    messages = await receiver.receive_messages(1, max_wait_time=120)
    assert len(messages) == 1, "no message came"
    return messages[0]


async def nothing(receiver: ServiceBusReceiver) -> bool:
    return await receiver.receive_messages(1, max_wait_time=0.2) == []


def text(message: ServiceBusReceivedMessage) -> str:
    return b"".join(message.body).decode()


def number(message: ServiceBusReceivedMessage) -> int:
    assert message.sequence_number is not None
    return message.sequence_number


def between(earliest: datetime, moment: datetime | None, latest: datetime) -> bool:
    """Whether the moment is one of these, however long whatever happened in between took. What is sent has
    whole milliseconds.
    """
    return moment is not None and earliest - timedelta(milliseconds=1) <= moment <= latest + timedelta(
        milliseconds=1
    )


async def open_plain(client: ServiceBusClient, name: str) -> Plain:
    line = Plain(
        name, client.get_queue_sender(name), dead_letters_of(client, name), client.get_queue_receiver(name)
    )
    await asyncio.gather(*(link.__aenter__() for link in (line.sender, line.receiver, line.dead_letters)))
    return line


async def open_ordered(client: ServiceBusClient, name: str) -> Ordered:
    line = Ordered(name, client.get_queue_sender(name), dead_letters_of(client, name))
    await asyncio.gather(line.sender.__aenter__(), line.dead_letters.__aenter__())
    return line


def dead_letters_of(client: ServiceBusClient, queue: str) -> ServiceBusReceiver:
    return client.get_queue_receiver(queue, sub_queue="deadletter")


@asynccontextmanager
async def serving(
    folder: Path, entities: Mapping[str, Any], plain: list[str], ordered: list[str]
) -> AsyncIterator[Namespace]:
    world = World(folder)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = await serve(world, listener, dict(entities))
    port = listener.getsockname()[1]
    client = ServiceBusClient.from_connection_string(
        connection_string(port), retry_total=0, ssl_context=TRUST
    )
    lines = await asyncio.gather(*(open_plain(client, name) for name in plain))
    more = await asyncio.gather(*(open_ordered(client, name) for name in ordered))
    links = [link for line in (*lines, *more) for link in (line.sender, line.dead_letters)] + [
        line.receiver for line in lines
    ]
    opened: list[Any] = []
    yield Namespace(world, client, port, opened, iter(lines), iter(more))
    await asyncio.gather(*(link.close() for link in (*links, *opened)))
    await client.close()
    server.close()


def room(plain: int, ordered: int, **more: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """The fixtures of a test file: `namespace`, `line` (a queue of one's own) and `ordered` (one with
    sessions).

    `plain` and `ordered` say how many tests take one; `more` are further queues and topics, as declared.
    """
    names = [f"plain-{number}" for number in range(plain)]
    with_sessions = [f"ordered-{number}" for number in range(ordered)]
    queues = dict.fromkeys(names, QUEUE | {"duplicate_detection_window": "PT10M"}) | dict.fromkeys(
        with_sessions, WITH_SESSIONS
    )
    entities = {"queues": queues | dict(more.get("queues", {})), "topics": more.get("topics", {})}

    @pytest.fixture(scope="module", name="namespace")
    async def namespace(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Namespace]:
        async with serving(tmp_path_factory.mktemp("service-bus"), entities, names, with_sessions) as running:
            yield running

    @pytest.fixture(name="line")
    def line(namespace: Namespace) -> Plain:
        return next(namespace.plain)

    @pytest.fixture(name="ordered")
    def one_with_sessions(namespace: Namespace) -> Ordered:
        return next(namespace.ordered)

    return namespace, line, one_with_sessions


@contextmanager
def process(
    folder: Path, entities: Mapping[str, Any], *options: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A stand-in in a process of its own, which is killed at the end, and its connection string."""
    declared = folder / "entities.json"
    declared.write_text(json.dumps(entities))
    command = [
        sys.executable,
        "-m",
        "standins.run",
        "--folder",
        str(folder),
        "--entities",
        str(declared),
        "--only",
        "service-bus",
    ]
    command += ["--latency", "none", *options]
    with subprocess.Popen(
        [*command, "--with-parent"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        ready = json.loads(running.stdout.readline())
        try:
            yield running, connection_string(int(ready["addresses"]["service-bus"].rpartition(":")[2]))
        finally:
            running.kill()
