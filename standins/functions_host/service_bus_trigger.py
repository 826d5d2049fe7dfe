"""Service Bus functions: receivers that wait for messages, call the function, and settle.

How a message reaches its function fast with azure-servicebus 7.15 (`aio`):

- Opening a receiver costs about 0.45 s, since the SDK sleeps 50 ms after each of the eight frames that open a
  connection, authenticate (`$cbs`) and attach a link. So receivers are opened ahead and wait: for "the next
  available session" the broker holds the attach until a session has a message, which leaves one such sleep
  (50 ms) between message and function.
- Closing sleeps up to a second in the SDK's keep-alive, after the session has been given back: nobody waits
  for it.
- A receiver has one lock for reading and writing its socket, so each works on one message at a time.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import time
from collections.abc import Iterable
from typing import Any

from azure.core.exceptions import ClientAuthenticationError
from azure.identity.aio import DefaultAzureCredential
from azure.servicebus import NEXT_AVAILABLE_SESSION, ServiceBusReceivedMessage, ServiceBusSubQueue
from azure.servicebus.aio import AutoLockRenewer, ServiceBusClient, ServiceBusReceiver
from azure.servicebus.exceptions import OperationTimeoutError, ServiceBusError

from standins.functions_host import conversion
from standins.functions_host.index import SERVICE_BUS, Function, triggered
from standins.functions_host.invocation import Invoker
from standins.functions_host.options import HostError, Options

log = logging.getLogger(__name__)

_DEAD_LETTERS = "/$deadletterqueue"
#: Seconds for which the broker holds an attach until a session comes. A range, so that receivers do not all
#: reopen at the same time.
_ACCEPT = (45.0, 65.0)
#: Seconds between attempts after an error, doubled up to the second number.
_PAUSE = (0.5, 15.0)


class Connections:
    """One client per connection setting, and one certificate store for all: loading it anew costs each
    receiver 17 ms of CPU.
    """

    def __init__(self) -> None:
        self._clients: dict[str, ServiceBusClient] = {}
        self._credential: DefaultAzureCredential | None = None
        self._trust = ssl.create_default_context()

    def client(self, setting: str) -> ServiceBusClient:
        """The client for `<setting>` (a connection string) or `<setting>__fullyQualifiedNamespace` (with the
        app's identity).

        Raises HostError when neither is set.
        """
        if setting not in self._clients:
            self._clients[setting] = self._connect(setting)
        return self._clients[setting]

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()
        if self._credential is not None:
            await self._credential.close()

    def _connect(self, setting: str) -> ServiceBusClient:
        # The loops below try again by themselves; the SDK's own retries would keep a slot from accepting for
        # seconds.
        options: dict[str, Any] = {"retry_total": 0, "ssl_context": self._trust}
        if text := os.environ.get(setting):
            return ServiceBusClient.from_connection_string(text, **options)
        namespace = os.environ.get(f"{setting}__fullyQualifiedNamespace")
        if not namespace:
            raise HostError(
                f"the setting {setting} or {setting}__fullyQualifiedNamespace is missing: a Service Bus "
                "trigger names it"
            )
        if self._credential is None:
            self._credential = DefaultAzureCredential(
                managed_identity_client_id=os.environ.get(f"{setting}__clientId")
            )
        # A namespace in Azure has no port: one with a port is a broker on this machine, without TLS.
        return ServiceBusClient(namespace, self._credential, use_tls=":" not in namespace, **options)


class Listener:
    """The receivers of one function. Each works on one message at a time; there are never more than the limit
    in `host.json`.

    With sessions all receivers are opened at once, since each takes one session. Without, one waits, and
    another is opened when all work.
    """

    def __init__(
        self, function: Function, client: ServiceBusClient, invoker: Invoker, options: Options
    ) -> None:
        self._function = function
        self._client = client
        self._invoker = invoker
        self._options = options
        self._binary = str(function.trigger.get("dataType")).upper() == "BINARY"
        self._sessions = bool(function.trigger.get("isSessionsEnabled"))
        self._limit = options.max_sessions if self._sessions else options.max_calls
        self._renewer = AutoLockRenewer(max_lock_renewal_duration=options.max_lock_renewal)
        self._slots: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._stopping = False

    def start(self) -> None:
        for _ in range(self._limit if self._sessions else 1):
            self._add_slot()

    async def stop(self, seconds: float) -> None:
        """Accept nothing more, let what runs end within so many seconds, and give the rest back to the
        broker.
        """
        self._stopping = True
        until = time.monotonic() + seconds
        while self._slots:
            for slot in self._slots - self._busy if time.monotonic() < until else set(self._slots):
                slot.cancel()
            # Told again and again, since `asyncio.wait_for`, which the SDK is full of, loses a cancellation
            # now and then (Python 3.11).
            await asyncio.wait(self._slots, timeout=0.3)
        await asyncio.gather(*self._closing, return_exceptions=True)
        await self._renewer.close()

    def _add_slot(self) -> None:
        slot = asyncio.create_task(self._work())
        self._slots.add(slot)
        slot.add_done_callback(self._slots.discard)

    async def _work(self) -> None:
        pause = _PAUSE[0]
        while not self._stopping:
            try:
                await (self._serve_session() if self._sessions else self._serve_calls())
                pause = _PAUSE[0]
            except OperationTimeoutError:  # no session had a message for a while
                continue
            # a slot outlives whatever the SDK raises: broken sockets surface in many types
            except Exception as error:
                log.warning("%s: receiving failed: %s: %s", self._function.name, type(error).__name__, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _PAUSE[1])

    async def _serve_session(self) -> None:
        """Take the next session that has messages, and keep it until it is idle or its lock is no longer
        renewed.
        """
        receiver = self._receiver(session_id=NEXT_AVAILABLE_SESSION, max_wait_time=random.uniform(*_ACCEPT))
        try:
            await receiver.__aenter__()
            until = time.monotonic() + self._options.max_lock_renewal
            while not self._stopping and time.monotonic() < until:
                messages = await receiver.receive_messages(1, max_wait_time=self._options.session_idle)
                if not messages:
                    return
                await self._handle(receiver, messages[0])
        finally:
            self._close(receiver)

    async def _serve_calls(self) -> None:
        receiver = self._receiver()
        try:
            while not self._stopping:
                for received in await receiver.receive_messages(1, max_wait_time=60):
                    await self._handle(receiver, received)
        finally:
            self._close(receiver)

    async def _handle(self, receiver: ServiceBusReceiver, received: ServiceBusReceivedMessage) -> None:
        slot = asyncio.current_task()
        assert slot is not None
        self._busy.add(slot)
        if not self._sessions and len(self._busy) == len(self._slots) < self._limit:
            self._add_slot()
        try:
            await self._settle(receiver, received, await self._succeeds(received))
        finally:
            self._busy.discard(slot)

    async def _succeeds(self, received: ServiceBusReceivedMessage) -> bool:
        try:
            await self._invoker.run(self._function, conversion.message(received, binary=self._binary))
        except Exception:  # the function's own error: the invoker has logged it, the broker delivers again
            return False
        return True

    async def _settle(
        self, receiver: ServiceBusReceiver, received: ServiceBusReceivedMessage, succeeded: bool
    ) -> None:
        try:
            if not succeeded:
                await receiver.abandon_message(received)
            elif self._function.trigger.get("autoCompleteMessages", self._options.auto_complete):
                await receiver.complete_message(received)
        except (ServiceBusError, ClientAuthenticationError) as error:
            log.warning(
                "%s: a message could not be settled and will come again: %s",
                self._function.name,
                type(error).__name__,
            )

    def _receiver(self, **options: Any) -> ServiceBusReceiver:
        trigger = self._function.trigger
        options |= {"auto_lock_renewer": self._renewer, "prefetch_count": self._options.prefetch}
        name = str(trigger.get("queueName") or trigger["subscriptionName"])
        if name.lower().endswith(_DEAD_LETTERS):
            name, options["sub_queue"] = name[: -len(_DEAD_LETTERS)], ServiceBusSubQueue.DEAD_LETTER
        if "queueName" in trigger:
            return self._client.get_queue_receiver(name, **options)
        return self._client.get_subscription_receiver(trigger["topicName"], name, **options)

    def _close(self, receiver: ServiceBusReceiver) -> None:
        closing = asyncio.create_task(receiver.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


class ServiceBusTriggers:
    """The listeners of all Service Bus functions. Raises HostError when the setting of a connection is
    missing.
    """

    def __init__(self, functions: Iterable[Function], invoker: Invoker, options: Options) -> None:
        self._connections = Connections()
        self._listeners = [
            Listener(function, self._connections.client(function.trigger["connection"]), invoker, options)
            for function in triggered(functions, SERVICE_BUS)
        ]

    def start(self) -> None:
        for listener in self._listeners:
            listener.start()

    async def stop(self, seconds: float) -> None:
        await asyncio.gather(*(listener.stop(seconds) for listener in self._listeners))
        await self._connections.close()
