"""Stage 4, Provision gateway: a request becomes a product with its policy and backends."""

import azure.functions as func

from functions.received import BODY, received
from shared import bootstrap
from shared.messaging.routes import PROVISION_GATEWAY
from shared.stages import pipeline
from shared.stages.settlement import settle

stage = func.Blueprint()


@stage.service_bus_topic_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    topic_name="access-changes",
    subscription_name="provision-gateway",
    is_sessions_enabled=True,
)
async def provision_gateway(message: func.ServiceBusMessage) -> None:
    await settle(bootstrap.app(), PROVISION_GATEWAY, received(message), pipeline.provision_gateway)
