"""What a person does on github.com before the app can work, as routes below `/_standin`. No token is asked for.

| request | what it does |
|---|---|
| `PUT /_standin/repositories/{owner}/{repo}` | create, change: `{webhook_url, webhook_secret, default_branch, protected}` |
| `POST /_standin/repositories/{owner}/{repo}/ping` | send a ping event |
| `PUT /_standin/app` | the GitHub App, installed: `{app_id, private_key, installation_id}`; always the same |
| `PUT /_standin/tokens` | `{token}`: a plain token, which is no App's |
| `PUT /_standin/options` | `{tree_entries}`: cut listings of trees earlier than GitHub does; null for GitHub's limit |
| `GET /_standin/deliveries` | webhooks sent or due, oldest first |
| `POST /_standin/deliveries/{guid}/redeliver` | send one again under the same guid |
"""

from __future__ import annotations

import shlex
from functools import partial

from aiohttp import web

from standins.github.answers import body_of, not_found
from standins.github.hub import Hosted, Hub, plain
from standins.github.webhooks import Webhooks
from standins.http import route


def add_routes(app: web.Application, hub: Hub, webhooks: Webhooks) -> None:
    path = "/_standin/repositories/{owner}/{repo}"
    route(app, "PUT", path, "set up repository", plain(partial(_put_repository, hub, webhooks)))
    route(app, "POST", f"{path}/ping", "send ping", plain(partial(_ping, hub, webhooks)))
    route(app, "PUT", "/_standin/app", "set up app", plain(partial(_put_app, hub)))
    route(app, "PUT", "/_standin/tokens", "set up token", plain(partial(_put_token, hub)))
    route(app, "PUT", "/_standin/options", "set options", plain(partial(_put_options, hub)))
    route(app, "GET", "/_standin/deliveries", "list deliveries", plain(partial(_list_deliveries, webhooks)))
    route(app, "POST", "/_standin/deliveries/{guid}/redeliver", "redeliver", plain(partial(_redeliver, webhooks)))


async def _put_repository(hub: Hub, webhooks: Webhooks, request: web.Request) -> web.Response:
    hosted = await hub.set_up(request.match_info["owner"], request.match_info["repo"], await body_of(request))
    webhooks.install(hosted)
    path = str(hosted.git.path.resolve())
    return web.json_response({"id": hosted.id, "git_url": path, "clone": f"git clone {shlex.quote(path)}"})


async def _ping(hub: Hub, webhooks: Webhooks, request: web.Request) -> web.Response:
    hosted = _hosted(hub, request)
    if not hosted.options["webhook_url"]:
        raise not_found()
    return web.json_response({"guid": webhooks.ping(hosted)}, status=202)


async def _put_app(hub: Hub, _: web.Request) -> web.Response:
    return web.json_response(hub.accounts.app())


async def _put_token(hub: Hub, _: web.Request) -> web.Response:
    return web.json_response({"token": hub.accounts.plain_token()})


async def _put_options(hub: Hub, request: web.Request) -> web.Response:
    entries = (await body_of(request)).get("tree_entries")
    if entries is None:
        hub.options.pop("tree_entries", None)
    else:
        hub.options["tree_entries"] = entries
    return web.json_response(dict(hub.options))


async def _list_deliveries(webhooks: Webhooks, _: web.Request) -> web.Response:
    return web.json_response(webhooks.list())


async def _redeliver(webhooks: Webhooks, request: web.Request) -> web.Response:
    return web.json_response(webhooks.redeliver(request.match_info["guid"]), status=202)


def _hosted(hub: Hub, request: web.Request) -> Hosted:
    try:
        return hub.hosted(f"{request.match_info['owner']}/{request.match_info['repo']}")
    except KeyError as error:
        raise not_found() from error
