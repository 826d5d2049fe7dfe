"""Teams, models and settings over HTTP. The host lets everybody in; callers show an Entra token.

Members of a team see their own record, by the groups in their token; Readers and Operators see everything.
"""

from __future__ import annotations

from typing import Any

import azure.functions as func

from functions.description import description
from functions.operators import NoQuery, as_json, authorized, parse_query, problem, to_json
from shared import settings
from shared.adapters.entra import Caller, Refused
from shared.api import teams
from shared.api.teams import Audience
from shared.bootstrap import RealApp

stage = func.Blueprint()
ANONYMOUS = func.AuthLevel.ANONYMOUS


@stage.route(route="teams", methods=["GET"], auth_level=ANONYMOUS)
@authorized()
async def list_teams(req: func.HttpRequest, app: RealApp, caller: Caller) -> tuple[int, Any]:
    parse_query(req, NoQuery)
    return 200, to_json(await teams.teams(app, audience(caller)))


@stage.route(route="teams/{team}", methods=["GET"], auth_level=ANONYMOUS)
@authorized()
async def show_team(req: func.HttpRequest, app: RealApp, caller: Caller) -> tuple[int, Any]:
    parse_query(req, NoQuery)
    record = await teams.team(app, req.route_params["team"], audience(caller))
    if record is None:
        return problem(404, "NoSuchTeam", "there is no such team, or it is not one of yours")
    return 200, to_json(record)


@stage.route(route="models", methods=["GET"], auth_level=ANONYMOUS)
@authorized()
async def list_models(req: func.HttpRequest, app: RealApp, caller: Caller) -> tuple[int, Any]:
    parse_query(req, NoQuery)
    return 200, to_json(await teams.models(app, with_shares=caller.may("Reader")))


@stage.route(route="providers", methods=["GET"], auth_level=ANONYMOUS)
@authorized("Reader")
async def list_providers(req: func.HttpRequest, app: RealApp, _: Caller) -> tuple[int, Any]:
    parse_query(req, NoQuery)
    return 200, to_json(await teams.providers(app))


@stage.route(route="config", methods=["GET"], auth_level=ANONYMOUS)
@authorized("Reader")
async def show_config(req: func.HttpRequest, app: RealApp, _: Caller) -> tuple[int, Any]:
    parse_query(req, NoQuery)
    return 200, to_json(settings.shown(app.settings))


@stage.route(route="openapi.json", methods=["GET"], auth_level=ANONYMOUS)
# the host binds the parameter by its name
async def describe(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001
    """Open to everybody: the description holds no data."""
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
