"""Calls that every expression is evaluated with, by the stand-in and by the compiled C#."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from itertools import product
from typing import Any

from multidict import CIMultiDict, MultiDict

from shared.catalog.verbs import VERBS
from standins.gateway import expressions
from standins.gateway.context import Context
from standins.gateway.exchange import Failure, Request, Response
from tests.gateway.csharp_programs import LITERALS, Call
from tests.gateway.responses_bodies import responses_calls
from tests.gateway.test_bodies import REFUSED

#: Media in the call, and by an address, in objects, lists and under keys with escapes.
MEDIA = [
    b'{"m":[{"image_url":{"url":"data:image/png;base64,AA","detail":"auto"}}],"model":"a"}',
    b'{"m":[{"image_url":{"detail":"auto","url":"https://x"}}],"model":"a"}',
    b'{"m":[{"image_url":"http://x"}]}',
    b'{"m":[{"video_\\u0075rl":{"\\u0075rl":"file:///x"}}]}',
    b'{"audio_url":{"url":"d\\u0061ta:x"}}',
    b'{"image_url":{"type":"object","description":"x","enum":["y"],"a":{"url":"z"}},"url":"http://x"}',
    b'{"image_url":[{"url":"http://x"}],"x":[{"image_url":null},"http://x",{"url":"http://x"}]}',
]

BODIES = [
    b'{"model":"gpt-4.1","messages":[{"role":"user","content":"2026-11-30T08:15:00-05:00"}]}',
    b'{"x":{"k":1,"\\u006b":2},"model":"\\u0061\\n\\"\\\\\\/\\b\\f\\r\\t \\ud83d\\ude00"}',
    '{"é😀":[true,false,null,-1.5e+3,0],"model":"😀 m"}'.encode(),
    b'{"x":null, "model" : null, "y":{"model":null}}',
    b" { } ",
    b'{"x":1}',
    b'{"model":"a b  c"}',
    *MEDIA,
    *REFUSED.values(),
]
SCANNED = ["9 12 = 0 a", "9 12 = 1 gpt-4.1", "1 1 , 0 ", "1 1 + 0 ", "!The body must be UTF-8."]


def _mutated(count: int) -> Iterator[bytes]:
    """Bodies with small faults, the same in every run."""
    chance, alphabet = random.Random(17), b'{}[]":,\\u01abmodelMODEL \t\n-+.eE\x00\xc3\xa9\xff'
    for _ in range(count):
        body = bytearray(chance.choice(BODIES[:6]))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(body) + 1)
            body[at : at + chance.randint(0, 2)] = bytes(chance.choices(alphabet, k=chance.randint(0, 2)))
        yield bytes(body)


def _calls() -> Iterator[Call]:
    yield from (Call("scanned body", body) for body in (*BODIES, None, *_mutated(3000)))
    for kind in ("text/plain", 'Application/JSON ; Charset="UTF-8"', "application/json;charset", ""):
        yield Call("scanned body", BODIES[0], {"Content-Type": [kind]})
    for coding in (["gzip"], ["Identity"], ["identity", "gzip"]):
        headers = {"Content-Type": ["application/json"], "Content-Encoding": coding}
        yield Call("scanned body", BODIES[0], headers)
    text = '{"x":"é😀","model":"a"}'
    for scanned in ("17 20 = 0 a", "1 1 , 0 ", "1 1 + 0 ", "no numbers"):
        variables = {"scanned-body": scanned, "served-model": "served", "request-body": text}
        yield Call("body", variables=variables)
    for scanned in SCANNED:
        for name in ("refused body", "why the body is refused", "requested model"):
            yield Call(name, variables={"scanned-body": scanned}, headers={"x-ai-eg-model": ["hdr", "2"]})
        yield Call("requested model", variables={"scanned-body": scanned}, parameters={"deployment-id": "p"})
        yield Call(
            "screened, with a key twice", variables={"scanned-body": scanned, "requested-model": "llama"}
        )
    yield Call("request body", BODIES[2])
    yield from _verbs()
    for scanned in ("+9 12 = 0 a", "9 12 = 0 a"):
        yield Call("names media elsewhere", variables={"scanned-body": scanned})
        named = {"served-model": "s", "request-body": '{"model":"a"}'}
        yield Call("body", variables={"scanned-body": scanned, **named})
    yield from responses_calls()
    yield from _routing()
    yield from _kaito()
    yield from _refusals()
    yield from _errors()


_OPERATIONS = (
    *(f"{style}{verb.slug}" for verb in VERBS for style in ("v1-", "deployment-")),
    "responses",
    "v1-models",
    "get-other",
    "post-other",
)
_PATHS = ("/v1/models", "/v1/Models/", "/models/a%2Fb", "/v1/models/a/b c", "/v1/responses/r", "/")
_TOOLS = ("[]", "null", "{}", '[{"type":"function"}]', '"x"', "0")


def _verbs() -> Iterator[Call]:
    """What calls ask for, and whether it is served."""
    for operation in _OPERATIONS:
        yield Call("verb", operation=operation)
        yield Call("path", operation=operation)
        for status in (None, 429, 500):
            tried: dict[str, str | int] = {"attempt": 1, "attempts": 2}
            yield Call("another attempt", variables=tried, status=status, operation=operation)
    for method, path, operation in product(("GET", "POST"), _PATHS, ("get-other", "v1-models")):
        for name in ("asks for models", "asked model", "not served"):
            yield Call(name, path=f"/openai{path}", method=method, operation=operation)
    for asked in ("", "llama", "gpt", "gpt-4.1 llama"):
        yield Call("no model is named", variables={"asked-model": asked})
        yield Call("one model", variables={"asked-model": asked})
        yield Call("one of", variables={"requested-model": asked})
    served = ("chat/completions tools", "embeddings responses", "completions")
    for operation, serves in product(_OPERATIONS, served):
        yield Call("another verb", variables={"serves": serves}, operation=operation)
    yield Call("what is served", variables={"serves": "chat/completions", "granted-model": "a"})
    keys = ("tools", "functions", "Tools")
    for key, value, serves in product(keys, _TOOLS, ("embeddings", "responses tools")):
        body = f'{{"messages":[],"{key}":{value}}}'.encode()
        yield Call("a call with tools", body, variables={"serves": serves})


def _routing() -> Iterator[Call]:
    for requested in ("gpt-4.1 llama", "llama"):
        for name in ("variable is", "variable is set", "variable is not set", "the variable"):
            yield Call(name, variables={"requested-model": requested})
    for opened in ("internal public", "public"):
        yield Call("closed to the data", variables={"open-to": opened})
        yield Call("closed to the data", variables={"open-to": opened, "data-class": "public"})
    yield Call("subscription")
    yield Call("bearer", variables={"platform-token": "t"})
    yield Call("no attempt")
    for fallback in ({}, {"fallback-model": "b"}):
        yield Call("attempts", variables={"retries": "2", **fallback})
        for attempt in (1, 2):
            tried = {"attempt": attempt, "attempts": 2, **fallback}
            yield Call("next attempt", variables=tried)
            yield Call("the fallback's turn", variables=tried)
            for status in (None, 200, 429, 500):
                yield Call("another attempt", variables=tried, status=status)


def _kaito() -> Iterator[Call]:
    """Of the expressions about servers of KAITO's."""
    for kaito in ({}, {"kaito": "no"}, {"kaito": "yes"}):
        for status in (None, 200, 400, 422, 501):
            for name in ("KAITO is loading", "KAITO refused"):
                yield Call(name, variables=kaito, status=status)
    for repeats in ("yes", "no"):
        for status in (None, 200, 500, 503):
            yield Call("a repeat", variables={"repeats": repeats}, status=status)
        for reason in ("Timeout", "BackendConnectionFailure"):
            yield Call("a repeat", variables={"repeats": repeats}, message="x", reason=reason)
    yield from _kaitos_next_call()


