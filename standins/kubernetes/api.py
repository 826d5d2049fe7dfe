"""The HTTP side of one kind: https://kubernetes.io/docs/reference/using-api/api-concepts/ ."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from aiohttp import web

from standins.http import Handler
from standins.identity import InvalidToken, verify
from standins.kubernetes import access, bodies, discovery, kaito, lists, logs, paths
from standins.kubernetes.access import Action
from standins.kubernetes.cluster import Cluster
from standins.kubernetes.errors import (
    NoSuchPath,
    Refused,
    json_answer,
    no_such_resource,
    not_allowed,
    too_new,
    unsupported,
)
from standins.kubernetes.forms import Form
from standins.kubernetes.kinds import NAMESPACE, QUOTA, Kind, Object
from standins.kubernetes.objects import Key
from standins.kubernetes.ownership import User, Writer, fields, managed_fields, written
from standins.kubernetes.patches import merged, patched
from standins.kubernetes.schema import ANY
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
                answer = await operation(request)
            except Refused as refusal:
                if refusal.code == 501:
                    self._world.loud(
                        "kubernetes", f"501 {request.method} {request.path_qs}: {refusal.message}"
                    )
                answer = refusal.response()
            for warning in request.get("warnings", ()):
                answer.headers.add("Warning", f"299 - {bodies.quoted(warning)}")
            return answer

        return handler

    async def review(self, request: web.Request) -> web.Response:
        """What a client may do, and who it is: nothing of it is stored."""
        body = await bodies.sent(request)
        group, _, version = request.path.removeprefix("/apis/").partition("/")
        body = {
            "kind": _REVIEWS[request.match_info["review"]],
            "apiVersion": f"{group}/{version[:2]}",
            **body,
        }
        user = self.user(request)
        if problem := access.review_problem(body):
            raise problem
        answer = {**body, "metadata": {}, "status": access.review(self._cluster.objects, user, body)}
        now = kaito.stamp(self._cluster.now())
        if body["kind"] == "SelfSubjectReview":
            answer["metadata"] = {"creationTimestamp": now}
        if body["kind"] == "SelfSubjectRulesReview":
            answer["spec"] = {}
        if body["kind"] == "SelfSubjectAccessReview":
            writer = Writer(_agent(request), body["apiVersion"], now)
            owners = written({}, fields({"spec": body.get("spec", {})}, ANY, structs=True), {}, writer)
            answer["metadata"] = {"managedFields": managed_fields(owners)}
        return json_answer(answer, 201)

    async def elsewhere(self, request: web.Request) -> web.Response:
        """Discovery. Raises `Refused` for a path that belongs to no operation."""
        options, path = self._cluster.objects.options, request.path.rstrip("/") or "/"
        if request.method == "GET":
            found = discovery.document(path, options, request.host)
            if found is not None:
                answer = web.Response(text=found) if isinstance(found, str) else json_answer(found)
                if path == "/openapi/v3":  # a list of paths, which says of itself that it is text
                    answer.headers["Content-Type"] = "text/plain; charset=utf-8"
                return answer
        if discovery.document(path, options, request.host) is not None:
            raise not_allowed()
        raise paths.refusal(request.method, path, discovery.served(options))


_REVIEWS = {f"{name.lower()}s": name for _, name in discovery.REVIEWS}


class Api:
    """Handlers for the operations on one kind in one version, or on its subresource `status`."""

    def __init__(self, door: Door, cluster: Cluster, kind: Kind, subresource: str = "") -> None:
        self._door = door
        self._cluster = cluster
        self._kind = kind
        self._subresource = subresource

    def handle(self, verb: str, operation: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Handler:
        """The operation behind the check of the token and of the right to `verb`, if the kind is served."""

        async def checked(request: web.Request) -> web.StreamResponse:
            if not self._kind.is_served(self._cluster.objects.options):
                raise NoSuchPath if self._kind.is_custom else no_such_resource()
            self._allow(request, "watch" if verb == "list" and _is_on(request, "watch") else verb)
            return await operation(request)

        return self._door.guarded(checked)

    async def get(self, request: web.Request) -> web.Response:
        form, newest = self._form(request), self._cluster.objects.version
        if (wanted := lists.number(request, "resourceVersion")) > newest:
            raise too_new(wanted, newest)
        return form.answer(self._cluster.get(self._key(request)))

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Or a watch."""
        view = lists.View.of(self._cluster, self._form(request), request)
        if _is_on(request, "watch"):
            return await lists.watch(view, request)
        return view.form.response(lists.listed(view, request))

    async def create(self, request: web.Request) -> web.Response:
        value = await bodies.whole(request, self._kind)
        key = Key(self._kind, request.match_info.get("namespace", ""), value["metadata"].get("name") or "")
        writer = self._writer(request, "CreateOptions")
        return self._form(request).answer(self._cluster.create(key, value, writer), 201)

    async def replace(self, request: web.Request) -> web.Response:
        value = await bodies.whole(request, self._kind)
        writer = self._writer(request, "UpdateOptions")
        return self._form(request).answer(self._cluster.replace(self._key(request), value, writer))

    async def patch(self, request: web.Request) -> web.Response:
        """Server-side apply, a merge patch or a JSON patch, by Content-Type."""
        known = [_JSON, _MERGE, *([] if self._kind.is_custom else [_STRATEGIC]), _APPLY]
        if request.content_type not in known:
            raise bodies.unknown_format(known)
        key, text, writer = self._key(request), await request.text(), self._writer(request, "PatchOptions")
        if request.content_type == _APPLY:
            return self._apply(request, key, text, writer)
        if request.content_type == _JSON:
            edit = partial(_edited_by_operations, operations=bodies.patch(text, list))
        elif request.content_type == _MERGE:
            edit = partial(merged, patch=bodies.patch(text))
        else:
            edit = partial(merged, patch=bodies.plain(bodies.patch(text)))
        return self._form(request).answer(self._cluster.patch(key, edit, writer))

    async def delete(self, request: web.Request) -> web.Response:
        """200 with the object while it is going, with a `Status` when it is gone."""
        key, text = self._key(request), await request.text()
        wish, tried = bodies.deletion(request, bodies.parsed(text) if text else None)
        writer = self._writer(request, "DeleteOptions", tried)
        value, is_gone = self._cluster.delete(key, wish, writer)
        if not is_gone or self._kind is QUOTA:
            return self._form(request).answer(value)
        details = {
            "name": key.name,
            "group": self._kind.group,
            "kind": self._kind.plural,
            "uid": value["metadata"]["uid"],
        }
        details = {name: part for name, part in details.items() if part}
        return json_answer(
            {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        )

    async def delete_all(self, request: web.Request) -> web.Response:
        """What is selected; the answer is the list of it."""
        text = await request.text()
        wish, tried = bodies.deletion(request, bodies.parsed(text) if text else None)
        view = lists.View.of(self._cluster, self._form(request), request)
        content = lists.listed(view, request)
        for value in lists.selected(view):
            metadata = value["metadata"]
            key = Key(self._kind, metadata.get("namespace", ""), metadata["name"])
            self._cluster.delete(key, wish, self._writer(request, "DeleteOptions", tried))
        return view.form.response(content)

    async def log(self, request: web.Request) -> web.Response:
        return logs.answer(self._cluster.objects, self._cluster.get(self._key(request)), request)

    async def connect(self, request: web.Request) -> web.Response:
        self._cluster.connect(self._key(request), self._writer(request, "CreateOptions"))
        raise unsupported(f"{self._kind.plural}/{self._subresource}")

    def _apply(self, request: web.Request, key: Key, text: str, writer: Writer) -> web.Response:
        bodies.check_manager(request)
        value = bodies.applied(text, request, self._kind)
        if self._cluster.objects.find(key) is None:
            self._allow(request, "create")
        applied, created = self._cluster.apply(key, value, writer)
        return self._form(request).answer(applied, 201 if created else 200)

    def _allow(self, request: web.Request, verb: str) -> None:
        name, namespace = request.match_info.get("name", ""), request.match_info.get("namespace", "")
        resource = f"{self._kind.plural}/{self._subresource}" if self._subresource else self._kind.plural
        # A namespace counts as being in itself.
        home = name if self._kind is NAMESPACE else namespace
        self._door.check(request, Action(verb, self._kind.group, resource, home, name))

    def _key(self, request: web.Request) -> Key:
        return Key(self._kind, request.match_info.get("namespace", ""), request.match_info["name"])

    def _form(self, request: web.Request) -> Form:
        return Form.of(request, self._kind, self._cluster.now())

    def _writer(self, request: web.Request, options: str, tried: bool = False) -> Writer:
        bodies.check_options(request, options)
        request["warnings"] = []
        return Writer(
            manager=request.query.get("fieldManager") or _agent(request),
            api_version=self._kind.api_version,
            time=kaito.stamp(self._cluster.now()),
            force=_is_on(request, "force"),
            subresource=self._subresource,
            dry_run=tried or "dryRun" in request.query,
            validation=request.query.get("fieldValidation") or "Warn",
            user=self._door.user(request),
            warnings=request["warnings"],
        )


def _agent(request: web.Request) -> str:
    """The field manager of a client that names none."""
    return request.headers.get("User-Agent", "unknown").partition("/")[0]


def _edited_by_operations(value: Object, operations: Any) -> Object:
    edited: Object = patched(value, operations)
    return edited


def _is_on(request: web.Request, name: str) -> bool:
    return request.query.get(name, "").lower() in ("true", "1")
