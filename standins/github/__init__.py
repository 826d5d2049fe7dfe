"""GitHub's REST API over real bare Git repositories, and webhooks. Plain http; the base URL is the server's
address.

Repositories are in `<folder>/repositories/<owner>/<name>.git`: clone the path, commit, push. The routes below
`/_standin` are not GitHub's; they do what a person does on github.com, need no token, and are written in
`set_up.py`.

Options, changed through the control interface (`set_options("github", ...)`):

| option | default | meaning |
|---|---|---|
| `rate_limit` | 5000 | requests of one installation or one person in an hour of the clock |
| `limit_status` | 403 | what a caller above it is answered; GitHub reserves the right to 429 |
| `secondary_limits` | false | refuse bursts too (`limits.py`); tests and the demo report without pauses |
| `tree_entries`, `tree_bytes` | 100 000, 7 MB | where a recursive listing of a tree is cut |
| `webhook_delay` | 0 | seconds of the clock between an event and its delivery |
| `webhook_copies` | 1 | 2: every delivery comes twice under one guid |
| `webhook_hold` | 0 | n: deliveries wait until there are n, then leave newest first; 0 lets all go |
| `webhook_timeout` | 10 | seconds of real time that a receiver may take |

Faults of deliveries are those of the control interface, with the kinds `webhook push` and `webhook ping`:
before (nobody is reached: the delivery has failed, or got the status told) or after (the receiver has it,
GitHub does not know). The kind `webhook event` loses an event for good: there is no delivery of it, and
nothing to redeliver.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from standins.github import apps, checks, commits, contents, deliveries, set_up, statuses
from standins.github.deliveries import of_app, of_repository
from standins.github.hub import Call, Hub, Operation, TokenOperation, as_app, operation, plain, with_token
from standins.github.pushes import Pushes
from standins.github.webhooks import Webhooks
from standins.http import application, route
from standins.world import World

_AppOperation = Callable[[Hub, web.Request], Awaitable[web.Response]]

#: Below `/repos/{owner}/{repo}`: method, path, kind, handler, the permission of the App that it needs.
_OPERATIONS: tuple[tuple[str, str, str, Operation, str], ...] = (
    ("GET", "", "GET repository", contents.get_repository, "metadata"),
    (
        "GET",
        "/branches/{branch:.+}/protection",
        "GET branch protection",
        contents.get_protection,
        "administration",
    ),
    ("GET", "/branches/{branch:.+}", "GET branch", contents.get_branch, "contents"),
    ("GET", "/git/ref/{ref:(?:heads|tags)/.+}", "GET ref", contents.get_ref, "contents"),
    ("GET", "/git/trees/{sha:.+}", "GET tree", contents.get_tree, "contents"),
    ("GET", "/git/blobs/{sha}", "GET blob", contents.get_blob, "contents"),
    ("GET", "/git/commits/{sha}", "GET git commit", commits.get_git_commit, "contents"),
    ("GET", "/commits", "LIST commits", commits.list_commits, "contents"),
    ("GET", "/contents/{path:.+}", "GET contents", contents.get_contents, "contents"),
    ("GET", "/tarball/{ref:.*}", "GET tarball", contents.get_tarball, "contents"),
    ("GET", "/compare/{basehead:.+}", "GET comparison", commits.compare, "contents"),
    ("POST", "/check-runs", "POST check run", checks.create_check_run, "checks"),
    ("GET", "/check-runs/{id}", "GET check run", checks.get_check_run, "checks"),
    ("PATCH", "/check-runs/{id}", "PATCH check run", checks.update_check_run, "checks"),
    ("GET", "/check-runs/{id}/annotations", "LIST annotations", checks.list_annotations, "checks"),
    ("POST", "/statuses/{sha}", "POST status", statuses.create_status, "statuses"),
    ("GET", "/commits/{ref:.+}/check-runs", "LIST check runs", checks.list_check_runs, "checks"),
    ("GET", "/commits/{ref:.+}/statuses", "LIST statuses", statuses.list_statuses, "statuses"),
    ("GET", "/commits/{ref:.+}/status", "GET combined status", statuses.combined_status, "statuses"),
    ("GET", "/commits/{ref:.+}", "GET commit", commits.get_commit, "contents"),
    ("GET", "/hooks", "LIST webhooks", deliveries.list_hooks, "repository_hooks"),
    ("GET", "/hooks/{hook}", "GET webhook", deliveries.get_hook, "repository_hooks"),
)
#: What the App asks for with its JWT.
_OF_THE_APP: tuple[tuple[str, str, str, _AppOperation], ...] = (
    ("GET", "/app", "GET app", apps.get_app),
    ("GET", "/app/installations/{id}", "GET installation", apps.get_installation),
    ("DELETE", "/app/installations/{id}", "DELETE installation", apps.delete_installation),
    ("PUT", "/app/installations/{id}/suspended", "PUT suspension", apps.suspend),
    ("DELETE", "/app/installations/{id}/suspended", "DELETE suspension", apps.unsuspend),
    ("POST", "/app/installations/{id}/access_tokens", "POST access token", apps.create_token),
    ("GET", "/app/hook/config", "GET webhook config", deliveries.get_app_config),
    ("PATCH", "/app/hook/config", "PATCH webhook config", deliveries.change_app_config),
)
#: What any token may ask for.
_OF_A_TOKEN: tuple[tuple[str, str, str, TokenOperation], ...] = (
    ("GET", "/installation/repositories", "LIST repositories", apps.list_repositories),
    ("DELETE", "/installation/token", "DELETE access token", apps.revoke_token),
)
#: Below a webhook: method, path, kind, handler.
_DELIVERIES = (
    ("GET", "/deliveries", "LIST deliveries", deliveries.list_deliveries),
    ("GET", "/deliveries/{delivery}", "GET delivery", deliveries.get_delivery),
    ("POST", "/deliveries/{delivery}/attempts", "POST redelivery", deliveries.redeliver),
)


def build(world: World) -> web.Application:
    """Routes of the server; it starts sending webhooks when it starts serving."""
    hub = Hub(world, world.store("github"))
    webhooks = Webhooks(hub)
    pushes = Pushes(hub, webhooks)
    app = application(world, "github")
    _add_routes(app, hub, webhooks)
    set_up.add_routes(app, hub, pushes, webhooks)

    async def start(_: web.Application) -> None:
        await webhooks.start()
        pushes.start()

    async def stop(_: web.Application) -> None:
        await pushes.close()
        await webhooks.close()
        await hub.close()

    app.on_startup.append(start)
    app.on_cleanup.append(stop)
    return app


def _add_routes(app: web.Application, hub: Hub, webhooks: Webhooks) -> None:
    repository, hook = "/repos/{owner}/{repo}", "/hooks/{hook}"
    for method, path, kind, handler, permission in _OPERATIONS:
        route(app, method, repository + path, kind, operation(hub, handler, permission, _level(method)))
    for method, path, kind, asked in _OF_THE_APP:
        route(app, method, path, kind, as_app(hub, asked))
    for method, path, kind, told in _OF_A_TOKEN:
        route(app, method, path, kind, with_token(hub, told))
    route(app, "GET", "/rate_limit", "GET rate limit", with_token(hub, apps.rate_limit, free=True))
    for method, path, kind, delivering in _DELIVERIES:
        route(app, method, f"/app/hook{path}", f"{kind} of app", as_app(hub, of_app(webhooks, delivering)))
        of_hook = operation(hub, of_repository(webhooks, delivering), "repository_hooks", _level(method))
        route(app, method, f"{repository}{hook}{path}", f"{kind} of webhook", of_hook)

    async def ping(call: Call) -> web.Response:
        return await deliveries.ping_hook(webhooks, call)

    route(
        app,
        "POST",
        f"{repository}{hook}/pings",
        "POST ping",
        operation(hub, ping, "repository_hooks", "write"),
    )

    async def archive(request: web.Request) -> web.Response:
        return await contents.get_archive(hub, request)

    route(app, "GET", "/codeload/{owner}/{repo}/legacy.tar.gz/{sha}", "GET archive", plain(archive))


def _level(method: str) -> str:
    return "read" if method == "GET" else "write"
