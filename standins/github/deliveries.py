"""Webhooks and their deliveries, and redelivery: https://docs.github.com/rest/apps/webhooks
https://docs.github.com/rest/repos/webhooks

Deliveries of the last three days are listed and can be redelivered; older ones are gone.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import web

from standins.github.answers import Json, Refused, answer, body_of, linked, not_found, page
from standins.github.hooks import Hook, app_hook, repository_hook
from standins.github.hub import Call, Hub
from standins.github.payloads import hook_view, ping
from standins.github.webhooks import Webhooks

_FIELDS = (
    "id",
    "guid",
    "delivered_at",
    "redelivery",
    "duration",
    "status",
    "status_code",
    "event",
    "installation_id",
    "repository_id",
)
_Delivering = Callable[[Webhooks, Hook, web.Request], Awaitable[web.Response]]


async def list_hooks(call: Call) -> web.Response:
    hook = repository_hook(call.repository)
    rows, link = page(call.request, [hook_view(call.hub, hook, call.repository)] if hook else [])
    return linked(answer(call.request, rows), link)


async def get_hook(call: Call) -> web.Response:
    return answer(call.request, hook_view(call.hub, _of_repository(call), call.repository))


async def ping_hook(webhooks: Webhooks, call: Call) -> web.Response:
    hook = _of_repository(call)
    webhooks.announce(hook, ping(call.hub, hook, call.repository))
    return web.Response(status=204)


async def get_app_config(hub: Hub, request: web.Request) -> web.Response:
    hook = app_hook(hub)
    return answer(request, hook.config() if hook else {"content_type": "json", "insecure_ssl": "0"})


async def change_app_config(hub: Hub, request: web.Request) -> web.Response:
    body = await body_of(request)
    if body.get("content_type", "json") != "json":
        raise Refused(501, "the stand-in sends JSON only")
    hub.accounts.change_app({f"webhook_{name}": body[name] for name in ("url", "secret") if name in body})
    return await get_app_config(hub, request)


def of_app(
    webhooks: Webhooks, delivering: _Delivering
) -> Callable[[Hub, web.Request], Awaitable[web.Response]]:
    """The operation on the App's webhook."""

    async def on_hook(hub: Hub, request: web.Request) -> web.Response:
        hook = app_hook(hub)
        if hook is None:
            raise not_found()
        return await delivering(webhooks, hook, request)

    return on_hook


def of_repository(webhooks: Webhooks, delivering: _Delivering) -> Callable[[Call], Awaitable[web.Response]]:
    """The operation on a repository's webhook."""

    async def on_hook(call: Call) -> web.Response:
        return await delivering(webhooks, _of_repository(call), call.request)

    return on_hook


async def list_deliveries(webhooks: Webhooks, hook: Hook, request: web.Request) -> web.Response:
    """Newest first; the next page is named by a cursor."""
    rows = [row for row in webhooks.remembered(hook) if _wanted(request, row)]
    size = min(100, max(1, int(request.query.get("per_page") or 30)))
    response = answer(request, [_item(row) for row in rows[:size]])
    if len(rows) > size:
        url = request.url.update_query(cursor=f"v1_{rows[size - 1]['id']}", per_page=size)
        return linked(response, f'<{url}>; rel="next"')
    return response


async def get_delivery(webhooks: Webhooks, hook: Hook, request: web.Request) -> web.Response:
    row = _found(webhooks, hook, request)
    sent = {"headers": row["request_headers"], "payload": json.loads(webhooks.payload(row))}
    answered = {"headers": row["response_headers"], "payload": row["response_payload"]}
    return answer(request, _item(row) | {"url": row["url"], "request": sent, "response": answered})


async def redeliver(webhooks: Webhooks, hook: Hook, request: web.Request) -> web.Response:
    webhooks.redeliver(_found(webhooks, hook, request))
    return web.json_response({}, status=202)


def _of_repository(call: Call) -> Hook:
    hook = repository_hook(call.repository)
    if hook is None or str(hook.id) != call.part("hook"):
        raise not_found()
    return hook


def _found(webhooks: Webhooks, hook: Hook, request: web.Request) -> Json:
    for row in webhooks.remembered(hook):
        if str(row["id"]) == request.match_info["delivery"]:
            return row
    raise not_found()


def _wanted(request: web.Request, row: Json) -> bool:
    """Whether the delivery is after the cursor, and has the status asked for: `success` or `failure`."""
    cursor, status = request.query.get("cursor"), request.query.get("status")
    if cursor is not None and not cursor.removeprefix("v1_").isdigit():
        raise Refused(
            422, "Validation Failed", [{"resource": "HookDelivery", "field": "cursor", "code": "invalid"}]
        )
    after = cursor is None or row["id"] < int(cursor.removeprefix("v1_"))
    return after and status in (None, "success" if row["status"] == "OK" else "failure")


def _item(row: Json) -> Json:
    return {name: row[name] for name in _FIELDS} | {"action": None, "throttled_at": None}
