"""Who may call which server, and what no call may carry: keys of teams, credentials of clients, tokens meant
for another provider.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from standins.http import Handler
from standins.identity import InvalidToken, principal, verify
from standins.models.openai.asked import error
from standins.models.vllm.server import place_of
from standins.world import Options, World

#: Client id of the identity whose tokens Azure's hosts take: the gateway's.
GATEWAY = "api-management"
AUDIENCE = "https://cognitiveservices.azure.com"
_AZURE = re.compile(r".+\.(openai\.azure\.com|services\.ai\.azure\.com|cognitiveservices\.azure\.com)")
_SAFETY_KEY = "Ocp-Apim-Subscription-Key"
_NEVER = ("api-key", "x-api-key", "Cookie")
_NEVER_IN_QUERY = ("api-key", "subscription-key")


class Callers:
    """Checks every call and remembers what was wrong; what it remembers holds no secret."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._findings: list[dict[str, str]] = []
        self._served: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()

    def guard(self) -> Middleware:
        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            base = f"{request.host}/{request.match_info.get('base', '')}".rstrip("/")
            if found := self._intruder(request):
                self._findings.append({"server": base, "what": found})
                self._world.loud("models", f"finding at {base}: {found}")
                if place_of(self._options, request) is None:
                    return error(500, "finding", found)
            if (refused := self._unknown(request)) is not None:
                return refused
            self._served[base] += 1
            return await handler(request)

        return check

    def report(self) -> dict[str, Any]:
        return {
            "findings": list(self._findings),
            "served": dict(self._served),
            "unread": dict(self._unread),
        }

    def forget(self) -> None:
        self._findings.clear()
        self._served.clear()
        self._unread.clear()

    def left(self, host: str) -> None:
        """An event of a stream was written for a client that is no longer there."""
        self._unread[host] += 1

    def _intruder(self, request: web.Request) -> str | None:
        """What the call must not carry."""
        for name in _NEVER:
            if name in request.headers:
                return f"the header {name} arrived"
        for name in _NEVER_IN_QUERY:
            if name in {given.lower() for given in request.query}:
                return f"the query parameter {name} arrived"
        if _SAFETY_KEY in request.headers and "/contentsafety/" not in request.path:
            return f"the header {_SAFETY_KEY} arrived"
        if "Authorization" in request.headers and not self._expects_authorization(request):
            return "the header Authorization arrived at a server that needs none"
        return None

    def _expects_authorization(self, request: web.Request) -> bool:
        return request.host in self._options["credentials"] or (
            _is_azure(request) and "/contentsafety/" not in request.path
        )

    def _unknown(self, request: web.Request) -> web.Response | None:
        """401 for a caller that is not the one that the server knows."""
        given, wanted = request.headers.get("Authorization"), self._options["credentials"].get(request.host)
        if "/contentsafety/" in request.path:
            return (
                None
                if request.headers.get(_SAFETY_KEY) == wanted
                else error(401, "401", "Access denied due to invalid subscription key.")
            )
        if wanted is not None:
            return (
                None
                if given == f"Bearer {wanted}"
                else error(401, "invalid_api_key", "Incorrect API key provided.")
            )
        if not _is_azure(request):
            return None
        try:
            claims = verify(self._world, given, (AUDIENCE,))
        except InvalidToken as invalid:
            return error(
                401,
                "Unauthorized",
                f"Access token is missing, invalid, audience is incorrect, or have expired: {invalid}.",
            )
        return (
            None
            if claims["oid"] == principal(GATEWAY)
            else error(401, "PermissionDenied", "The principal lacks the required data action.")
        )


def _is_azure(request: web.Request) -> bool:
    return _AZURE.fullmatch(request.host) is not None
