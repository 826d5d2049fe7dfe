"""Health: the process is up and its settings are complete; with `deep=true`, every service behind it is
checked.
"""

from __future__ import annotations

from typing import Any

import azure.functions as func
from pydantic import ValidationError

from functions.operators import HealthQuery, as_json, authorized, bad_request, parse_query, problem, to_json
from shared import bootstrap
from shared.adapters.entra import Caller
from shared.api.health_checks import check_everything
from shared.api.records import Health
from shared.bootstrap import RealApp

stage = func.Blueprint()


@stage.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    try:
        query = parse_query(req, HealthQuery)
    except ValidationError as error:
        return bad_request(error)
    if not query.deep:
        return as_json(200, to_json(Health(healthy=True)))
    if bootstrap.app().settings.app_part in ("webhook", "questions"):
        # Its identity may not ask everything.
        return as_json(*problem(404, "NotHere", "the app whose APP_PART is workers answers this"))
    return await _deep_health(req)


@authorized("Reader")
async def _deep_health(_: func.HttpRequest, app: RealApp, __: Caller) -> tuple[int, Any]:
    return 200, to_json(await check_everything(app))
