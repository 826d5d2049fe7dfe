"""`forward-request`: the call of the backend, and what it cost."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from standins.gateway.backends import Target
from standins.gateway.context import Context, Step, Usage
from standins.gateway.document import Node
from standins.gateway.exchange import Failure, NoAnswer, Response

#: Headers that belong to a connection, not to a message.
_OF_THE_CONNECTION = (
    "Connection",
    "Keep-Alive",
    "Transfer-Encoding",
    "Content-Length",
    "Host",
    "Expect",
    "Upgrade",
)
#: What a token of a stream is: about so many characters.
_CHARACTERS = 4
#: The events of the Responses API that carry the whole response.
_LAST_EVENTS = ("response.completed", "response.incomplete", "response.failed")


def forward_request(node: Node) -> Step:
    attributes = node.only("buffer-request-body", "buffer-response")
    node.empty()
    for name in attributes:
        node.fixed(attributes, name, "true", "false")

    async def forward(context: Context) -> None:
        if context.backend is None:
            raise Failure(500, "Internal server error")
        target = context.member = _target(context, context.backend)
        if target is None:
            failure = NoAnswer(503, "Service is unavailable: every backend's circuit breaker has tripped.")
            if context.gateway.options["exhausted_pool_fails"]:
                raise failure
            context.response = failure.answer()
            return
        context.response = await _ask(context, target)

    return forward


def _target(context: Context, backend: str) -> Target | None:
    """The backend to ask; with `retry_keeps_member` the one of the attempt before, unless a policy named the
    pool again.
    """
    gateway, kept = context.gateway, context.member
    if kept is not None and gateway.options["retry_keeps_member"]:
        return kept if gateway.backends.is_closed(kept) else None
    return gateway.backends.pick(gateway.service, backend)


async def _ask(context: Context, target: Target) -> Response:
    request = context.request
    headers = CIMultiDict(request.headers)
    for name in _OF_THE_CONNECTION:
        headers.popall(name, None)
    headers.update(context.gateway.backends.credentials(context.gateway.service, target))
    query = (
        f"?{URL.build(query=request.query).raw_query_string}" if context.keeps_query and request.query else ""
    )
    try:
        answer = await context.gateway.call(
            target, request.method, context.route + query, (headers, request.body)
        )
    except NoAnswer:
        context.asked.append((target.name, 0))
        raise
    context.asked.append((target.name, answer.status))
    if answer.content_type == "text/event-stream":
        return Response(answer.status, _kept(answer), chunks=_stream(context, answer))
    body = await answer.read()
    if answer.status == 200:
        _count(context, body)
    return Response(answer.status, _kept(answer), body)


def _kept(answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    headers = CIMultiDict(answer.headers)
    for name in _OF_THE_CONNECTION:
        headers.popall(name, None)
    return headers


def _count(context: Context, body: bytes) -> None:
    try:
        usage = usage_of(json.loads(body))
    except ValueError:
        usage = None
    if usage is not None:
        context.count(usage)


def usage_of(answer: Any) -> Usage | None:
    """What an answer says of itself; embeddings have no completion tokens, responses have names of their own,
    and images may say nothing.
    """
    found = answer.get("usage") if isinstance(answer, dict) else None
    if not isinstance(found, dict):
        return None
    prompt = found.get("prompt_tokens", found.get("input_tokens"))
    written = found.get("completion_tokens", found.get("output_tokens")) or 0
    return None if prompt is None else Usage(int(prompt), int(written))


async def _stream(context: Context, answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """Its chunks as they come. The tokens are counted at its end, or when nobody listens any more."""
    seen = _Seen(context)
    try:
        async for chunk in answer.content.iter_any():
            seen.add(chunk)
            yield chunk
    finally:
        answer.close()
        context.count(seen.usage())


class _Seen:
    """Reads along in a stream of events. What the last chunk of a chat says of its usage is not used: the
    service estimates both sides of a stream. https://learn.microsoft.com/azure/api-management/llm-token-limit-policy
    A stream of the Responses API ends with the whole response, usage included, and that is used: unproven.
    """

    def __init__(self, context: Context) -> None:
        self._asked = context.request.body
        self._rest = b""
        self._written = 0
        self._said: Usage | None = None

    def add(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if line.startswith(b"data: {"):
                self._event(json.loads(line[6:]))

    def _event(self, event: Mapping[str, Any]) -> None:
        if event.get("type") in _LAST_EVENTS:
            self._said = usage_of(event.get("response"))
        if event.get("type") == "response.output_text.delta":
            self._written += len(event["delta"])
        self._written += sum(
            len((choice.get("delta") or {}).get("content") or "") for choice in event.get("choices") or ()
        )

    def usage(self) -> Usage:
        """What the last event says, else by the length of the texts."""
        if self._said is not None:
            return self._said
        asked = json.loads(self._asked)
        messages = asked.get("messages") or asked.get("input") or ()
        if isinstance(messages, str):
            messages = [{"content": messages}]
        prompt = sum(len(str(message.get("content") or "")) for message in messages)
        return Usage(-(-prompt // _CHARACTERS), -(-self._written // _CHARACTERS))
