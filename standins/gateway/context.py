"""What a policy works on: the request, the variables, the answer; and how a policy ends its section early."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict, MultiDict

if TYPE_CHECKING:
    from standins.gateway.facilities import Facilities

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

    def answer(self) -> Response:
        body = json.dumps({"statusCode": self.status, "message": self.message}).encode()
        return Response(self.status, CIMultiDict({"Content-Type": "application/json", **self.headers}), body)


@dataclass
class Returned(Exception):
    """A policy answers by itself: no section follows."""

    answer: Response


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, as the backend counted them, or estimated where a stream does not say."""

    prompt: int
    completion: int

    @property
    def total(self) -> int:
        return self.prompt + self.completion


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


@dataclass
class Context:
    """One call on its way through the gateway.

    `subscription`, `product` are None where the call has none. `route` is the path below the backend's URL,
    `keeps_query` whether the client's query goes along. `counting` is told the tokens once they are known,
    `answering` changes whatever is answered.
    """

    gateway: Facilities
    request: Request
    api: Json
    operation: Json
    subscription: Json | None = None
    product: Json | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    backend: str | None = None
    route: str = ""
    keeps_query: bool = True
    response: Response | None = None
    counting: list[Callable[[Usage], None]] = field(default_factory=list)
    answering: list[Callable[[Response], None]] = field(default_factory=list)
    #: Backends that were asked, with what they answered (0: nothing), in order.
    asked: list[tuple[str, int]] = field(default_factory=list)
    usage: Usage | None = None
    cached: bool = False
    #: What must be done once per call, and was.
    marks: set[tuple[str, ...]] = field(default_factory=set)

    def count(self, usage: Usage) -> None:
        self.usage = usage
        for told in self.counting:
            told(usage)
