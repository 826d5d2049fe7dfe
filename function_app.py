"""The function app: its stages in the order in which an event travels. Settings are read here, once, at
start.

One package serves several apps, each with an identity that may do no more than its part needs: `APP_PART`
says which functions are registered.
"""

import azure.functions as func

from functions import (
    access,
    collect_dead_letters,
    dead_letters,
    deliver_keys,
    health,
    provision_catalog,
    provision_gateway,
    provision_projects,
    provision_workspaces,
    receive_push,
    sweep,
)
from shared import bootstrap, settings

_WORK = (
    sweep.stage,
    provision_catalog.stage,
    provision_gateway.stage,
    provision_workspaces.stage,
    provision_projects.stage,
    deliver_keys.stage,
    collect_dead_letters.stage,
    dead_letters.stage,
    access.stage,
    health.stage,
)
PARTS = {
    "webhook": (receive_push.stage, health.stage),
    "workers": _WORK,
    "questions": (access.stage, health.stage),
    "all": (receive_push.stage, *_WORK),
}

ours = settings.load()
bootstrap.start(ours)

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

for stage in PARTS[ours.app_part]:
    app.register_functions(stage)
