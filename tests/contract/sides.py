"""What a contract test needs besides the port, on both sides: to move the clock, to see what arrived."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest
from azure.servicebus.aio import ServiceBusClient

from shared.messaging.routes import STAGES, TOPIC, Stage
from shared.ports import Bus, OutgoingMessage
from standins.control import Control
from tests.cluster.real import DEFINED, RealCluster
from tests.fakes.bus import FakeBus
from tests.fakes.clock import FakeClock
from tests.fakes.cluster import FakeCluster
from tests.fakes.gateway import FakeGateway


class Watch(Protocol):
    def now(self) -> datetime: ...
    def advance(self, time: timedelta) -> None: ...


@dataclass
class FakeClockSide:
    clock: FakeClock

    def now(self) -> datetime:
        return self.clock.now()

    def advance(self, time: timedelta) -> None:
        self.clock.advance(time)


@dataclass
class StandInClock:
    control: Control

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.control.now(), UTC)

    def advance(self, time: timedelta) -> None:
        self.control.advance(time.total_seconds())


@dataclass
class RealClusterClock:
    """The clock of the controllers in a real cluster that belongs to the tests: KAITO's is the stand-ins',
    and what the others do in real time is waited for.
    """

    cluster: RealCluster

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.cluster.standins.control.now(), UTC)

    def advance(self, time: timedelta) -> None:
        self.cluster.advance(time.total_seconds())


class RealClock:
    """The clock of a real service: it shows, and cannot be moved."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def advance(self, time: timedelta) -> None:
        pytest.skip(f"the clock of a real service cannot be moved by {time}")


class Definitions(Protocol):
    """The definitions of the kinds that a cluster can do without."""

    def remove(self, kind: str) -> None: ...
    def install_all(self) -> None: ...


@dataclass
class FakeDefinitions:
    cluster: FakeCluster

    def remove(self, kind: str) -> None:
        self.cluster.not_served.add(kind)

    def install_all(self) -> None:
        self.cluster.not_served.clear()


@dataclass
class StandInDefinitions:
    control: Control

    def remove(self, kind: str) -> None:
        name = {
            "Workspace": "workspaces.kaito.sh",
            "HTTPRoute": "httproutes.gateway.networking.k8s.io",
            "NodeClaim": "nodeclaims.karpenter.sh",
            "ExternalSecret": "externalsecrets.external-secrets.io",
        }[kind]
        self.control.set_options("kubernetes", not_served=[name])

    def install_all(self) -> None:
        self.control.set_options("kubernetes", not_served=[])


@dataclass
class RealDefinitions:
    """Their versions are not served for a while: an API server that loses a definition loses its objects."""

    cluster: RealCluster

    def remove(self, kind: str) -> None:
        self.cluster.serve(kind, served=False)

    def install_all(self) -> None:
        for kind in DEFINED:
            self.cluster.serve(kind)


class PlatformVault(Protocol):
    """The vault of the providers' keys, as the gateway reads it. A service may write a named value whose
    secret it cannot read, and tell so there, or refuse it.
    """

    def lacks(self, url: str) -> None: ...
    def tells(self) -> None: ...
    def refuses(self) -> None: ...


@dataclass
class FakePlatformVault:
    gateway: FakeGateway

    def lacks(self, url: str) -> None:
        self.gateway.unreadable[url] = "SecretNotFound"

    def tells(self) -> None:
        self.gateway.refuses_unreadable = False

    def refuses(self) -> None:
        self.gateway.refuses_unreadable = True


@dataclass
class StandInPlatformVault:
    """It lacks everything that nobody has put there."""

    control: Control

    def lacks(self, url: str) -> None:
        pass

    def tells(self) -> None:
        self.control.set_options("resource-manager", unreadable_secrets="told")

    def refuses(self) -> None:
        self.control.set_options("resource-manager", unreadable_secrets="refused")


@dataclass(frozen=True)
class Seen:
    """A message as a receiver gets it."""

    message_id: str
    body: bytes
    session: str | None
    properties: dict[str, Any]
    content_type: str


class BusSide(Protocol):
    """The port, and what a receiver of a stage finds waiting in a session (None: in a queue without
    sessions).
    """

    port: Bus

    async def waiting(self, stage: Stage, session: str) -> list[Seen]: ...
    async def dead_letters(self) -> list[Seen]: ...


class FakeBusSide:
    def __init__(self, bus: FakeBus) -> None:
        self.port: Bus = bus
        self._bus = bus

    async def waiting(self, stage: Stage, session: str) -> list[Seen]:
        now = self._bus._clock.now()
        held = self._bus.queues[stage.name]
        return [
            _seen(each.envelope) for each in held if each.envelope.session == session and each.enqueued <= now
        ]

    async def dead_letters(self) -> list[Seen]:
        return [_seen(envelope) for envelope in self._bus.dead_letters()]


def _seen(envelope: OutgoingMessage) -> Seen:
    return Seen(
        envelope.message_id, envelope.body, envelope.session, dict(envelope.properties), envelope.content_type
    )


class RealBusSide:
    """Looks with the real receiver. It peeks, so that a look changes nothing. Receivers are closed together:
    each takes its time.
    """

    def __init__(self, port: Any, connection: str) -> None:
        self.port: Bus = port
        # One certificate store: else the SDK loads it for every receiver.
        trust = ssl.create_default_context()
        self._client = ServiceBusClient.from_connection_string(connection, ssl_context=trust)
        self._receivers: dict[tuple[str, str], Any] = {}

    async def waiting(self, stage: Stage, session: str) -> list[Seen]:
        options: dict[str, Any] = {"session_id": session}
        if (stage.name, session) not in self._receivers:
            on_topic = stage.entity == TOPIC
            make = self._client.get_subscription_receiver if on_topic else self._client.get_queue_receiver
            names = (TOPIC, stage.name) if on_topic else (stage.entity,)
            self._receivers[stage.name, session] = await make(*names, **options).__aenter__()
        messages = await self._receivers[stage.name, session].peek_messages(50)
        return [_read(message) for message in messages if message.state.name == "ACTIVE"]

    async def dead_letters(self) -> list[Seen]:
        async with self._client.get_queue_receiver("dead-letters") as receiver:
            return [_read(message) for message in await receiver.peek_messages(250)]

    async def close(self) -> None:
        await asyncio.gather(*(receiver.close() for receiver in self._receivers.values()))
        await self._client.close()


def _read(message: Any) -> Seen:
    properties = {_text(name): _text(value) for name, value in (message.application_properties or {}).items()}
    return Seen(
        message.message_id, b"".join(message.body), message.session_id, properties, message.content_type
    )


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


async def everywhere(bus: BusSide, session: str) -> dict[str, list[str]]:
    """The ids of what waits in a session, by stage of the topic."""
    stages: Sequence[Stage] = [stage for stage in STAGES if stage.entity == TOPIC]
    found = await asyncio.gather(*(bus.waiting(stage, session) for stage in stages))
    return {stage.name: [seen.message_id for seen in here] for stage, here in zip(stages, found, strict=True)}
