"""Stage 1, Receive push: a signed webhook of GitHub becomes validated access changes on the topic."""

import azure.functions as func

from shared import bootstrap, telemetry
from shared.adapters.github_webhook import Expected, Refused, read_delivery
from shared.stages.settlement import settle_push

stage = func.Blueprint()


@stage.route(route="github/webhook", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
async def receive_push(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """The host lets everybody in; GitHub signs its calls."""
    telemetry.follow_trace(context.trace_context.trace_parent)
    app = bootstrap.app()
    ours = app.settings
    expected = Expected(
        ours.webhook_secrets, ours.github_repository_id, ours.github_branch, ours.github_installation_id
    )
    try:
        push = read_delivery(
            {name.lower(): value for name, value in req.headers.items()}, req.get_body(), expected
        )
    except Refused as refused:
        return func.HttpResponse(refused.message, status_code=refused.status)
    status, text = (200, "pong") if push is None else await settle_push(app, push)
    return func.HttpResponse(text, status_code=status)
