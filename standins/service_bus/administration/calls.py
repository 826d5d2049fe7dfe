"""A request to the management interface: who may make it, what it is about, and how it is refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from aiohttp import web

from standins.http import Handler
from standins.service_bus import namespace_of
from standins.service_bus.access import MANAGE, Access
from standins.service_bus.administration import atom
from standins.service_bus.descriptions import TOPIC, Invalid, NotKnown
from standins.service_bus.errors import Unauthorized
from standins.service_bus.namespace import Namespace, Row, path_of
from standins.world import World

SERVER = "service-bus-administration"
MORE = "To know more visit https://aka.ms/sbResourceMgrExceptions."
_VERSIONS = ("2017-04", "2021-05", "2024-05")
_LARGEST_PAGE = 100
_RIGHTS = {"GET": "EntityRead", "PUT": "EntityWrite", "DELETE": "EntityDelete"}


class Refused(Exception):
    """An answer other than success; the text goes into the error document."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True)
class Call:
    """A request, and the entities of its path."""

    namespace: Namespace
    request: web.Request

    @property
    def host(self) -> str:
        """The name of the namespace."""
        return self.request.host.partition(":")[0].partition(".")[0]

    def named(self, part: str) -> str:
        return self.request.match_info.get(part, "")

    def url(self, *path: str) -> str:
        """The address of something in the namespace, in the version of the request."""
        return str((self.request.url.origin() / "/".join(path)).with_query({"api-version": self.request.query["api-version"]}))

    @property
    def path(self) -> str:
        """The path of the entity that the request is about; empty when it is about the namespace."""
        return path_of(self.named("entity"), self.named("subscription")) if self.named("subscription") else self.named("entity")

    @property
    def is_update(self) -> bool:
        """Clients say by `If-Match: *` that they mean what is there. Raises NotKnown."""
        condition = self.request.headers.get("If-Match")
        if condition not in (None, "*"):
            raise NotKnown(f"this stand-in does not know If-Match {condition}")
        return condition is not None

    def topic(self) -> Row:
        row = self.namespace.find(self.named("entity"))
        return row if row and row["kind"] == TOPIC.name else self.absent()

    def subscription(self) -> Row:
        return self.namespace.find(self.path) or self.absent()

    def rule(self) -> Row:
        """Raises Refused unless the subscription has the rule of the path."""
        rule: Row | None = self.subscription()["rules"].get(self.named("rule"))
        return rule or self.absent()

    def absent(self) -> NoReturn:
        raise Refused(404, f"Entity '{self._label()}' was not found. {MORE} ")

    def exists(self) -> NoReturn:
        raise Refused(409, f"The messaging entity '{self._label()}' already exists. {MORE} ")

    def page(self, title: str, rows: Sequence[Row], item: Callable[[Row], atom.Item]) -> web.Response:
        """A list, from `$skip` on and at most `$top` long. Raises Invalid."""
        try:
            skip, top = (int(self.request.query.get(name, default)) for name, default in (("$skip", "0"), ("$top", "100")))
        except ValueError as error:
            raise Invalid("The values of $skip and $top must be numbers.") from error
        if skip < 0 or top < 1:
            raise Invalid("The value of $skip must not be negative, and that of $top must be positive.")
        end, url = skip + min(top, _LARGEST_PAGE), self.request.url
        following = str(url.update_query({"$skip": str(end), "$top": str(top)})) if end < len(rows) else None
        now = self.namespace.broker.environment.clock.now()
        return atom.answer_page(atom.Page(str(url), title, now, map(item, rows[skip:end]), following))

    def _label(self) -> str:
        """A topic and what is below it, as error texts name it."""
        parts = [self.named(part) for part in ("entity", "subscription", "rule")]
        return f"{self.host}:Topic:{'|'.join(filter(None, parts))}"


def answering(world: World, action: Callable[[Call], Coroutine[Any, Any, web.Response]]) -> Handler:
    """The action for whoever has the right to it, and error documents for everybody else."""

    async def respond(request: web.Request) -> web.Response:
        call = Call(namespace_of(world), request)
        try:
            _check(world, call)
            return await action(call)
        except Refused as error:
            status, text = error.status, str(error)
        except Invalid as error:
            status, text = 400, f"SubCode=40000. {error} {MORE} ."
        except NotKnown as error:
            status, text = 501, str(error)
            world.loud(SERVER, f"501 {request.method} {request.path_qs}: {error}")
        tracked = f"TrackingId:{uuid.uuid4()}_G1, SystemTracker:{request.host}:{request.path.strip('/')}"
        return atom.refusal(status, f"{text} {tracked}, Timestamp:{world.clock.utcnow():%Y-%m-%dT%H:%M:%S}")

    return respond


def _check(world: World, call: Call) -> None:
    """Raises Refused for a token that is no good, NotKnown for a version of the interface."""
    if (version := call.request.query.get("api-version")) not in _VERSIONS:
        raise NotKnown(f"this stand-in does not know api-version {version}")
    header = call.request.headers.get("Authorization", "")
    try:
        if not header.startswith(("Bearer ", "SharedAccessSignature ")):
            raise Unauthorized
        audience = f"https://{call.request.host}{call.request.path}"
        grant = Access(world, call.namespace.broker).checked("jwt", header.removeprefix("Bearer "), audience)
    except Unauthorized as error:
        raise Refused(401, "claim is empty or token is invalid.") from error
    if not grant.allows(MANAGE, call.path):
        raise Refused(401, f"Manage,{_RIGHTS[call.request.method]} claims required for this operation.")
