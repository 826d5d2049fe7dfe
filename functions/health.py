"""Health: the process is up and its settings are whole. Says nothing about the services behind it."""

import azure.functions as func

stage = func.Blueprint()


@stage.route(route="health", methods=["GET"])
async def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the host binds the parameter by its name
    return func.HttpResponse("ok")
