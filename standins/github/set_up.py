"""What a person does on github.com before the app can work, as routes below `/_standin`. No token is asked
for.

| request | what it does |
|---|---|
| `PUT /_standin/repositories/{owner}/{repo}` | create, change: `{default_branch, protected}` |
| the same | its own webhook: `{webhook_url, webhook_secret}` |
| `POST /_standin/repositories/{owner}/{repo}/ping` | send a ping event to the repository's webhook |
| `PUT /_standin/app` | install the GitHub App: `{app_id, client_id, private_key, installation_id}` |
| the same | on whose `account`, contoso unless told |
| the same | what the account's owner allows: `{permissions, repositories}` (names; null: all) |
| the same | the App's webhook: `{webhook_url, webhook_secret}` |
| `POST /_standin/app/ping` | send a ping event to the App's webhook |
| `PUT /_standin/tokens` | `{token}`: a plain token of the person `{login}`, which is no App's |
| `GET /_standin/deliveries` | webhooks sent or due, oldest first; GitHub's own lists have three days |
| `POST /_standin/deliveries/{guid}/redeliver` | the button: send the first delivery with this guid again |
"""

from __future__ import annotations

import shlex
from functools import partial

from aiohttp import web

from standins.github.accounts import APP_ID, CLIENT_ID, OWNER
from standins.github.answers import body_of, not_found
from standins.github.hooks import app_hook, repository_hook
from standins.github.hub import Hub, plain
from standins.github.payloads import ping
from standins.github.pushes import Pushes
from standins.github.webhooks import Webhooks
from standins.http import route

_SHOWN = (
    "guid",
    "event",
    "repository",
    "url",
    "payload_size",
    "redelivery",
    "id",
    "delivered_at",
    "status_code",
    "duration",
)


def add_routes(app: web.Application, hub: Hub, pushes: Pushes, webhooks: Webhooks) -> None:
    path = "/_standin/repositories/{owner}/{repo}"
    route(app, "PUT", path, "set up repository", plain(partial(_put_repository, hub, pushes)))
    route(app, "POST", f"{path}/ping", "send ping", plain(partial(_ping_repository, hub, webhooks)))
    route(app, "PUT", "/_standin/app", "set up app", plain(partial(_put_app, hub)))
    route(app, "POST", "/_standin/app/ping", "send ping", plain(partial(_ping_app, hub, webhooks)))
    route(app, "PUT", "/_standin/tokens", "set up token", plain(partial(_put_token, hub)))
    route(app, "GET", "/_standin/deliveries", "list deliveries", plain(partial(_list_deliveries, webhooks)))
    route(
        app,
        "POST",
        "/_standin/deliveries/{guid}/redeliver",
        "redeliver",
        plain(partial(_redeliver, webhooks)),
    )


async def _put_repository(hub: Hub, pushes: Pushes, request: web.Request) -> web.Response:
    hosted = await hub.set_up(request.match_info["owner"], request.match_info["repo"], await body_of(request))
    pushes.install(hosted)
    path = str(hosted.git.path.resolve())
    return web.json_response({"id": hosted.id, "git_url": path, "clone": f"git clone {shlex.quote(path)}"})


async def _ping_repository(hub: Hub, webhooks: Webhooks, request: web.Request) -> web.Response:
    try:
        hosted = hub.hosted(f"{request.match_info['owner']}/{request.match_info['repo']}")
    except KeyError as error:
        raise not_found() from error
    hook = repository_hook(hosted)
    if hook is None:
        raise not_found()
    webhooks.announce(hook, event := ping(hub, hook, hosted))
    return web.json_response({"guid": event.guid}, status=202)


async def _put_app(hub: Hub, request: web.Request) -> web.Response:
    wishes = await body_of(request)
    hub.accounts.change_app(
        {name: wishes[name] for name in ("webhook_url", "webhook_secret") if name in wishes}
    )
    installation = hub.accounts.install(wishes)
    identity = {"app_id": APP_ID, "client_id": CLIENT_ID, "private_key": hub.accounts.app["private_key"]}
    return web.json_response(identity | {"installation_id": installation["id"]})


async def _ping_app(hub: Hub, webhooks: Webhooks, _: web.Request) -> web.Response:
    hook = app_hook(hub)
    if hook is None:
        raise not_found()
    webhooks.announce(hook, event := ping(hub, hook, None))
    return web.json_response({"guid": event.guid}, status=202)


async def _put_token(hub: Hub, request: web.Request) -> web.Response:
    return web.json_response(
        {"token": hub.accounts.plain_token((await body_of(request)).get("login", OWNER))}
    )


async def _list_deliveries(webhooks: Webhooks, _: web.Request) -> web.Response:
    return web.json_response([{name: row[name] for name in _SHOWN} for row in webhooks.all()])


async def _redeliver(webhooks: Webhooks, request: web.Request) -> web.Response:
    first = next((row for row in webhooks.all() if row["guid"] == request.match_info["guid"]), None)
    if first is None:
        raise not_found()
    return web.json_response({"id": webhooks.redeliver(first)["id"]}, status=202)
