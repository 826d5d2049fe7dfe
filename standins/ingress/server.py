"""From a call to a pod: what the proxy refuses, which rule takes it, where that leads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from standins.ingress import answers, paths, pods
from standins.ingress.forwarding import Sending, forward, headers_for
from standins.ingress.habits import HABITS, Habits, Patience, patience
from standins.ingress.pods import Pod
from standins.ingress.routing import Asked, Chosen, choose
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.proxies import Proxy, proxy_of
from standins.world import Options, World

SERVER = "ingress"
_CANNOT_FIND = "filters that this stand-in does not know"
_KNOWN = ("URLRewrite", "RequestHeaderModifier")


class Server:
    """The proxies of one Gateway behind their load balancer."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        #: The names that were noted for the model servers, by their base URL.
        self._noted: dict[str, str] = {}

    @asynccontextmanager
    async def client(self) -> AsyncIterator[None]:
        """As long as the server runs."""
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(
            connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as self._session:
            # The client would ask again by itself what its protocol lets be asked again.
            self._session._retry_connection = False
            yield

    async def serve(self, request: web.Request) -> web.StreamResponse:
        proxy = self._proxy()
        if proxy is None:
            return _closed(request)
        habits = HABITS[proxy.controller.name]
        body = await request.read()
        if (refused := _refused(habits, request, body)) is not None:
            return refused
        path = paths.read(habits, request.raw_path.partition("?")[0])
        if isinstance(path, paths.Refusal):
            return answers.own(habits, path.status, location=path.location)
        host = request.host.rpartition(":")[0] or request.host
        asked = Asked(request.method, host, path, request.query, CIMultiDict(request.headers))
        chosen = choose(proxy.routes, asked, habits.proxy == "envoy")
        if chosen is None:
            return answers.own(habits, 404)
        path = paths.rewritten(habits, path, chosen.match, chosen.rule)
        if isinstance(path, paths.Refusal):
            return answers.own(habits, path.status, location=path.location)
        return await self._lead(request, proxy, chosen, path)

    async def _lead(
        self, request: web.Request, proxy: Proxy, chosen: Chosen, path: str
    ) -> web.StreamResponse:
        habits = HABITS[proxy.controller.name]
        if unknown := [each["type"] for each in chosen.rule.get("filters", []) if each["type"] not in _KNOWN]:
            self._world.loud(SERVER, f"500 {_CANNOT_FIND}: {', '.join(unknown)}")
            return answers.own(habits, 500)
        pod = pods.find(self._world, self._cluster(), habits, proxy.peer, chosen)
        if not isinstance(pod, Pod):
            return await self._nowhere(habits, pod)
        if pod.loads and (wish := self._options["loading"]) != "called":
            is_bound = wish == "answers"
            loading = answers.loading(request.method, path)
            return loading if is_bound else await self._nowhere(habits, "refused")
        self._note(pod)
        query = request.raw_path.partition("?")[2]
        sending = Sending(
            habits,
            self._scaled(patience(proxy.controller.name, chosen.rule)),
            URL(f"{self._models()}{path}{'?' if query else ''}{query}", encoded=True),
            pod.host,
            headers_for(habits, request, chosen.rule),
            await request.read(),
        )
        assert self._session is not None, "the server runs"
        return await forward(self._session, request, sending)

    async def _nowhere(self, habits: Habits, why: pods.Nowhere) -> web.Response:
        is_nginx = habits.proxy == "nginx"
        if why == "no backend":
            return answers.own(habits, 500)
        if why == "no pod":
            return answers.own(habits, 503, habits.no_pod)
        if why == "blocked":
            await asyncio.sleep(habits.connect * (1 + habits.repeats) * self._options["timeout_scale"])
            return answers.own(habits, 504 if is_nginx else 503, answers.UNREACHED)
        return answers.own(habits, 502 if is_nginx else 503, answers.REFUSED)

    def _scaled(self, found: Patience) -> Patience:
        scale = self._options["timeout_scale"]
        return Patience(found.whole * scale, found.idle * scale)

    def _note(self, pod: Pod) -> None:
        """Tell the model servers what this one serves, unless the test said it."""
        options, place = self._world.options.get("models"), f"{pod.host}/v1"
        if options is None or pod.served is None:
            return
        serves: dict[str, Any] = options["serves"]
        if serves.get(place) in (None, [self._noted.get(place)]) and serves.get(place) != [pod.served]:
            options.change({"serves": {**serves, place: [pod.served]}})
        self._noted[place] = pod.served

    def _proxy(self) -> Proxy | None:
        if "kubernetes" not in self._world.parts:
            return None
        return proxy_of(self._cluster(), self._options["gateway"])

    def _cluster(self) -> Cluster:
        cluster: Cluster = self._world.parts["kubernetes"]
        return cluster

    def _models(self) -> str:
        return self._world.addresses["models"].rstrip("/")


def _refused(habits: Habits, request: web.Request, body: bytes) -> web.Response | None:
    """What the proxy takes from nobody."""
    if habits.underscores == "refused" and any("_" in name for name in request.headers):
        return answers.own(habits, 400)
    if habits.body and len(body) > habits.body:
        return answers.own(habits, 413)
    return None


def _closed(request: web.Request) -> web.StreamResponse:
    """Nothing listens: the connection is closed without an answer."""
    if request.transport is not None:
        request.transport.close()
    return web.Response(status=503)
