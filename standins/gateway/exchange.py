"""One exchange with a client, request and answer, and how a policy ends its section early."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from multidict import CIMultiDict, MultiDict

Json = dict[str, Any]


class NotKnown(Exception):
    """An element, attribute or expression that this stand-in does not know: it refuses the request, and
    ignores nothing.
    """


@dataclass
class Failure(Exception):
    """A policy or the gateway itself refuses: the section `on-error` follows. The body is
    `{"statusCode", "message"}`, as the service's.
    """

    status: int
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)
    #: The service's word for it, as far as the stand-in has one.
    reason: str = ""

    def answer(self) -> Response:
        body = json.dumps({"statusCode": self.status, "message": self.message}).encode()
        return Response(self.status, CIMultiDict({"Content-Type": "application/json", **self.headers}), body)


class NoAnswer(Failure):
    """The backend did not answer."""


@dataclass
class Returned(Exception):
    """A policy answers by itself: no section follows."""

    answer: Response


@dataclass
class Request:
    """As it came, and as policies changed it since. `path` begins with a slash and includes the API's."""

    method: str
    path: str
    headers: CIMultiDict[str]
    query: MultiDict[str]
    body: bytes
    parameters: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Json:
        """Raises ValueError for anything but a JSON object."""
        found = json.loads(self.body)
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
        return found


@dataclass
class Response:
    """`chunks` is None unless the body is passed on while it arrives; then `body` is empty."""

    status: int
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    body: bytes = b""
    chunks: AsyncGenerator[bytes] | None = None
    reason: str | None = None

    @property
    def phrase(self) -> str:
        return self.reason or HTTPStatus(self.status).phrase
