"""What a team and the platform can ask. Anonymous for the host: callers prove themselves by an Entra token.

A team's members see their own record, by the groups in their token; Readers and Operators see everything.
"""

from __future__ import annotations

from typing import Any

import azure.functions as func

from functions.description import description
from functions.operators import Asked, as_json, authorized, problem, to_json
from shared import settings
from shared.adapters.entra import Caller, Refused
from shared.api import teams
from shared.api.teams import Audience
from shared.bootstrap import RealApp

stage = func.Blueprint()


@stage.route(route="teams", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def list_teams(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, caller: Caller) -> tuple[int, Any]:
        Asked.model_validate(dict(req.params))
        return 200, to_json(await teams.teams(app, audience(caller)))

    return await authorized(req, None, work)


@stage.route(route="teams/{team}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def show_team(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, caller: Caller) -> tuple[int, Any]:
        Asked.model_validate(dict(req.params))
        record = await teams.team(app, req.route_params["team"], audience(caller))
        return (
            (200, to_json(record))
            if record
            else problem(404, "NoSuchTeam", "there is no such team, or it is not one of yours")
        )

    return await authorized(req, None, work)


@stage.route(route="models", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def list_models(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, caller: Caller) -> tuple[int, Any]:
        Asked.model_validate(dict(req.params))
        return 200, to_json(await teams.models(app, closely=caller.may("Reader")))

    return await authorized(req, None, work)


@stage.route(route="providers", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def list_providers(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, _: Caller) -> tuple[int, Any]:
        Asked.model_validate(dict(req.params))
        return 200, to_json(await teams.providers(app))

    return await authorized(req, "Reader", work)


@stage.route(route="config", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def show_config(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, _: Caller) -> tuple[int, Any]:
        Asked.model_validate(dict(req.params))
        return 200, to_json(settings.shown(app.settings))

    return await authorized(req, "Reader", work)


@stage.route(route="openapi.json", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
# the host binds the parameter by its name
async def describe(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Open to everybody: it says what can be asked, and nothing of what would be answered."""
    return as_json(200, description())


def audience(caller: Caller) -> Audience:
    """Raises Refused when the token does not say of which groups the caller is a member."""
    if caller.may("Reader"):
        return Audience(None)
    if caller.groups is None:
        message = (
            "your token lists no groups, because you are in too many: let the API's registration list only "
            "assigned groups"
        )
        raise Refused(403, "GroupsNotListed", f"{message} (groupMembershipClaims: ApplicationGroup)")
    return Audience(caller.groups)
