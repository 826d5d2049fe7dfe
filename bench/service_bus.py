"""How fast the Service Bus stand-in is, and how much it remembers: `python -m bench.service_bus [--short]`,
about a minute.

Sends and receipts are those of azure-servicebus, one awaited after the other: half of their time is the
client's. The day's work goes through a client of its own, which settles a whole session at once; the SDK
would take many times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient
from rich.console import Console
from rich.table import Table

from standins.service_bus.access import signature
from standins.service_bus.codec import Symbol, UByte, UInt, described
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
    Performative,
    Transfer,
    encode_frame,
)
from standins.service_bus.message import APPLICATION, VALUE, section

APP_DIR = Path(__file__).resolve().parent.parent
_QUEUE = {"lock_duration": "PT5M", "max_delivery_count": 5, "duplicate_detection_window": "PT10M"}
ENTITIES = {"queues": {"plain": _QUEUE, "ordered": _QUEUE | {"requires_session": True}}}
BODY = b"x" * 800
PER_SESSION = 50


@dataclass(frozen=True)
class Server:
    """A stand-in in a process of its own. `address` is host and port."""

    pid: int
    address: str

    @property
    def megabytes(self) -> float:
        """What it keeps in memory (RSS)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="a tenth of everything")
    share = 10 if parser.parse_args().short else 1
    table = Table("what", "measured", title="The Service Bus stand-in")
    with running() as server:
        before = server.megabytes
        sent, received = asyncio.run(one_by_one(server, 6000 // share))
        table.add_row("awaited sends", f"{sent:,.0f}/s")
        table.add_row("messages received and completed", f"{received:,.0f}/s")
        sessions = 2000 // share
        asyncio.run(send_sessions(server, sessions))
        settled = settle_sessions(server, sessions)
        what = f"memory before, and after {settled:,} settled messages of {sessions:,} sessions"
        table.add_row(what, f"{before:.0f}, {server.megabytes:.0f} MB")
    Console(highlight=False).print(table)


@contextmanager
def running() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="mergekey-bench-") as folder:
        entities = Path(folder) / "entities.json"
        entities.write_text(json.dumps(ENTITIES))
        command = [
            sys.executable,
            "-m",
            "standins.run",
            "--folder",
            folder,
            "--entities",
            str(entities),
            "--only",
            "service-bus",
        ]
        command += ["--latency", "none", "--with-parent"]
        with subprocess.Popen(
            command, cwd=APP_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            yield Server(process.pid, json.loads(process.stdout.readline())["addresses"]["service-bus"])
            process.terminate()


def client_of(server: Server) -> ServiceBusClient:
    key = "SharedAccessKeyName=local;SharedAccessKey=local"
    return ServiceBusClient.from_connection_string(
        f"Endpoint=sb://{server.address};{key};UseDevelopmentEmulator=true;"
    )


async def one_by_one(server: Server, count: int) -> tuple[float, float]:
    """Sends, and receipts with their completions, per second."""
    async with client_of(server) as client, client.get_queue_sender("plain") as sender:
        started = time.perf_counter()
        for number in range(count):
            await sender.send_messages(ServiceBusMessage(BODY, message_id=f"message-{number}"))
        sent = count / (time.perf_counter() - started)
        async with client.get_queue_receiver("plain", prefetch_count=100) as receiver:
            started, received = time.perf_counter(), 0
            while received < count:
                for message in await receiver.receive_messages(100, max_wait_time=5):
                    await receiver.complete_message(message)
                    received += 1
            return sent, count / (time.perf_counter() - started)


async def send_sessions(server: Server, sessions: int) -> None:
    """A batch per session."""
    async with client_of(server) as client, client.get_queue_sender("ordered") as sender:
        for session in (f"session-{number}" for number in range(sessions)):
            ids = (f"{session}-{number}" for number in range(PER_SESSION))
            await sender.send_messages(
                [ServiceBusMessage(BODY, message_id=each, session_id=session) for each in ids]
            )


def settle_sessions(server: Server, sessions: int) -> int:
    """Complete every message of so many sessions; returns how many there were."""
    wire = Wire(server.address)
    first = before = 1  # the answer to the token was delivery 0
    for _ in range(sessions):
        wire.accept_session()
        while (last := wire.take()) is not None:
            wire.say(Disposition(True, UInt(first), UInt(last), True, described(0x24)))
            first = last + 1
        wire.release()
    return first - before


class Wire:
    """A client that speaks AMQP without ceremony: one channel, one receiver of sessions at a time."""

    _ANSWERS, _REQUESTS, _RECEIVER = UInt(0), UInt(1), UInt(2)

    def __init__(self, address: str) -> None:
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = FrameReader()
        self._frames: list[Frame] = []
        self._socket.sendall(AMQP_HEADER)
        self.say(Open("bench"))
        self.say(Begin(None, UInt(0), UInt(2**31 - 1), UInt(2**31 - 1)))
        self._put_token(f"sb://{address}/")

    def say(self, performative: Performative, payload: bytes = b"") -> None:
        self._socket.sendall(encode_frame(0, performative, payload))

    def accept_session(self) -> None:
        """The next that has messages, with credit for all of them; credit is drained, so that the end of it
        is seen.
        """
        any_session = {Symbol("com.microsoft:session-filter"): None}
        source = described(0x28, "ordered", *[None] * 6, any_session)
        self.say(Attach("receiver", self._RECEIVER, True, UByte(0), UByte(1), source, described(0x29)))
        self._expect(Attach)
        self._delivered = 0

    def take(self) -> int | None:
        """The number of the last delivery of what is there; None when there is nothing."""
        window = UInt(2**31 - 1)
        self.say(
            Flow(
                UInt(0),
                window,
                UInt(0),
                window,
                self._RECEIVER,
                UInt(self._delivered),
                UInt(PER_SESSION),
                drain=True,
            )
        )
        last = None
        while not isinstance(frame := self._next().performative, Flow):
            last = frame.delivery_id
        self._delivered = frame.delivery_count
        return last

    def release(self) -> None:
        self.say(Detach(self._RECEIVER, True))
        self._expect(Detach)

    def _put_token(self, resource: str) -> None:
        fields = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": resource}
        token = signature(resource, int(time.time()) + 3600, "local", "local")
        self.say(
            Attach("answers", self._ANSWERS, True, source=described(0x28, "$cbs"), target=described(0x29))
        )
        self.say(
            Attach("requests", self._REQUESTS, False, source=described(0x28), target=described(0x29, "$cbs"))
        )
        self.say(
            Transfer(self._REQUESTS, UInt(0), b"tag", UInt(0), True),
            section(APPLICATION, fields) + section(VALUE, token),
        )
        self._expect(Transfer)

    def _expect(self, kind: Any) -> None:
        while not isinstance(self._next().performative, kind):
            pass

    def _next(self) -> Frame:
        while not self._frames:
            self._frames += [
                item for item in self._reader.feed(self._socket.recv(2**18)) if isinstance(item, Frame)
            ]
        return self._frames.pop(0)


if __name__ == "__main__":
    main()