def _kaitos_next_call() -> Iterator[Call]:
    for calls in (0, 1):
        yield Call("a second call", variables={"calls": calls})
        yield Call("next call", variables={"calls": calls})
    for is_kaitos, answered, attempt in product(("yes", "no"), ({}, {"Retry-After": ["7"]}), (1, 2)):
        for status in (None, 429, 503):
            tried: dict[str, str | int] = {"kaito": is_kaitos, "attempt": attempt, "attempts": 2}
            yield Call("KAITO is busy", variables=tried, status=status, answered=answered)
    for fallback in ({}, {"fallback-model": "b"}):
        yield Call("the attempt before the fallback", variables={"attempts": 2, **fallback})


def _fault(said: str, place: str = "'body', 'messages', 0, 'role'") -> str:
    return f"{{'type': 'missing', 'loc': ({place}), 'msg': {said}, 'input': {{'x': 'secret'}}}}"


def _refusals() -> Iterator[Call]:
    """Answers of model servers, in the forms that vLLM's releases give them."""
    trace = '\n\n  File "/usr/lib/site-packages/vllm/x.py", line 40, in create\n    POST /v1 [...]'
    messages = [
        "max_tokens must be at least 1, got 0.",
        f"2 validation errors:\n  {_fault(repr('Field required'))}\n  {_fault(repr('Other'))}{trace}",
        f"[{_fault(repr(chr(39) + 'text' + chr(39) + ' is wanted'))}]",
        f"1 validation error:\n  {_fault(repr('x' * 400), 'y' * 600)}",
        f"1 validation error: 'loc': (1), 'msg': 'the end is not {'é😀' * 200}",
        "'loc': ('body'), 'msg': ",
        "'msg': 'Before', 'loc': ('body',)",
        f"Gone.{trace}",
        f"{trace} File",
        "/usr/lib/python3/dist-packages/x cannot be read",
        "x" * 3000,
        '"quoted" \\ \u2028 \x07 é😀',
        "",
    ]
    for message in messages:
        for param in (None, "messages", "p" * 101):
            error = {"message": message, "type": "Bad Request", "param": param, "code": 400}
            for body in ({"error": error}, {"object": "error", **error}):
                yield Call("shown refusal", status=400, answer=json.dumps(body).encode())
    for text in (b"", b"<html>no</html>", b'{"detail":"Not Found"}', b'{"error":"Unauthorized"}', b"[]"):
        yield Call("shown refusal", status=400, answer=text)


