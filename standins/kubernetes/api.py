"""The HTTP side of one kind: https://kubernetes.io/docs/reference/using-api/api-concepts/ ."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import yaml
from aiohttp import web

from standins.http import Handler
from standins.identity import InvalidToken, verify
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.errors import Refused, bad_request
from standins.kubernetes.kinds import Kind, Object, viewed
from standins.kubernetes.objects import Key
from standins.kubernetes.ownership import Writer
from standins.world import World

#: The Entra application of every AKS API server.
AUDIENCE = "6dae42f8-4368-4678-94ff-3960e28e3630"
#: Parameters that change what a request means and that this server does not know.
_UNKNOWN = ("watch", "fieldSelector", "dryRun", "continue")
_APPLY, _MERGE, _STRATEGIC = "application/apply-patch+yaml", "application/merge-patch+json", "application/strategic-merge-patch+json"


class Api:
    """Handlers for the operations on one kind in one version."""

    def __init__(self, world: World, cluster: Cluster, kind: Kind) -> None:
        self._world = world
        self._cluster = cluster
        self._kind = kind

    def handle(self, operation: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
        """The operation behind the check of the token, with errors as Kubernetes words them."""

        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                self._check(request)
                return await operation(request)
            except Refused as refusal:
                return refusal.response()

        return handler

    async def get(self, request: web.Request) -> web.Response:
        return self._answer(self._cluster.get(self._key(request)))

    async def list(self, request: web.Request) -> web.Response:
        selector = _selector(request.query.get("labelSelector", ""))
        found = [value for value in self._cluster.list(self._kind, request.match_info.get("namespace")) if selector(value)]
        return web.json_response(
            {
                "apiVersion": self._kind.api_version,
                "kind": f"{self._kind.name}List",
                "metadata": {"resourceVersion": str(self._cluster.objects.version)},
                "items": [viewed(self._kind, value) for value in found],
            }
        )

    async def create(self, request: web.Request) -> web.Response:
        value = self._read(request, _parsed(await request.text()))
        name = value["metadata"].get("name")
        if not name:
            raise Refused(
                422, "Invalid", f'{self._kind.name} "" is invalid: metadata.name: Required value: name or generateName is required'
            )
        key = Key(self._kind, request.match_info.get("namespace", ""), name)
        return self._answer(self._cluster.create(key, value, _writer(request)), 201)

    async def replace(self, request: web.Request) -> web.Response:
        value = self._read(request, _parsed(await request.text()))
        return self._answer(self._cluster.replace(self._key(request), value, _writer(request)))

    async def patch(self, request: web.Request) -> web.Response:
        """Server-side apply or a merge patch, by Content-Type. A strategic merge patch replaces lists here."""
        key, text = self._key(request), await request.text()
        if request.content_type == _APPLY:
            if not request.query.get("fieldManager"):
                why = 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
                raise Refused(422, "Invalid", why)
            value, created = self._cluster.apply(key, self._read(request, _parsed(text), complete=True), _writer(request))
            return self._answer(value, 201 if created else 200)
        if request.content_type == _MERGE or (request.content_type == _STRATEGIC and not self._kind.is_custom):
            return self._answer(self._cluster.merge(key, _parsed(text), _writer(request)))
        accepted = f"accepted media types include: {_MERGE}, {_APPLY}"
        raise Refused(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - {accepted}")

    async def delete(self, request: web.Request) -> web.Response:
        """200 with the object while it is going, with a `Status` when it is gone. Every propagation policy acts as background."""
        key, text = self._key(request), await request.text()
        preconditions = (_parsed(text) if text else {}).get("preconditions") or {}
        uid = self._cluster.get(key)["metadata"]["uid"]
        remains = self._cluster.delete(key, preconditions)
        if remains is not None:
            return self._answer(remains)
        details = {"name": key.name, "group": self._kind.group, "kind": self._kind.plural, "uid": uid}
        return web.json_response({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})

    def _check(self, request: web.Request) -> None:
        try:
            verify(self._world, request.headers.get("Authorization"), [AUDIENCE])
        except InvalidToken as error:
            self._world.loud("kubernetes", f"401 {request.method} {request.path}: {error}")
            raise Refused(401, "Unauthorized", "Unauthorized") from error
        for name in _UNKNOWN:
            if request.query.get(name) not in (None, "", "false", "False"):
                self._world.loud("kubernetes", f"501 {request.method} {request.path_qs}: this stand-in does not know {name}")
                raise Refused(501, "NotImplemented", f"this stand-in does not know the parameter {name}")

    def _key(self, request: web.Request) -> Key:
        return Key(self._kind, request.match_info.get("namespace", ""), request.match_info["name"])

    def _read(self, request: web.Request, value: Object, complete: bool = False) -> Object:
        """The object in the request, if it is what the path says. Only an apply must spell out the version and kind of a built-in kind."""
        for field, expected in (("apiVersion", self._kind.api_version), ("kind", self._kind.name)):
            given = value.get(field)
            if given is None and (complete or self._kind.is_custom):
                raise bad_request(f"Object '{field[0].upper()}{field[1:]}' is missing in the body")
            if given not in (None, expected):
                raise bad_request(f"the {field} in the data ({given}) does not match the expected one ({expected})")
        metadata = value.setdefault("metadata", {})
        for field in ("name", "namespace"):
            given, on_url = metadata.get(field), request.match_info.get(field)
            if on_url is not None and given not in (None, on_url):
                raise bad_request(f"the {field} of the object ({given}) does not match the {field} on the URL ({on_url})")
        if "name" in request.match_info:
            metadata["name"] = request.match_info["name"]
        return value

    def _answer(self, value: Object, status: int = 200) -> web.Response:
        return web.json_response(viewed(self._kind, value), status=status)


def _writer(request: web.Request) -> Writer:
    agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
    return Writer(request.query.get("fieldManager") or agent, request.query.get("force", "").lower() == "true")


def _parsed(text: str) -> Any:
    """JSON or, for apply, YAML. Raises `Refused` (400)."""
    try:
        value = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request("error decoding the body") from error
    if not isinstance(value, dict):
        raise bad_request("the body is not an object")
    return value


def _selector(text: str) -> Callable[[Object], bool]:
    """Equality-based label selectors: `a=b`, `a==b`, `a!=b`, joined by commas."""
    terms = [_term(term) for term in text.split(",") if term]
    return lambda value: all((value["metadata"].get("labels", {}).get(name) == wanted) is equal for name, equal, wanted in terms)


def _term(text: str) -> tuple[str, bool, str]:
    for sign, equal in (("!=", False), ("==", True), ("=", True)):
        name, found, wanted = text.partition(sign)
        if found:
            return name.strip(), equal, wanted.strip()
    raise Refused(501, "NotImplemented", "this stand-in knows only equality-based label selectors")
