"""The call of the pod: its headers, its time, and its answer as it comes."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from standins.ingress.answers import DISCONNECTED, TIMED_OUT, own
from standins.ingress.habits import Habits, Patience
from standins.kubernetes.kinds import Object

#: Headers that belong to a connection, not to a message.
_OF_THE_CONNECTION = ("Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Expect", "Upgrade")


@dataclass(frozen=True)
class Sending:
    """What goes to a pod. `patience` is in seconds of real time."""

    habits: Habits
    patience: Patience
    url: URL
    host: str
    headers: CIMultiDict[str]
    body: bytes


async def forward(
    session: aiohttp.ClientSession, request: web.Request, sending: Sending
) -> web.StreamResponse:
    """The pod's answer, or the proxy's own. One that takes too long is cut, without an end."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + sending.patience.whole if sending.patience.whole else None
    try:
        async with asyncio.timeout_at(ends):
            answer = await _ask(session, request.method, sending)
    except TimeoutError:
        return own(sending.habits, 504, TIMED_OUT)
    except (aiohttp.ClientError, OSError):
        is_nginx = sending.habits.proxy == "nginx"
        return own(sending.habits, 502 if is_nginx else 503, DISCONNECTED)
    try:
        return await _pass_on(request, answer, ends)
    finally:
        answer.close()


def headers_for(habits: Habits, request: web.Request, rule: Object) -> CIMultiDict[str]:
    """The request's, without those of the connection, changed as the rule says."""
    headers = CIMultiDict(request.headers)
    for name in (*_OF_THE_CONNECTION, "Host"):
        headers.popall(name, None)
    if habits.underscores == "dropped":
        for name in [each for each in headers if "_" in each]:
            headers.popall(name)
    for each in rule.get("filters", []):
        _change(headers, each.get("requestHeaderModifier") or {})
    return _told(habits, request, headers)


def _change(headers: CIMultiDict[str], wishes: Object) -> None:
    for row in wishes.get("set", []):
        headers[row["name"]] = row["value"]
    for row in wishes.get("add", []):
        headers.add(row["name"], row["value"])
    for name in wishes.get("remove", []):
        headers.popall(name, None)


def _told(habits: Habits, request: web.Request, headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """With what a proxy tells of the caller. `Host` names the pod here, so that this one is told besides."""
    caller = request.remote or "127.0.0.1"
    headers["X-Forwarded-For"] = ", ".join(filter(None, (headers.get("X-Forwarded-For"), caller)))
    headers["X-Forwarded-Proto"] = request.scheme
    headers["X-Forwarded-Host"] = request.host
    if habits.proxy == "nginx":
        headers["X-Real-IP"] = caller
    else:
        headers.setdefault("X-Request-Id", str(uuid.uuid4()))
    return headers


async def _ask(session: aiohttp.ClientSession, method: str, sending: Sending) -> aiohttp.ClientResponse:
    """Raises TimeoutError, ClientError."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=sending.patience.idle or None)
    attempts = 1 + (sending.habits.again if method == "GET" else 0)
    while True:
        attempts -= 1
        try:
            return await session.request(
                method,
                sending.url,
                data=sending.body or None,
                headers={**sending.headers, "Host": sending.host},
                allow_redirects=False,
                timeout=timeout,
            )
        except aiohttp.ServerDisconnectedError:
            if not attempts:
                raise


async def _pass_on(
    request: web.Request, answer: aiohttp.ClientResponse, ends: float | None
) -> web.StreamResponse:
    headers = CIMultiDict(answer.headers)
    for name in _OF_THE_CONNECTION:
        headers.popall(name, None)
    response = web.StreamResponse(status=answer.status, headers=headers)
    if "Content-Length" in answer.headers and request.method != "HEAD":
        response.content_length = int(answer.headers["Content-Length"])
    await response.prepare(request)
    try:
        async with asyncio.timeout_at(ends):
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
    except (TimeoutError, aiohttp.ClientError):
        if request.transport is not None:
            request.transport.close()
        return response
    await response.write_eof()
    return response
