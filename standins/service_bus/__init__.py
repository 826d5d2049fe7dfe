"""A Service Bus namespace over AMQP 1.0, for azure-servicebus on one machine.

What works: sending (single, batch, scheduled), peek-lock and receive-and-delete, sessions with state,
dead-letter queues, deferral, peek, duplicate detection, time to live, quotas, topics with correlation rules,
tokens. Everything else is refused. Which entities there are says the file of entities that `serve` is given;
nothing on the wire changes that.

`OPTIONS` says how it can be made to behave. Beyond the wire it does as it likes in two things: after a
restart nothing is locked and the deliveries that were under way do not count, and a message in a dead-letter
queue has a new sequence number.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from standins.service_bus.access import ALL
from standins.service_bus.broker import Broker
from standins.service_bus.connection import Connection
from standins.service_bus.entity import Environment
from standins.service_bus.operations import SERVER, Operations
from standins.service_bus.storage import Storage
from standins.world import World

#: `sessions_freed_on_disconnect`: the service notices a broken connection and frees its sessions at once
#: (seen in https://github.com/Azure/azure-service-bus/issues/694); without it they stay locked until the lock
#: expires, as after a network that went silent. `check_roles`: an Entra token counts only with a role of
#: Service Bus (assigned in Resource Manager). `tier`: `standard` or `premium`, which is how large a message
#: may be. `shared_access_keys`: name -> key and claims of a connection string. `idle_senders_closed_after`:
#: seconds of the clock, 600 in the service; None, so that a clock that is moved by hours disturbs nobody.
OPTIONS: dict[str, Any] = {
    "sessions_freed_on_disconnect": True,
    "check_roles": False,
    "tier": "standard",
    "idle_senders_closed_after": None,
    "shared_access_keys": {"local": {"key": "local", "claims": ALL}},
}


async def serve(world: World, listener: socket.socket, entities: dict[str, Any]) -> asyncio.Server:
    """Serve the declared entities (see infra/service-bus.json) on a listening socket; the state is that of
    the world's folder.
    """
    storage = Storage(world.folder / f"{SERVER}.sqlite")
    environment = Environment(world.clock, storage, world.options_of(SERVER, OPTIONS))
    operations = Operations(world, Broker(environment, entities))
    return await asyncio.get_running_loop().create_server(lambda: Connection(operations), sock=listener)
