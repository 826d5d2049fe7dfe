"""What the policies of one gateway work with: what is provisioned, counters, backends, tokens, a client for
HTTP.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from standins.gateway.backends import Backends, Target
from standins.gateway.cache import SemanticCache
from standins.gateway.certificates import Certificates
from standins.gateway.compiler import compile_fragment, compile_policy
from standins.gateway.context import Policy, Step
from standins.gateway.counters import Counters
from standins.gateway.exchange import Failure, NoAnswer
from standins.identity import IDENTITY_HEADER
from standins.resource_manager.arm import SERVER as RESOURCE_MANAGER
from standins.resource_manager.state import State
from standins.world import Options, World

SERVER = "gateway"
#: As whom the gateway asks for tokens: the client id of API Management's own identity.
IDENTITY = "api-management"
#: Lines of the log and metrics that are kept; the older ones are forgotten.
_KEPT = 20_000
#: Seconds before a token expires from which it is no longer used.
_SPARE = 300


class Facilities:
    """One per gateway. `service` is the id of the API Management service that it belongs to."""

    def __init__(self, world: World, options: Options) -> None:
        self.world = world
        self.options = options
        self.state: State = world.parts[RESOURCE_MANAGER] if RESOURCE_MANAGER in world.parts else State(world)
        self.counters = Counters(world.clock)
        self.backends = Backends(world, self.state)
        self.certificates = Certificates(world.folder)
        self.cache = SemanticCache(world.clock)
        self.metrics: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self.log: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._compiled: dict[tuple[str, str], tuple[str, Any]] = {}
        self._tokens: dict[str, tuple[float, str]] = {}
        self._session: aiohttp.ClientSession | None = None

    @property
    def service(self) -> str:
        return str(self.options["service"])

    @asynccontextmanager
    async def client(self) -> AsyncIterator[None]:
        """As long as the server runs."""
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as self._session:
            yield

    def policy(self, scope: str) -> Policy | None:
        """That of the service, a product, an API or an operation, by its id; None when it has none."""
        row = self.state.policies.get(f"{scope}/policies/policy")
        if row is None:
            return None
        kept = self._compiled.get((row["id"], ""))
        if kept is None or kept[0] != row["etag"]:
            kept = self._compiled[row["id"], ""] = (row["etag"], compile_policy(row["properties"]["value"]))
        policy: Policy = kept[1]
        return policy

    def fragment(self, name: str, place: str) -> tuple[Step, ...]:
        row = self.state.fragments.get(f"{self.service}/policyFragments/{name}")
        if row is None:
            raise Failure(500, "Internal server error")
        kept = self._compiled.get((row["id"], place))
        if kept is None or kept[0] != row["etag"]:
            kept = self._compiled[row["id"], place] = (
                row["etag"],
                compile_fragment(row["properties"]["value"], place),
            )
        steps: tuple[Step, ...] = kept[1]
        return steps

    async def wait(self, seconds: float) -> None:
        await self.world.clock.sleep(seconds)

    async def call(
        self, target: Target, method: str, route: str, sent: tuple[CIMultiDict[str], bytes]
    ) -> aiohttp.ClientResponse:
        """Ask a backend. Its host is looked up among the options and the stand-ins; by default it is a model
        server. Raises NoAnswer when it does not answer.
        """
        base = self.options["hosts"].get(target.host) or self._stands_for(target.host)
        if base is None:
            raise _no_answer("BackendConnectionFailure")
        headers, body = sent
        headers["Host"] = target.host
        url = URL(f"{base.rstrip('/')}{target.path}{route}", encoded=True)
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=10, sock_read=self.options["timeout_seconds"]
        )
        identity = self.certificates.context(self.backends.certificate(target))
        started, status, retry_after, reason = self.world.clock.now(), 0, None, ""
        try:
            answer = await self._open.request(
                method, url, data=body, headers=headers, allow_redirects=False, timeout=timeout, ssl=identity
            )
            status, retry_after = answer.status, answer.headers.get("Retry-After")
            return answer
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = "Timeout" if isinstance(error, TimeoutError) else "BackendConnectionFailure"
            self.world.loud(
                SERVER,
                f"{target.name} did not answer in {self.world.clock.now() - started:.1f} s: "
                f"{type(error).__name__}",
            )
            raise _no_answer(reason) from error
        finally:
            self.backends.note(target, status, retry_after, reason)

    def _stands_for(self, host: str) -> str | None:
        """The base URL of the stand-in for a host: that of the cluster's Gateway is known by its address."""
        addresses = self.world.addresses
        is_ingress = host == urlsplit(addresses.get("ingress", "")).netloc
        return addresses.get("ingress" if is_ingress else "models")

    async def token(self, resource: str) -> str:
        """A token of the gateway's own identity."""
        expires, token = self._tokens.get(resource, (0.0, ""))
        if expires - _SPARE > time.time():
            return token
        query = {"resource": resource, "api-version": "2019-08-01", "client_id": IDENTITY}
        url = f"{self.world.addresses['identity']}/msi/token"
        async with self._open.get(
            url, params=query, headers={"X-IDENTITY-HEADER": IDENTITY_HEADER}
        ) as answer:
            if answer.status != 200:
                raise Failure(500, "Internal server error")
            found = await answer.json()
        self._tokens[resource] = (float(found["expires_on"]), found["access_token"])
        return str(found["access_token"])

    def report(self) -> dict[str, Any]:
        """The log, the metrics that policies emitted, and the backends whose breakers have tripped."""
        return {"log": list(self.log), "metrics": list(self.metrics), "tripped": self.backends.tripped()}

    def forget(self) -> None:
        """That, and all counts, breakers and kept answers."""
        for kept in (self.metrics, self.log, self.counters, self.cache, self.backends):
            kept.clear() if isinstance(kept, deque) else kept.forget()
        self._tokens.clear()

    @property
    def _open(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the server runs"
        return self._session


def _no_answer(reason: str) -> NoAnswer:
    return NoAnswer(500, "Internal server error", reason=reason)
