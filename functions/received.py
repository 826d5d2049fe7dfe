"""A Service Bus message as the Functions host hands it over, in our words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import azure.functions as func

from shared.messaging.retry_state import IncomingMessage

#: Bodies come as bytes. As text, what is not UTF-8 would be lost, and the host would take members of a JSON
#: body for properties of the message (a body with `SessionId` or `DeliveryCount` of its own hides the
#: message's).
BODY = func.DataType.BINARY


def received(message: func.ServiceBusMessage) -> IncomingMessage:
    """The time comes without its zone, which is UTC; the broker's reasons for a dead letter come as
    application properties.
    """
    enqueued = message.enqueued_time_utc or datetime.now(UTC)
    properties = _properties(message)
    return IncomingMessage(
        body=message.get_body(),
        # Of two messages without an id, neither may be taken for the other's repetition.
        message_id=message.message_id or f"sequence-{message.sequence_number}",
        session=message.session_id,
        enqueued=enqueued if enqueued.tzinfo else enqueued.replace(tzinfo=UTC),
        properties=properties,
        delivery_count=message.delivery_count or 1,
        reason=str(properties.get("DeadLetterReason") or ""),
        description=str(properties.get("DeadLetterErrorDescription") or ""),
    )


def _properties(message: func.ServiceBusMessage) -> dict[str, Any]:
    return {str(name): value for name, value in (message.application_properties or {}).items()}
