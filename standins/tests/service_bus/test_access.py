"""Who may do what at the Service Bus stand-in, driven by azure-servicebus over a socket: keys, tokens,
roles.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from azure.core.credentials import AccessToken, AzureSasCredential
from azure.servicebus import ServiceBusClient as BlockingClient
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient, ServiceBusSender
from azure.servicebus.exceptions import (
    ServiceBusAuthenticationError,
    ServiceBusAuthorizationError,
    ServiceBusError,
)

from standins import identity
from standins.roles import role_assignments
from standins.service_bus.access import signature
from standins.tests.service_bus.room import (
    QUEUE,
    TRUST,
    Namespace,
    Plain,
    connection_string,
    one,
    room,
    text,
)

AUDIENCE = "https://servicebus.azure.net"
DATA_SENDER = "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"
namespace, line, ordered = room(plain=6, ordered=0, queues={"idle": QUEUE, "idle-too": QUEUE})


class Credential:
    """A token of the identity stand-in, or any other."""

    def __init__(self, token: str) -> None:
        self._token = token

    async def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        assert scopes == ("https://servicebus.azure.net//.default",)
        return AccessToken(self._token, int(time.time()) + 3600)

    async def close(self) -> None: ...

    async def __aenter__(self) -> Credential:
        return self

    async def __aexit__(self, *_: object) -> None: ...


async def token(namespace: Namespace, audience: str = AUDIENCE, client: str = "app") -> str:
    query = {"resource": audience, "api-version": "2019-08-01", "client_id": client}
    async with TestClient(TestServer(identity.build(namespace.world))) as http:
        answer = await http.get(
            "/msi/token", params=query, headers={"X-IDENTITY-HEADER": identity.IDENTITY_HEADER}
        )
        return str((await answer.json())["access_token"])


def with_token(namespace: Namespace, token: str) -> ServiceBusClient:
    return _client(namespace, Credential(token))


def with_key(namespace: Namespace, name: str, key: str) -> ServiceBusClient:
    return ServiceBusClient.from_connection_string(
        connection_string(namespace.port, name, key), retry_total=0, ssl_context=TRUST
    )


def with_signature(namespace: Namespace, path: str, until: float) -> ServiceBusClient:
    signed = signature(f"sb://127.0.0.1:{namespace.port}/{path}", int(until), "local", "local")
    return _client(namespace, AzureSasCredential(signed))


def _client(namespace: Namespace, credential: Any) -> ServiceBusClient:
    return ServiceBusClient(
        f"127.0.0.1:{namespace.port}", credential, use_tls=False, retry_total=0, ssl_context=TRUST
    )


async def refused(client: ServiceBusClient, queue: str) -> type[BaseException] | None:
    """What opening a sender raises."""
    sender = client.get_queue_sender(queue)
    try:
        await sender.__aenter__()
    except ServiceBusError as error:
        return type(error)
    finally:
        await asyncio.gather(sender.close(), client.close())
    return None


async def test_a_token_of_the_app_is_good(namespace: Namespace, line: Plain) -> None:
    sender = with_token(namespace, await token(namespace)).get_queue_sender(line.name)
    await namespace.open(sender)
    await sender.send_messages(ServiceBusMessage("with a token"))
    assert text(await line.receive()) == "with a token"


async def test_keys_and_tokens_that_are_not_good_open_nothing(namespace: Namespace) -> None:
    now = time.time()
    clients = {
        "another key": with_key(namespace, "local", "guessed"),
        "an unknown key": with_key(namespace, "nobody", "local"),
        "no token at all": with_token(namespace, "any"),
        "for another service": with_token(namespace, await token(namespace, "https://vault.azure.net")),
        "forged": with_token(namespace, (await token(namespace))[:-4] + "AAAA"),
        "expired": with_signature(namespace, "idle", now - 10),
        "for another queue": with_signature(namespace, "idle-too", now + 60),
        "for a queue that begins alike": with_signature(namespace, "idl", now + 60),
    }
    kinds = await asyncio.gather(*(refused(client, "idle") for client in clients.values()))
    assert dict(zip(clients, kinds, strict=True)) == dict.fromkeys(clients, ServiceBusAuthenticationError)


async def test_a_signature_for_the_namespace_is_good_for_its_queues(namespace: Namespace) -> None:
    until = time.time() + 60
    assert await asyncio.gather(
        *(refused(with_signature(namespace, path, until), "idle") for path in ("", "idle"))
    ) == [None, None]


async def test_a_key_allows_what_its_claims_say(namespace: Namespace, line: Plain) -> None:
    keys = {name: {"key": "k", "claims": [name]} for name in ("Send", "Listen")}
    with namespace.changed(shared_access_keys=keys):
        sending, listening = with_key(namespace, "Send", "k"), with_key(namespace, "Listen", "k")
        sender, receiver = sending.get_queue_sender(line.name), listening.get_queue_receiver(line.name)
        await namespace.open(sender, receiver)
        await sender.send_messages(ServiceBusMessage("for the listener"))
        assert text(await one(receiver)) == "for the listener"
        forbidden: list[Any] = [
            listening.get_queue_sender(line.name),
            sending.get_queue_receiver(line.name),
        ]
        results = await asyncio.gather(*(link.__aenter__() for link in forbidden), return_exceptions=True)
    assert [type(result) for result in results] == [ServiceBusAuthorizationError] * 2
    assert "Unauthorized access. 'Send' claim(s) are required to perform this operation." in str(results[0])


async def test_with_roles_checked_a_principal_needs_one_where_it_goes(
    namespace: Namespace, line: Plain
) -> None:
    scope = (
        f"/subscriptions/s/resourceGroups/g/providers/Microsoft.ServiceBus/namespaces/bus/queues/{line.name}"
    )
    client = with_token(namespace, await token(namespace, client="clerk"))
    row = {
        "roleDefinitionId": f"/roleDefinitions/{DATA_SENDER}",
        "principalId": identity.principal("clerk"),
        "scope": scope,
    }
    role_assignments(namespace.world)["clerk"] = {"properties": row}
    with namespace.changed(check_roles=True):
        sender = client.get_queue_sender(line.name)
        await namespace.open(sender)
        await sender.send_messages(ServiceBusMessage("by the clerk"))
        forbidden: list[Any] = [client.get_queue_receiver(line.name), client.get_queue_sender("idle")]
        results = await asyncio.gather(*(link.__aenter__() for link in forbidden), return_exceptions=True)
    assert [type(result) for result in results] == [ServiceBusAuthorizationError] * 2


async def send_for_ever(sender: ServiceBusSender) -> None:
    async with asyncio.timeout(300):
        while True:
            await sender.send_messages(ServiceBusMessage("in time"))


async def opened_for_a_moment(namespace: Namespace, line: Plain) -> ServiceBusSender:
    """With a token that is good a little longer than it takes to open the link, which depends on how busy the
    machine is.
    """
    for seconds in (1.7, 5.0, 20.0):
        sender = with_signature(namespace, "", time.time() + seconds).get_queue_sender(line.name)
        with suppress(ServiceBusError):
            await namespace.open(sender)
            return sender
    pytest.fail("the link was never open before its token ended")


async def test_a_link_ends_with_the_token_that_opened_it(namespace: Namespace, line: Plain) -> None:
    sender = await opened_for_a_moment(namespace, line)
    with pytest.raises(ServiceBusError):
        await send_for_ever(sender)


async def test_the_blocking_client_is_served_too(namespace: Namespace) -> None:
    def exchange() -> str:
        client = BlockingClient.from_connection_string(connection_string(namespace.port))
        with (
            client,
            client.get_queue_sender("idle-too") as sender,
            client.get_queue_receiver("idle-too") as receiver,
        ):
            sender.send_messages(ServiceBusMessage("blocking"))
            [message] = receiver.receive_messages(1, max_wait_time=120)
            receiver.complete_message(message)
            return text(message)

    assert await asyncio.to_thread(exchange) == "blocking"
