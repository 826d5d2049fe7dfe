"""The App asks about itself and for tokens: https://docs.github.com/rest/apps/apps"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from standins.github.accounts import APP_ID, Caller, includes, refuse_suspended, same
from standins.github.answers import Json, Refused, answer, body_of, linked, page
from standins.github.hub import Hub, utc
from standins.github.repositories import APP_SLUG, app, repository, user

_MOST_REPOSITORIES = 500


async def get_app(hub: Hub, request: web.Request) -> web.Response:
    return answer(request, app(hub) | {"installations_count": len(hub.accounts.installations())})


async def get_installation(hub: Hub, request: web.Request) -> web.Response:
    return answer(request, _installation(hub, _found(hub, request)))


async def delete_installation(hub: Hub, request: web.Request) -> web.Response:
    hub.accounts.keep({**_found(hub, request), "deleted": True})
    return web.Response(status=204)


async def suspend(hub: Hub, request: web.Request) -> web.Response:
    hub.accounts.keep({**_found(hub, request), "suspended": hub.world.clock.now()})
    return web.Response(status=204)


async def unsuspend(hub: Hub, request: web.Request) -> web.Response:
    hub.accounts.keep({**_found(hub, request), "suspended": None})
    return web.Response(status=204)


async def create_token(hub: Hub, request: web.Request) -> web.Response:
    installation, wishes = _found(hub, request), await body_of(request)
    refuse_suspended(installation)
    permissions = _narrowed(installation["permissions"], wishes.get("permissions"))
    names = _chosen(hub, installation, wishes)
    made = hub.accounts.installation_token(installation, permissions, names)
    selected = installation["repositories"] is not None or names is not None
    body: Json = {
        "token": made["token"],
        "expires_at": hub.for_clients(made["expires"]),
        "permissions": permissions,
    }
    body["repository_selection"] = "selected" if selected else "all"
    if names is not None:
        body["repositories"] = [_shown(hub, f"{installation['account']}/{name}") for name in names]
    return answer(request, body, 201)


async def revoke_token(hub: Hub, _: Caller, request: web.Request) -> web.Response:
    hub.accounts.revoke(request.headers["Authorization"])
    return web.Response(status=204)


async def list_repositories(hub: Hub, caller: Caller, request: web.Request) -> web.Response:
    """What the installation's token sees."""
    if not caller.is_app:
        raise Refused(
            403,
            "You must authenticate with an installation access token in order to list repositories for an "
            "installation.",
        )
    seen = [name for name in hub.repositories if caller.sees(*name.split("/"))]
    rows, link = page(request, seen)
    return linked(
        answer(request, {"total_count": len(seen), "repositories": [_shown(hub, name) for name in rows]}),
        link,
    )


async def rate_limit(hub: Hub, caller: Caller, request: web.Request) -> web.Response:
    """The search API is not here; its limit is GitHub's."""
    core = hub.limits.state(caller.name)
    search = {"limit": 30, "used": 0, "remaining": 30, "reset": core["reset"]}
    return answer(request, {"resources": {"core": core, "search": search}, "rate": core})


def _found(hub: Hub, request: web.Request) -> Json:
    return hub.accounts.installation(request.match_info["id"])


def _narrowed(granted: Mapping[str, str], wanted: Mapping[str, str] | None) -> dict[str, str]:
    permissions = {**(wanted or granted), "metadata": "read"}
    if not all(includes({**granted, "metadata": "read"}, name, level) for name, level in permissions.items()):
        raise Refused(422, "The permissions requested are not granted to this installation.")
    return permissions


def _chosen(hub: Hub, installation: Json, wishes: Json) -> list[str] | None:
    """The names of the repositories that the token shall be for, None for all."""
    if wishes.get("repositories") is None and wishes.get("repository_ids") is None:
        return None
    names, ids = wishes.get("repositories") or [], wishes.get("repository_ids") or []
    if len(names) + len(ids) > _MOST_REPOSITORIES:
        raise Refused(422, f"A token is for {_MOST_REPOSITORIES} repositories at most.")
    installed = Caller("", installation)
    known = {
        name.split("/")[1]: options["id"]
        for name, options in hub.repositories.items()
        if installed.sees(*name.split("/"))
    }
    chosen = [
        name for name, number in known.items() if number in ids or any(same(name, wanted) for wanted in names)
    ]
    if len(chosen) < len({name.lower() for name in names} | set(ids)):
        raise Refused(
            422,
            "There is at least one repository that does not exist or is not accessible to the parent "
            "installation.",
        )
    return chosen


def _shown(hub: Hub, full_name: str) -> Json:
    """As the lists of repositories have it: without the organisation's own properties."""
    shown = repository(hub.address, hub.hosted(full_name))
    return {name: value for name, value in shown.items() if name != "custom_properties"}


def _installation(hub: Hub, row: Json) -> Json:
    account, created = user(hub.address, row["account"]), utc(row["created"])
    return {
        "id": row["id"],
        "account": account,
        "repository_selection": "all" if row["repositories"] is None else "selected",
        "access_tokens_url": f"{hub.address}/app/installations/{row['id']}/access_tokens",
        "repositories_url": f"{hub.address}/installation/repositories",
        "html_url": f"{hub.address}/settings/installations/{row['id']}",
        "app_id": APP_ID,
        "app_slug": APP_SLUG,
        "target_id": account["id"],
        "target_type": account["type"],
        "permissions": row["permissions"],
        "events": ["push"],
        "created_at": created,
        "updated_at": created,
        "single_file_name": None,
        "has_multiple_single_files": False,
        "single_file_paths": [],
        "suspended_by": None if row["suspended"] is None else account,
        "suspended_at": None if row["suspended"] is None else utc(row["suspended"]),
    }
