"""The HTTP side of one kind: https://kubernetes.io/docs/reference/using-api/api-concepts/ ."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from standins.http import Handler
from standins.identity import InvalidToken, verify
from standins.kubernetes import access, bodies, kaito, lists
from standins.kubernetes.access import Action, User
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.errors import Refused, not_served
from standins.kubernetes.kinds import NAMESPACE, Kind, Object, viewed
from standins.kubernetes.objects import Key
from standins.kubernetes.ownership import Writer
from standins.kubernetes.patches import merged, patched
from standins.world import Right, World

#: The Entra application of every AKS API server.
AUDIENCE = "6dae42f8-4368-4678-94ff-3960e28e3630"
_APPLY, _MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
_JSON, _STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"


class Door:
    """Who may come in: the token of a request, and what its owner may do."""

    def __init__(self, world: World, cluster: Cluster) -> None:
        self._world = world
        self._cluster = cluster

    def user(self, request: web.Request) -> User:
        """Raises `Refused` (401)."""
        try:
            return User.of(verify(self._world, request.headers.get("Authorization"), [AUDIENCE]))
        except InvalidToken as error:
            self._world.loud("kubernetes", f"401 {request.method} {request.path}: {error}")
            raise Refused(401, "Unauthorized", "Unauthorized") from error

    def check(self, request: web.Request, action: Action) -> None:
        """Raises `Refused` (401, 403)."""
        user = self.user(request)
        access.check(self._cluster.objects, user, action)
        needed = f"{action.verb} {'/'.join(filter(None, (action.group, action.resource)))}"
        self._world.rights.add(Right("kubernetes", user.name, needed, action.namespace))

    def guarded(self, operation: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Handler:
        """The operation for everybody with a token, with errors as Kubernetes words them."""

        async def handler(request: web.Request) -> web.StreamResponse:
            try:
                self.user(request)
                return await operation(request)
            except Refused as refusal:
                if refusal.code == 501:
                    self._world.loud(
                        "kubernetes", f"501 {request.method} {request.path_qs}: {refusal.message}"
                    )
                return refusal.response()

        return handler

    async def review(self, request: web.Request) -> web.Response:
        """SelfSubjectAccessReview:
        https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/ .
        """
        body = await bodies.sent(request)
        wish = body.get("spec", {}).get("resourceAttributes", {})
        resource = "/".join(filter(None, (wish.get("resource", ""), wish.get("subresource", ""))))
        action = Action(
            wish.get("verb", ""),
            wish.get("group", ""),
            resource,
            wish.get("namespace", ""),
            wish.get("name", ""),
        )
        allowed = access.is_allowed(self._cluster.objects, self.user(request), action)
        return web.json_response({**body, "metadata": {}, "status": {"allowed": allowed}}, status=201)


class Api:
    """Handlers for the operations on one kind in one version, or on its subresource `status`."""

    def __init__(self, door: Door, cluster: Cluster, kind: Kind, subresource: str = "") -> None:
        self._door = door
        self._cluster = cluster
        self._kind = kind
        self._subresource = subresource

    def handle(self, verb: str, operation: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Handler:
        """The operation behind the check of the token and of the right to `verb`."""

        async def checked(request: web.Request) -> web.StreamResponse:
            self._allow(request, "watch" if verb == "list" and _is_on(request, "watch") else verb)
            return await operation(request) if self._cluster.serves(self._kind) else not_served()

        return self._door.guarded(checked)

    async def get(self, request: web.Request) -> web.Response:
        return self._answer(self._cluster.get(self._key(request)))

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Or a watch."""
        view = lists.View.of(self._cluster, self._kind, request)
        if _is_on(request, "watch"):
            return await lists.watch(view, request)
        return web.json_response(lists.listed(view, request))

    async def create(self, request: web.Request) -> web.Response:
        value = bodies.read(request, self._kind, await bodies.sent(request))
        key = Key(self._kind, request.match_info.get("namespace", ""), value["metadata"].get("name") or "")
        writer = self._writer(request, "CreateOptions")
        return self._answer(self._cluster.create(key, value, writer), writer, 201)

    async def replace(self, request: web.Request) -> web.Response:
        value = bodies.read(request, self._kind, await bodies.sent(request))
        writer = self._writer(request, "UpdateOptions")
        return self._answer(self._cluster.replace(self._key(request), value, writer), writer)

    async def patch(self, request: web.Request) -> web.Response:
        """Server-side apply, a merge patch or a JSON patch, by Content-Type."""
        key, text, writer = self._key(request), await request.text(), self._writer(request, "PatchOptions")
        if request.content_type == _APPLY:
            return self._apply(request, key, text, writer)
        if request.content_type == _JSON:
            edit = partial(_edited_by_operations, operations=bodies.parsed(text, list))
        elif request.content_type == _MERGE:
            edit = partial(merged, patch=bodies.parsed(text))
        elif request.content_type == _STRATEGIC and not self._kind.is_custom:
            edit = partial(merged, patch=bodies.plain(bodies.parsed(text)))
        else:
            known = [_JSON, _MERGE, *([] if self._kind.is_custom else [_STRATEGIC]), _APPLY]
            why = (
                "the body of the request was in an unknown format - accepted media types include: "
                f"{', '.join(known)}"
            )
            raise Refused(415, "UnsupportedMediaType", why)
        return self._answer(self._cluster.patch(key, edit, writer), writer)

    async def delete(self, request: web.Request) -> web.Response:
        """200 with the object while it is going, with a `Status` when it is gone."""
        key, text = self._key(request), await request.text()
        wish = bodies.deletion(request, bodies.parsed(text) if text else None)
        value, is_gone = self._cluster.delete(key, wish)
        if not is_gone:
            return self._answer(value)
        details = {
            "name": key.name,
            "group": self._kind.group,
            "kind": self._kind.plural,
            "uid": value["metadata"]["uid"],
        }
        details = {name: part for name, part in details.items() if part}
        return web.json_response(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        )

    def _apply(self, request: web.Request, key: Key, text: str, writer: Writer) -> web.Response:
        bodies.check_manager(request)
        value = bodies.read(request, self._kind, bodies.parsed(text), complete=True)
        if self._cluster.objects.find(key) is None:
            self._allow(request, "create")
        applied, created = self._cluster.apply(key, value, writer)
        return self._answer(applied, writer, 201 if created else 200)

    def _allow(self, request: web.Request, verb: str) -> None:
        name, namespace = request.match_info.get("name", ""), request.match_info.get("namespace", "")
        resource = f"{self._kind.plural}/{self._subresource}" if self._subresource else self._kind.plural
        # A namespace counts as being in itself.
        home = name if self._kind == NAMESPACE else namespace
        self._door.check(request, Action(verb, self._kind.group, resource, home, name))

    def _key(self, request: web.Request) -> Key:
        return Key(self._kind, request.match_info.get("namespace", ""), request.match_info["name"])

    def _writer(self, request: web.Request, options: str) -> Writer:
        bodies.check_options(request, options)
        agent = request.headers.get("User-Agent", "unknown").partition("/")[0]
        return Writer(
            manager=request.query.get("fieldManager") or agent,
            api_version=self._kind.api_version,
            time=kaito.stamp(self._cluster.now()),
            force=_is_on(request, "force"),
            subresource=self._subresource,
            dry_run="dryRun" in request.query,
            validation=request.query.get("fieldValidation") or "Warn",
        )

    def _answer(self, value: Object, writer: Writer | None = None, status: int = 200) -> web.Response:
        response = web.json_response(viewed(self._kind, value), status=status)
        for warning in writer.warnings if writer else []:
            response.headers.add("Warning", f"299 - {bodies.quoted(warning)}")
        return response


def _edited_by_operations(value: Object, operations: Any) -> Object:
    edited: Object = patched(value, operations)
    return edited


def _is_on(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("true", "1")
