"""A Service Bus namespace over AMQP 1.0, for azure-servicebus on one machine.

What works: sending (single, batch, scheduled), peek-lock and receive-and-delete, sessions with state, dead-letter queues, deferral,
peek, duplicate detection, topics with correlation rules. Everything else is refused.

Where it differs from the service on purpose:

- When a connection breaks, the sessions it held are free at once, so that a host that was killed need not wait for the lock to expire.
  Locks of single messages stay until they expire, as in the service.
- After a restart nothing is locked; the deliveries that were under way do not count.
- Every token is accepted.
- Messages do not expire (no time to live).
- A message in a dead-letter queue has a new sequence number; it keeps its enqueued time and its delivery count.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from standins.service_bus.broker import Broker
from standins.service_bus.connection import Connection
from standins.service_bus.entries import Environment, Storage
from standins.service_bus.operations import SERVER, Operations
from standins.world import World


async def serve(world: World, listener: socket.socket, entities: dict[str, Any]) -> asyncio.Server:
    """Serve the declared entities (see infra/service-bus.json) on a listening socket; the state is that of the world's folder."""
    broker = Broker(Environment(world.clock, Storage(world.store(SERVER))), entities)
    operations = Operations(world, broker)
    return await asyncio.get_running_loop().create_server(lambda: Connection(operations), sock=listener)
