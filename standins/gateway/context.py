"""What a policy works on: one call with its variables, and the gateway that the call goes through."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
from multidict import CIMultiDict

from standins.gateway.backends import Backends, Target
from standins.gateway.cache import SemanticCache
from standins.gateway.counters import Counters
from standins.gateway.exchange import Failure, Json, Request, Response
from standins.world import Options, World


class Gateway(Protocol):
    """What policies use of the gateway that they run in: `facilities.Facilities`, which compiles them and so
    imports this file.
    """

    world: World
    counters: Counters
    backends: Backends
    cache: SemanticCache
    metrics: deque[dict[str, Any]]
    options: Options

    @property
    def service(self) -> str:
        """The id of the API Management service."""

    def policy(self, scope: str) -> Policy | None:
        """That of a scope, by the scope's id; None when it has none."""

    def fragment(self, name: str, place: str) -> tuple[Step, ...]:
        """The steps of a policy fragment. Raises Failure with 500 when there is none."""

    async def wait(self, seconds: float) -> None:
        """Let so many seconds of the stand-ins' clock pass."""

    async def call(
        self, target: Target, method: str, route: str, sent: tuple[CIMultiDict[str], bytes]
    ) -> aiohttp.ClientResponse:
        """Ask a backend. Raises NoAnswer, with the reason, when it does not answer."""

    async def token(self, resource: str) -> str:
        """A token of the gateway's own identity."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one call, as the backend counted them, or estimated where a stream does not say."""

    prompt: int
    completion: int

    @property
    def total(self) -> int:
        return self.prompt + self.completion


@dataclass
class Context:
    """One call on its way through the gateway.

    `subscription`, `product` are None where the call has none. `route` is the path below the backend's URL,
    `keeps_query` whether the client's query goes along. `counting` is told the tokens once they are known,
    `telling` puts what is left of a limit into the headers of an answer of the backend, or of an error before
    `on-error`; `answering` changes whatever is answered.
    """

    gateway: Gateway
    request: Request
    api: Json
    operation: Json | None
    subscription: Json | None = None
    product: Json | None = None
    variables: dict[str, Any] = field(default_factory=dict)
    backend: str | None = None
    #: The backend that was asked last, since a policy named one.
    member: Target | None = None
    route: str = ""
    keeps_query: bool = True
    response: Response | None = None
    counting: list[Callable[[Usage], None]] = field(default_factory=list)
    telling: list[Callable[[Response], None]] = field(default_factory=list)
    answering: list[Callable[[Response], None]] = field(default_factory=list)
    last_error: Failure | None = None
    #: Backends that were asked, with what they answered (0: nothing), in order.
    asked: list[tuple[str, int]] = field(default_factory=list)
    #: What policies wrote into the log.
    traces: list[Json] = field(default_factory=list)
    usage: Usage | None = None
    cached: bool = False
    #: What must be done once per call, and was.
    marks: set[tuple[str, ...]] = field(default_factory=set)

    def count(self, usage: Usage) -> None:
        self.usage = usage
        for told in self.counting:
            told(usage)


#: One policy at work.
Step = Callable[[Context], Awaitable[None]]


@dataclass(frozen=True)
class Policy:
    """The steps of each section."""

    sections: Mapping[str, tuple[Step, ...]]

    def needs(self, section: str) -> tuple[Step, ...]:
        return self.sections[section]
