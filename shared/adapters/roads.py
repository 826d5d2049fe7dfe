"""The roads to workspaces: `GET /v1/models` at the address that API Management calls, as a caller without
credentials.

https://github.com/vllm-project/vllm/blob/v0.25.1/docs/serving/openai_compatible_server.md

What is told apart is whether a server of the Gateway was reached at all, and what it answered. Nothing that
goes wrong here is an error of the app: every end is an answer.

Where the workers do not reach the Gateway, API Management can ask in their place, by an API of its own with
this one operation (infra/roads.json).
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from shared.adapters.answers import limited, origin
from shared.calls import counted
from shared.errors import MergekeyError, Unavailable
from shared.gateway_api.road import NotReached, RoadAnswer, Served, Unserved
from shared.names import ROADS
from shared.secret import SecretValue

if TYPE_CHECKING:
    import aiohttp

SYSTEM = "Workspaces"
#: Seconds for a whole answer, bytes of it, and roads that are asked at the same time.
TIMEOUT, MAX_ANSWER_BYTES, CONCURRENCY = 5.0, 64 * 1024, 8
#: In which API Management takes the key, and what its API says of each answer (infra/roads.json).
KEY_HEADER, SIGN = "api-key", "mergekey-road"
#: Headers of each request. A packed body could be larger than it says.
_HEADERS = {"User-Agent": "mergekey", "Accept": "application/json", "Accept-Encoding": "identity"}


class _NoCertificate(Exception):
    """The client certificate of the settings cannot be used; the message says why."""


class WorkspaceRoads:
    """`ingress_url` is the address of the cluster's Gateway: no other host is asked. `certificate` is the
    client certificate with its key, as PEM, that is shown to it; None for none.
    """

    def __init__(self, ingress_url: str, certificate: SecretValue | None = None) -> None:
        self._ingress = ingress_url
        self._certificate = certificate
        self._semaphore = asyncio.Semaphore(CONCURRENCY)

    async def ask(self, url: str) -> RoadAnswer:
        """`shared.cluster_ports.Roads.ask`"""
        if origin(url) != origin(self._ingress):
            return NotReached("it is not at the address of the cluster's Gateway")
        async with self._semaphore:
            try:
                return await self._ask(f"{url}/models")
            except _NoCertificate as error:
                return NotReached(str(error))

    async def _ask(self, url: str, headers: Mapping[str, str] | None = None) -> RoadAnswer:
        """A connection of its own for each question: one that was kept could have been closed at its other
        end, which says nothing of the road.
        """
        import aiohttp

        connected = list[bool]()
        connector = aiohttp.TCPConnector(ssl=self._context, force_close=True)
        with counted(SYSTEM, "GET") as call:
            try:
                async with (
                    aiohttp.ClientSession(
                        connector=connector,
                        timeout=aiohttp.ClientTimeout(total=TIMEOUT),
                        trace_configs=[_noting(connected)],
                        auto_decompress=False,
                    ) as session,
                    session.get(
                        url, headers={**_HEADERS, **(headers or {})}, allow_redirects=False
                    ) as response,
                ):
                    call.answered(response.status)
                    return await self._read(response)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                is_tls = origin(url)[0] == "https"
                return _without_answer(error, is_tls=is_tls, is_connected=bool(connected))

    async def _read(self, response: aiohttp.ClientResponse) -> RoadAnswer:
        return await _read(response)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._certificate is not None:
            _show(context, self._certificate)
        return context


class RoadsByGateway(WorkspaceRoads):
    """The same through API Management at `gateway_url`, with the key of a subscription that opens nothing but
    this question. `keys` reads the two of a subscription; the first is kept in memory alone, and read anew
    when it is refused. `ingress_url` is the address of the cluster's Gateway, as API Management reaches it.
    """

    def __init__(
        self, gateway_url: str, ingress_url: str, keys: Callable[[str], Awaitable[tuple[SecretValue, ...]]]
    ) -> None:
        super().__init__(gateway_url)
        self._own = f"{gateway_url.rstrip('/')}/{ROADS}"
        self._cluster = ingress_url.rstrip("/")
        self._keys = keys
        self._key: SecretValue | None = None

    async def ask(self, url: str) -> RoadAnswer:
        """`shared.cluster_ports.Roads.ask`"""
        if not url.startswith(f"{self._cluster}/"):
            return NotReached("it is not at the address of the cluster's Gateway")
        async with self._semaphore:
            try:
                key = self._key = self._key or (await self._keys(ROADS))[0]
            except MergekeyError as error:
                return NotReached(f"the key of the subscription {ROADS} cannot be read: {error.reason}")
            return await self._ask(
                f"{self._own}{url.removeprefix(self._cluster)}/models", {KEY_HEADER: key.reveal()}
            )

    async def _read(self, response: aiohttp.ClientResponse) -> RoadAnswer:
        """Only answers of our API carry its header: others say nothing of a road."""
        if response.status == 401:
            self._key = None
            return NotReached(f"API Management refuses the key of the subscription {ROADS}")
        if response.headers.get(SIGN) == "asked":
            return await super()._read(response)
        return NotReached(f"API Management did not ask it: status {response.status} without {SIGN}")


def _noting(connected: list[bool]) -> aiohttp.TraceConfig:
    """Appends to the list when a connection was made, with TLS where the address says so."""
    import aiohttp

    async def note(*_: Any) -> None:
        connected.append(True)

    config = aiohttp.TraceConfig()
    config.on_connection_create_end.append(note)
    return config


async def _read(response: aiohttp.ClientResponse) -> RoadAnswer:
    import aiohttp

    if response.status != 200:
        return Unserved(response.status)
    try:
        body = await limited(SYSTEM, response.content, MAX_ANSWER_BYTES)
    except Unavailable:
        return Unserved(response.status, "another server than a model's: its answer is too long")
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Unserved(response.status, "its answer has no end")
    names = _names(body)
    return Unserved(response.status, "another server than a model's") if names is None else Served(names)


def _names(body: bytes) -> tuple[str, ...] | None:
    """The models in the answer; None for another answer."""
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return None
    rows = read.get("data") if isinstance(read, dict) else None
    if not isinstance(rows, list):
        return None
    ids = (row.get("id") for row in rows if isinstance(row, dict))
    return tuple(each for each in ids if isinstance(each, str))


def _without_answer(error: Exception, *, is_tls: bool, is_connected: bool) -> RoadAnswer:
    """A server that is connected and says nothing is at fault. One that ends TLS talks to others only: with
    TLS 1.3 it refuses a client after the handshake, and asyncio shows only that the connection was closed.
    """
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return NotReached("the workers do not trust the certificate of its server")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return NotReached("its name is not known here")
    if isinstance(error, TimeoutError):
        told = f"no answer within {TIMEOUT:.0f} seconds"
        return Unserved(None, told) if is_connected else NotReached(f"no connection, {told}")
    is_open = is_connected or _was_reset(error)
    if is_tls and is_open:
        return NotReached("its server ends the connection: does it ask for another client certificate?")
    if not is_open:
        return NotReached("no connection")
    return Unserved(None, "the connection was closed before the answer")


def _was_reset(error: Exception) -> bool:
    """Whether there was a connection, which ended before TLS was agreed upon."""
    import aiohttp

    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return isinstance(cause, ConnectionResetError | ssl.SSLError)


def _show(context: ssl.SSLContext, certificate: SecretValue) -> None:
    """Let the context show a client certificate. Python's ssl reads certificates from files only, and this
    one must not be written to a disk: the file is in memory.
    """
    if not hasattr(os, "memfd_create"):
        raise _NoCertificate("this system keeps no files in memory, so the client certificate is not read")
    file = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        os.write(file, certificate.reveal().encode())
        context.load_cert_chain(f"/dev/fd/{file}", password="")
    except (ssl.SSLError, OSError):
        raise _NoCertificate("WORKSPACE_CLIENT_CERTIFICATE is no certificate with its key (PEM)") from None
    finally:
        os.close(file)
