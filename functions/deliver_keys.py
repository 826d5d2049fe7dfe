"""Stage 7, Deliver keys: the team's subscription, and its keys in the vault."""

import azure.functions as func

from functions.received import BODY, received
from shared import bootstrap
from shared.messaging.routes import DELIVER_KEYS
from shared.stages import pipeline
from shared.stages.settlement import settle

stage = func.Blueprint()


@stage.service_bus_queue_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    queue_name="deliver-keys",
    is_sessions_enabled=True,
)
async def deliver_keys(message: func.ServiceBusMessage) -> None:
    await settle(bootstrap.app(), DELIVER_KEYS, received(message), pipeline.deliver_keys)
