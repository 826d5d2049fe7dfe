"""The function app: its stages in the order in which an event travels. Settings are read here, once, at
start.
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

bootstrap.start(settings.load())

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

app.register_functions(receive_push.stage)
app.register_functions(sweep.stage)
app.register_functions(provision_catalog.stage)
app.register_functions(provision_gateway.stage)
app.register_functions(provision_workspaces.stage)
app.register_functions(provision_projects.stage)
app.register_functions(deliver_keys.stage)
app.register_functions(collect_dead_letters.stage)
app.register_functions(dead_letters.stage)
app.register_functions(access.stage)
app.register_functions(health.stage)
