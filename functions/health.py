"""Health: without a question, the process is up and its settings are whole; with `deep=true`, every service
behind it was asked.
"""

from __future__ import annotations

from typing import Any

import azure.functions as func
from pydantic import ValidationError

from functions.operators import HealthQuery, as_json, authorized, bad_request, to_json
from shared.adapters.entra import Caller
from shared.api.health_checks import check_everything
from shared.api.records import Health
from shared.bootstrap import RealApp

stage = func.Blueprint()


@stage.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    async def ask(app: RealApp, _: Caller) -> tuple[int, Any]:
        return 200, to_json(await check_everything(app))

    try:
        wanted = HealthQuery.model_validate(dict(req.params))
    except ValidationError as error:
        return bad_request(error)
    return (
        await authorized(req, "Reader", ask) if wanted.deep else as_json(200, to_json(Health(healthy=True)))
    )
