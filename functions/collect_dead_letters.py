"""Collect dead letters: messages of the native dead-letter queues move to the queue `dead-letters`. One
function for each native queue.
"""

import azure.functions as func

from functions.received import BODY, received
from shared import bootstrap
from shared.messaging.routes import (
    DELIVER_KEYS,
    PROVISION_CATALOG,
    PROVISION_GATEWAY,
    PROVISION_PROJECTS,
    PROVISION_WORKSPACES,
    SWEEP,
)
from shared.stages.settlement import collect

stage = func.Blueprint()


@stage.service_bus_queue_trigger(
    arg_name="message", connection="SERVICE_BUS", data_type=BODY, queue_name="sweeps/$DeadLetterQueue"
)
async def collect_sweeps(message: func.ServiceBusMessage) -> None:
    await collect(bootstrap.app(), SWEEP, received(message))


@stage.service_bus_topic_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    topic_name="access-changes",
    subscription_name="provision-catalog/$DeadLetterQueue",
)
async def collect_provision_catalog(message: func.ServiceBusMessage) -> None:
    await collect(bootstrap.app(), PROVISION_CATALOG, received(message))


@stage.service_bus_topic_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    topic_name="access-changes",
    subscription_name="provision-gateway/$DeadLetterQueue",
)
async def collect_provision_gateway(message: func.ServiceBusMessage) -> None:
    await collect(bootstrap.app(), PROVISION_GATEWAY, received(message))


@stage.service_bus_topic_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    topic_name="access-changes",
    subscription_name="provision-workspaces/$DeadLetterQueue",
)
async def collect_provision_workspaces(message: func.ServiceBusMessage) -> None:
    await collect(bootstrap.app(), PROVISION_WORKSPACES, received(message))


@stage.service_bus_topic_trigger(
    arg_name="message",
    connection="SERVICE_BUS",
    data_type=BODY,
    topic_name="access-changes",
    subscription_name="provision-projects/$DeadLetterQueue",
)
async def collect_provision_projects(message: func.ServiceBusMessage) -> None:
    await collect(bootstrap.app(), PROVISION_PROJECTS, received(message))


@stage.service_bus_queue_trigger(
    arg_name="message", connection="SERVICE_BUS", data_type=BODY, queue_name="deliver-keys/$DeadLetterQueue"
)
async def collect_deliver_keys(message: func.ServiceBusMessage) -> None:
    await collect(bootstrap.app(), DELIVER_KEYS, received(message))
