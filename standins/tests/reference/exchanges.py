"""One HTTP request and answer, compared with the operation that is meant to describe them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from standins.tests.reference.descriptions import Node
from standins.tests.reference.looseness import NULL_IS_ABSENT, general_answer, is_described_older
from standins.tests.reference.openapi import Answer, Match, Operation, Parameter
from standins.tests.reference.schemas import Flaw, Reading, flaws, without_null
from standins.world import Exchange


@dataclass(frozen=True)
class _Content:
    """A body that should be JSON. `where` is what flaws of it are called."""

    where: str
    headers: Mapping[str, str]
    text: str
    null_is_absent: bool = False

    def flaws(self, schema: Node, reading: Reading) -> Iterator[Flaw]:
        media = self.headers.get("content-type", "nothing")
        if media.split(";")[0] != "application/json":
            yield Flaw(self.where, f"is called {media}, not application/json")
            return
        try:
            value = json.loads(self.text)
        except ValueError as error:
            yield Flaw(self.where, f"is no JSON: {error}")
            return
        for flaw in flaws(schema, without_null(value) if self.null_is_absent else value, reading):
            yield Flaw(self.where + flaw.where, flaw.what)


def request_flaws(exchange: Exchange, match: Match, operation: Operation) -> Iterator[Flaw]:
    query = dict(parse_qsl(urlsplit(exchange.path).query, keep_blank_values=True))
    for name in query.keys() - {
        parameter.name for parameter in operation.parameters if parameter.location == "query"
    }:
        yield Flaw(f"query {name}", "is no declared parameter")
    given = {"query": query, "path": match.values, "header": exchange.request_headers}
    for parameter in operation.parameters:
        name = parameter.name.lower() if parameter.location == "header" else parameter.name
        yield from _parameter_flaws(parameter, given[parameter.location].get(name))
    yield from _request_body_flaws(exchange, operation)


def answer_flaws(exchange: Exchange, operation: Operation) -> Iterator[Flaw]:
    """The status, the declared headers and the body. `default` describes errors only."""
    declared = operation.answers.get(str(exchange.status)) or general_answer(exchange.server, exchange.status)
    if declared is None and exchange.status >= 400:
        declared = operation.answers.get("default")
    if declared is None:
        yield Flaw("status", f"{exchange.status} is not declared, only {', '.join(operation.answers)}")
        return
    for name in declared.headers:
        if name not in exchange.answer_headers:
            yield Flaw(f"answer header {name}", "is declared, and missing")
    yield from _answer_body_flaws(exchange, declared)


def _parameter_flaws(parameter: Parameter, text: str | None) -> Iterator[Flaw]:
    place = f"{parameter.location} {parameter.name}"
    if text is None:
        if parameter.required:
            yield Flaw(place, "is required, and missing")
        return
    for flaw in flaws(parameter.schema, _read(text, parameter.schema.target().value)):
        yield Flaw(place + flaw.where, flaw.what)


def _read(text: str, schema: Mapping[str, Any]) -> Any:
    """A parameter's value by its declared type; a text that is none stays one, and is a flaw."""
    kind = schema.get("type")
    if kind == "array":
        return [_read(item, schema["items"]) for item in text.split(",")]
    if kind in ("integer", "number") and text.lstrip("-").isdigit():
        return int(text)
    return {"true": True, "false": False}.get(text.lower(), text) if kind == "boolean" else text


def _request_body_flaws(exchange: Exchange, operation: Operation) -> Iterator[Flaw]:
    body, text = operation.body, exchange.request_body
    if text is None:
        if body is not None and body.required:
            yield Flaw("body", "is required, and missing")
    elif body is None:
        yield Flaw("body", "is sent, and none is declared")
    elif body.schema is not None:
        yield from _Content("body", exchange.request_headers, text).flaws(
            body.schema, Reading(sent=True, older=is_described_older(exchange.path))
        )


def _answer_body_flaws(exchange: Exchange, declared: Answer) -> Iterator[Flaw]:
    text = exchange.answer_body
    if declared.schema is None or exchange.method == "HEAD":
        if text is not None:
            yield Flaw("answer", "has a body, and none is declared")
    elif text is None:
        yield Flaw("answer", "has no body, and one is declared")
    else:
        content = _Content("answer", exchange.answer_headers, text, exchange.server in NULL_IS_ABSENT)
        yield from content.flaws(declared.schema, Reading(older=is_described_older(exchange.path)))
