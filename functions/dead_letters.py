"""Dead letters and sweeps for operators. Anonymous for the host: callers prove themselves by an Entra token
with an app role.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import azure.functions as func

from functions.operators import (
    DiscardForm,
    Query,
    ReplayForm,
    SweepForm,
    authorized,
    group_json,
    letter_json,
    problem,
)
from shared import telemetry
from shared.adapters.entra import Caller
from shared.api import dead_letters
from shared.api.dead_letters import Order
from shared.bootstrap import RealApp
from shared.stages.settlement import start_sweep

stage = func.Blueprint()


@stage.route(route="dead-letters", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def list_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, _: Caller) -> tuple[int, Any]:
        query = Query.model_validate(dict(req.params))
        page = await dead_letters.listing(app, query.filter(app.clock.now()), query.first, query.most)
        converged = await dead_letters.converged(app, page.letters) if query.check else None
        known = (
            {}
            if converged is None
            else {letter.sequence: {"converged": letter.sequence in converged} for letter in page.letters}
        )
        letters = [letter_json(letter) | known.get(letter.sequence, {}) for letter in page.letters]
        groups = None if page.groups is None else [group_json(group) for group in page.groups]
        return 200, {"groups": groups, "letters": letters, "next": page.following}

    return await authorized(req, "Reader", work)


@stage.route(route="dead-letters/{sequence}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def show_dead_letter(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, _: Caller) -> tuple[int, Any]:
        sequence = Query.model_validate({"from": req.route_params["sequence"]}).first
        letter = await dead_letters.show(app, sequence)
        if letter is None:
            return problem(404, "Gone", f"there is no dead letter {sequence} any more")
        return 200, letter_json(letter) | {
            "message_id": letter.message_id,
            "body": letter.body.decode(errors="backslashreplace"),
        }

    return await authorized(req, "Reader", work)


@stage.route(route="dead-letters/replay", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def replay_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, caller: Caller) -> tuple[int, Any]:
        form = ReplayForm.model_validate_json(req.get_body())
        answers = await dead_letters.replay(app, Order(form.sequences, caller.name, form.dry_run))
        return 200, {"answers": [asdict(answer) for answer in answers]}

    return await authorized(req, "Operator", work)


@stage.route(route="dead-letters/discard", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def discard_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, caller: Caller) -> tuple[int, Any]:
        form = DiscardForm.model_validate_json(req.get_body())
        order = Order(form.sequences, caller.name, form.dry_run)
        answers = await dead_letters.discard(app, order, form.why, form.only_converged)
        return 200, {"answers": [asdict(answer) for answer in answers]}

    return await authorized(req, "Operator", work)


@stage.route(route="sweeps", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def order_sweep(req: func.HttpRequest) -> func.HttpResponse:
    async def work(app: RealApp, caller: Caller) -> tuple[int, Any]:
        deep = SweepForm.model_validate_json(req.get_body() or b"{}").deep
        message_id = await start_sweep(app, f"asked for by {caller.name}", deep)
        telemetry.sweep_ordered(caller.name, message_id, deep)
        return 202, {"queued": message_id}

    return await authorized(req, "Operator", work)