def _errors() -> Iterator[Call]:
    for status in (None, 200, 401, 503):
        for answered in ({}, {"Retry-After": ["7"], "requested-model": ["a", "b"]}):
            for name in ("503 without Retry-After", "status of the error", "header of the error"):
                yield Call(name, status=status, answered=answered)
    for variables in ({}, {"trip-seconds": "30"}):
        yield Call("seconds of the breaker", variables=variables)
    for value in ("", "7"):
        yield Call("header is there", variables={"requested-model": value})
    for code in ("400", "401", "403", "404", "429", "500", "503"):
        for after in ("", "7"):
            variables = {"error-status": code, "error-Retry-After": after}
            for message in (None, "", 'It says "no" \\ <é>'):
                yield Call("error", variables=variables, message=message)
            yield Call("status", variables=variables)
            yield Call("phrase of the status", variables=variables)


CALLS = list(_calls())


def answered_here(call: Call) -> Any:
    """What the stand-in answers; the exception that C# would have, too."""
    headers = CIMultiDict((name, value) for name, values in call.headers.items() for value in values)
    request = Request(call.method, call.path, headers, MultiDict(), call.body or b"", dict(call.parameters))
    gateway: Any = None
    operation, subscription = {"name": call.operation}, {"name": call.subscription}
    context = Context(gateway, request, {}, operation, subscription, variables=dict(call.variables))
    if call.status is not None:
        answered = CIMultiDict((name, value) for name, values in call.answered.items() for value in values)
        context.response = Response(call.status, answered, call.answer)
    if call.message is not None:
        context.last_error = Failure(500, call.message, reason=call.reason)
    text, function = expressions.EXPRESSIONS[call.expression]
    return function(context, **{name: value for name, value in LITERALS.items() if f"%{name}%" in text})
