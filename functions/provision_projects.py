"""Stage 6, Provision projects: a request for playground access becomes a Foundry project."""

import azure.functions as func

from functions.received import BODY, received
from shared import bootstrap
from shared.messaging.routes import PROVISION_PROJECTS
from shared.stages import pipeline
from shared.stages.settlement import settle

stage = func.Blueprint()


@stage.service_bus_topic_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    topic_name="access-changes",
    subscription_name="provision-projects",
    is_sessions_enabled=True,
)
async def provision_projects(message: func.ServiceBusMessage) -> None:
    await settle(bootstrap.app(), PROVISION_PROJECTS, received(message), pipeline.provision_projects)
