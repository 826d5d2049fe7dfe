"""A Service Bus message of the Functions host, as an `IncomingMessage`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import azure.functions as func

from shared import telemetry
from shared.messaging.retry_state import IncomingMessage

#: Bodies are read as bytes. As text, bytes that are not UTF-8 would be lost, and the host would take members
#: of a JSON body for properties of the message: `SessionId` or `DeliveryCount` in a body would hide the
#: message's own.
BODY = func.DataType.BINARY


def received(message: func.ServiceBusMessage) -> IncomingMessage:
    """Follow the trace of the message, and take it over. The host gives the time in UTC without a zone, and
    the broker's reason for a dead letter as an application property.
    """
    enqueued = message.enqueued_time_utc or datetime.now(UTC)
    properties = _properties(message)
    telemetry.follow_trace(properties.get(telemetry.TRACE_PROPERTY))
    return IncomingMessage(
        body=message.get_body(),
        # Two messages without an id must not be taken for the same.
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
