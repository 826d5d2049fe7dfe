"""Stage 5, Provision workspaces: a request for GPUs of one's own becomes KAITO workspaces."""

import azure.functions as func

from functions.received import BODY, received
from shared import bootstrap
from shared.messaging.routes import PROVISION_WORKSPACES
from shared.stages import pipeline
from shared.stages.settlement import settle

stage = func.Blueprint()


@stage.service_bus_topic_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    topic_name="access-changes",
    subscription_name="provision-workspaces",
    is_sessions_enabled=True,
)
async def provision_workspaces(message: func.ServiceBusMessage) -> None:
    await settle(bootstrap.app(), PROVISION_WORKSPACES, received(message), pipeline.provision_workspaces)
