"""Lists and watches: https://kubernetes.io/docs/reference/using-api/api-concepts/ ."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from standins.kubernetes.cluster import Cluster
from standins.kubernetes.errors import Refused, bad_request, expired, invalid_options, too_new
from standins.kubernetes.forms import Form
from standins.kubernetes.kinds import Kind, Object
from standins.kubernetes.objects import Change
from standins.kubernetes.selectors import Selects, selection

#: Seconds of real time between two looks of a watch, and after which the server ends one that sets no limit.
_PACE, _LONGEST = 0.1, 1800.0
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new "
    "list without the continue parameter, or use the continue token in this response to retrieve the "
    "remainder of the results. Continuing with the provided token results in an inconsistent list - objects "
    "that were created, modified, or deleted between the time the first chunk was returned and now may show "
    "up in the list."
)


@dataclass(frozen=True)
class View:
    """Which objects somebody looks at, and in which form. `namespace` is None for all."""

    cluster: Cluster
    form: Form
    namespace: str | None
    selects: Selects

    @classmethod
    def of(cls, cluster: Cluster, form: Form, request: web.Request) -> View:
        """Raises `Refused` (400)."""
        kind = form.kind
        selects = selection(
            kind, request.query.get("labelSelector", ""), request.query.get("fieldSelector", "")
        )
        return cls(cluster, form, request.match_info.get("namespace") if kind.namespaced else None, selects)

    @property
    def kind(self) -> Kind:
        return self.form.kind


def listed(view: View, request: web.Request) -> Object:
    """One page of a list."""
    limit = number(request, "limit")
    found, version, start = _asked_for(view, request)
    left = sorted((value for value in found if view.selects(value) and _place(value) > start), key=_place)
    metadata: Object = {"resourceVersion": str(version)}
    metadata |= {"continue": ""} if view.form.kind.is_custom else {}
    if limit and len(left) > limit:
        metadata["continue"] = _token(version, _place(left[limit - 1]))
        if not request.query.get("labelSelector") and not request.query.get("fieldSelector"):
            metadata["remainingItemCount"] = len(left) - limit
    return view.form.of_list(left[: limit or None], metadata)


def selected(view: View) -> list[Object]:
    """All that is selected."""
    return [each for each in view.cluster.list(view.kind, view.namespace) if view.selects(each)]


def _asked_for(view: View, request: web.Request) -> tuple[list[Object], int, str]:
    """The objects of the moment that is asked for, its version, and the place after which the page begins."""
    current = view.cluster.list(view.kind, view.namespace)
    newest, wanted = view.cluster.objects.version, number(request, "resourceVersion")
    exactly = _match(request)
    if token := request.query.get("continue"):
        version, start = _read_token(token)
        if wanted:
            raise bad_request("specifying resource version is not allowed when using continue")
        return (_page_source(view, version, start), version, start) if version else (current, newest, start)
    if wanted > newest:
        raise too_new(wanted, newest)
    if exactly:
        return view.cluster.objects.as_of(view.kind, view.namespace, wanted), wanted, ""
    return current, newest, ""


def _match(request: web.Request) -> bool:
    """Whether exactly the version that is named is asked for. Raises `Refused` (422)."""
    wish = request.query.get("resourceVersionMatch", "")
    if wish not in ("", "Exact", "NotOlderThan"):
        why = f'Unsupported value: "{wish}": supported values: "Exact", "NotOlderThan", ""'
        raise invalid_options("ListOptions", "resourceVersionMatch", why)
    if wish and not request.query.get("resourceVersion"):
        why = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise invalid_options("ListOptions", "resourceVersionMatch", why)
    return wish == "Exact"


async def watch(view: View, request: web.Request) -> web.StreamResponse:
    """Events until the time is over or the client leaves. Raises `Refused` before the first one only."""
    if request.query.get("sendInitialEvents"):
        why = (
            "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
        )
        raise invalid_options("ListOptions", "sendInitialEvents", why)
    since = number(request, "resourceVersion")
    ends = time.monotonic() + (number(request, "timeoutSeconds") or _LONGEST)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionResetError):  # the client may have had enough
        try:
            since = await _follow(view, request, response, since, ends)
        except Refused as refusal:
            await _send(response, [{"type": "ERROR", "object": refusal.status()}])
        else:
            await _send(response, list(_bookmarks(view, request, since)))
        await response.write_eof()
    return response


async def _follow(
    view: View, request: web.Request, response: web.StreamResponse, since: int, ends: float
) -> int:
    """Send what happens after a version (0: first what is there) until the time is over; the version that was
    reached.
    """
    if not since:
        first, since = view.cluster.list(view.kind, view.namespace), view.cluster.objects.version
        await _send(response, [_event(view, "ADDED", value) for value in first if view.selects(value)])
    while time.monotonic() < ends and request.transport is not None and not request.transport.is_closing():
        view.cluster.look(view.kind, view.namespace)
        events, reached = list(_events(view, since)), view.cluster.objects.version
        await _send(response, events)  # meanwhile others write
        since = max(since, reached)
        await asyncio.sleep(min(_PACE, max(0.0, ends - time.monotonic())))
    return since


def _bookmarks(view: View, request: web.Request, version: int) -> Iterator[Object]:
    """What a watch says at its end to clients that want to go on from there."""
    if request.query.get("allowWatchBookmarks") in ("true", "True", "1"):
        mark = {
            "apiVersion": view.kind.api_version,
            "kind": view.kind.name,
            "metadata": {"resourceVersion": str(version)},
        }
        yield {"type": "BOOKMARK", "object": mark}


async def _send(response: web.StreamResponse, events: list[Object]) -> None:
    for event in events:
        await response.write(json.dumps(event, separators=(",", ":")).encode() + b"\n")


def _events(view: View, since: int) -> Iterator[Object]:
    if view.cluster.objects.version > since:
        for change in view.cluster.objects.changes(view.kind, view.namespace, since):
            if (event := _of_change(view, change)) is not None:
                yield event


def _of_change(view: View, change: Change) -> Object | None:
    """As somebody sees it who sees only what is selected: what leaves the selection is deleted for them."""
    was = change.before is not None and view.selects(change.before)
    if change.after is not None and view.selects(change.after):
        return _event(view, "MODIFIED" if was else "ADDED", change.after)
    if was and change.before is not None:
        metadata = {**change.before["metadata"], "resourceVersion": str(change.version)}
        return _event(view, "DELETED", {**change.before, "metadata": metadata})
    return None


def _event(view: View, name: str, value: Object) -> Object:
    return {"type": name, "object": view.form.of_object(value)}


def _page_source(view: View, version: int, start: str) -> list[Object]:
    """The objects as they were when the first page was read; they may be forgotten by now."""
    try:
        return view.cluster.objects.as_of(view.kind, view.namespace, version)
    except Refused as problem:
        refusal = expired(_TOO_OLD)
        refusal.metadata = {"continue": _token(0, start)}
        raise refusal from problem


def _place(value: Object) -> str:
    return f"{value['metadata'].get('namespace', '')}/{value['metadata']['name']}"


def _token(version: int, start: str) -> str:
    """`version` 0 goes on from the newest state."""
    return (
        base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}).encode())
        .decode()
        .rstrip("=")
    )


def _read_token(token: str) -> tuple[int, str]:
    try:
        content: Any = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return int(content["rv"]), str(content["start"])
    except (binascii.Error, ValueError, KeyError, TypeError) as error:
        why = f"continue key is not valid: {error}"
        raise bad_request(f"invalid continue token: {why}") from error


def number(request: web.Request, name: str) -> int:
    """A parameter, 0 where it is absent. Raises `Refused` (400)."""
    text = request.query.get(name) or "0"
    if text.removeprefix("-" if name == "limit" else "").isdecimal():
        return max(0, int(text))
    if name == "resourceVersion":
        why = f'strconv.ParseUint: parsing "{text}": invalid syntax'
        raise bad_request(f'invalid resource version: resourceVersion: Invalid value: "{text}": {why}')
    raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
