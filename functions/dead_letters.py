"""Dead letters, sweeps and their findings for operators. The host lets everybody in; callers show an Entra
token with an app role.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import azure.functions as func

from functions.answers import letter_page, whole_letter
from functions.operators import (
    DiscardForm,
    FindingsQuery,
    NoQuery,
    Query,
    ReplayForm,
    SweepForm,
    authorized,
    parse_query,
    problem,
    to_json,
)
from shared import telemetry
from shared.adapters.entra import Caller
from shared.api import dead_letters, findings
from shared.api.dead_letters import Command
from shared.bootstrap import RealApp
from shared.stages.settlement import start_sweep

stage = func.Blueprint()
ANONYMOUS = func.AuthLevel.ANONYMOUS


@stage.route(route="dead-letters", methods=["GET"], auth_level=ANONYMOUS)
@authorized("Reader")
async def list_dead_letters(req: func.HttpRequest, app: RealApp, _: Caller) -> tuple[int, Any]:
    query = parse_query(req, Query)
    page = await dead_letters.listing(app, query.filter(app.clock.now()), query.first, query.most)
    converged = await dead_letters.converged(app, page.letters) if query.check else None
    return 200, letter_page(page, converged)


@stage.route(route="dead-letters/{sequence}", methods=["GET"], auth_level=ANONYMOUS)
@authorized("Reader")
async def show_dead_letter(req: func.HttpRequest, app: RealApp, _: Caller) -> tuple[int, Any]:
    sequence = Query.model_validate({"from": req.route_params["sequence"]}).first
    letter = await dead_letters.show(app, sequence)
    if letter is None:
        return problem(404, "Gone", f"there is no dead letter {sequence} any more")
    return 200, whole_letter(letter)


@stage.route(route="dead-letters/replay", methods=["POST"], auth_level=ANONYMOUS)
@authorized("Operator")
async def replay_dead_letters(req: func.HttpRequest, app: RealApp, caller: Caller) -> tuple[int, Any]:
    form = ReplayForm.model_validate_json(req.get_body())
    answers = await dead_letters.replay(app, Command(form.sequences, caller.name, form.dry_run))
    return 200, {"answers": [asdict(answer) for answer in answers]}


@stage.route(route="dead-letters/discard", methods=["POST"], auth_level=ANONYMOUS)
@authorized("Operator")
async def discard_dead_letters(req: func.HttpRequest, app: RealApp, caller: Caller) -> tuple[int, Any]:
    form = DiscardForm.model_validate_json(req.get_body())
    command = Command(form.sequences, caller.name, form.dry_run)
    answers = await dead_letters.discard(app, command, form.why, form.only_converged)
    return 200, {"answers": [asdict(answer) for answer in answers]}


@stage.route(route="sweeps", methods=["POST"], auth_level=ANONYMOUS)
@authorized("Operator")
async def order_sweep(req: func.HttpRequest, app: RealApp, caller: Caller) -> tuple[int, Any]:
    form = SweepForm.model_validate_json(req.get_body() or b"{}")
    message_id = await start_sweep(app, f"asked for by {caller.name}", form.deep, form.team or "")
    telemetry.sweep_ordered(caller.name, message_id, form.deep)
    return 202, {"queued": message_id}


@stage.route(route="findings", methods=["GET"], auth_level=ANONYMOUS)
@authorized("Reader")
async def list_findings(req: func.HttpRequest, app: RealApp, _: Caller) -> tuple[int, Any]:
    query = parse_query(req, FindingsQuery)
    return 200, to_json(await findings.findings(app, query.team or ""))


@stage.route(route="pushes/{commit}", methods=["GET"], auth_level=ANONYMOUS)
@authorized("Reader")
async def show_push(req: func.HttpRequest, app: RealApp, _: Caller) -> tuple[int, Any]:
    parse_query(req, NoQuery)
    outcome = await findings.push_outcome(app, req.route_params["commit"].lower())
    if outcome is None:
        return problem(404, "NoSuchCommit", "it is none of the 300 newest commits of the branch")
    return 200, to_json(outcome)
