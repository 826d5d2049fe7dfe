"""GitHub's REST API over real bare Git repositories, and its push webhooks. Plain http; the base URL is the server's address.

Repositories are in `<folder>/repositories/<owner>/<name>.git`: clone the path, commit, push. The routes below `/_standin` are not
GitHub's; they do what a person does on github.com, need no token, and are written in `set_up.py`.
"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from standins.github import checks, contents, set_up, statuses
from standins.github.answers import answer, body_of
from standins.github.hub import Hub, Operation, operation, plain
from standins.github.webhooks import Webhooks
from standins.http import application, route
from standins.world import World

#: Below `/repos/{owner}/{repo}`: method, path, kind, handler, the permission of the App that it needs.
_OPERATIONS: tuple[tuple[str, str, str, Operation, str], ...] = (
    ("GET", "", "GET repository", contents.get_repository, "metadata"),
    ("GET", "/branches/{branch:.+}", "GET branch", contents.get_branch, "contents"),
    ("GET", "/git/ref/heads/{branch:.+}", "GET ref", contents.get_ref, "contents"),
    ("GET", "/git/trees/{sha:.+}", "GET tree", contents.get_tree, "contents"),
    ("GET", "/git/blobs/{sha}", "GET blob", contents.get_blob, "contents"),
    ("GET", "/tarball", "GET tarball", contents.get_tarball, "contents"),
    ("GET", "/tarball/{ref:.*}", "GET tarball", contents.get_tarball, "contents"),
    ("POST", "/check-runs", "POST check run", checks.create_check_run, "checks"),
    ("PATCH", "/check-runs/{id}", "PATCH check run", checks.update_check_run, "checks"),
    ("GET", "/check-runs/{id}/annotations", "LIST annotations", checks.list_annotations, "checks"),
    ("GET", "/commits/{ref:.+}/check-runs", "LIST check runs", checks.list_check_runs, "checks"),
    ("POST", "/statuses/{sha}", "POST status", statuses.create_status, "statuses"),
    ("GET", "/commits/{ref:.+}/statuses", "LIST statuses", statuses.list_statuses, "statuses"),
)


def build(world: World) -> web.Application:
    """Routes of the server; it starts sending webhooks when it starts serving."""
    hub = Hub(world, world.store("github"))
    webhooks = Webhooks(hub)
    app = application(world, "github")
    for method, path, kind, handler, permission in _OPERATIONS:
        level = "read" if method == "GET" else "write"
        route(app, method, "/repos/{owner}/{repo}" + path, kind, operation(hub, handler, permission, level))
    route(app, "POST", "/app/installations/{id}/access_tokens", "POST access token", plain(partial(_access_token, hub)))
    route(app, "GET", "/codeload/{owner}/{repo}/legacy.tar.gz/{sha}", "GET archive", plain(partial(contents.get_archive, hub)))
    set_up.add_routes(app, hub, webhooks)

    async def start(_: web.Application) -> None:
        await webhooks.start()

    async def stop(_: web.Application) -> None:
        await webhooks.close()
        await hub.close()

    app.on_startup.append(start)
    app.on_cleanup.append(stop)
    return app


async def _access_token(hub: Hub, request: web.Request) -> web.Response:
    authorization = request.headers.get("Authorization", "")
    token = hub.accounts.installation_token(authorization, request.match_info["id"], await body_of(request))
    return answer(request, token, 201)
