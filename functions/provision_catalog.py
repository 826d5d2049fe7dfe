"""Stage 3, Provision catalog: the catalogue becomes the unified API, its policy and the shared backends."""

import azure.functions as func

from functions.received import BODY, received
from shared import bootstrap
from shared.messaging.routes import PROVISION_CATALOG
from shared.stages import pipeline
from shared.stages.settlement import settle

stage = func.Blueprint()


@stage.service_bus_topic_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    topic_name="access-changes",
    subscription_name="provision-catalog",
    is_sessions_enabled=True,
)
async def provision_catalog(message: func.ServiceBusMessage) -> None:
    await settle(bootstrap.app(), PROVISION_CATALOG, received(message), pipeline.provision_catalog)
