"""From the wire to what a function sees, with the converters of azure.functions itself.

The trigger metadata are those of the Service Bus extension 5.x
(`ServiceBusTriggerBindingStrategy.AddBindingData`), in the types in which the host sends them to the worker:
text as `string`, everything else as `json`. Three things that surprise: the UTC times carry no zone, so that
functions see naive times; a delivery count starts at 1 (on the wire it starts at 0); and why a message was
dead-lettered stands only in its application properties.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiohttp import web
from azure import functions
from azure.functions.http import HttpRequestConverter
from azure.functions.meta import Datum
from azure.functions.servicebus import ServiceBusMessageInConverter
from azure.functions.timer import TimerRequestConverter
from azure.servicebus import ServiceBusReceivedMessage
from multidict import CIMultiDict

#: .NET's DateTime.MaxValue: when a message without time to live expires.
_NEVER = "9999-12-31T23:59:59.9999999"


def message(received: ServiceBusReceivedMessage, *, binary: bool = False) -> functions.ServiceBusMessage:
    """The message as a function sees it; `binary` when its trigger has the data type BINARY."""
    body, metadata = b"".join(received.body), service_bus_metadata(received)
    if binary:
        return _decode(Datum(body, "bytes"), metadata)
    text = body.decode(errors="replace")
    return _decode(_text(text), _with_members_of_body(metadata, text))


def message_of_text(body: str) -> functions.ServiceBusMessage:
    """A message with nothing but a body and an id, for a function that is run by hand."""
    metadata = {
        "MessageId": _text(str(uuid4())),
        "UserProperties": _json({}),
        "ApplicationProperties": _json({}),
    }
    return _decode(_text(body), _with_members_of_body(metadata, body))


def service_bus_metadata(received: ServiceBusReceivedMessage) -> dict[str, Datum]:
    """The trigger metadata that the real host sends along with this message."""
    properties = {
        _plain(key): _plain(value) for key, value in (received.application_properties or {}).items()
    }
    texts = {
        "MessageId": received.message_id,
        "SessionId": received.session_id,
        "CorrelationId": received.correlation_id,
        "ContentType": received.content_type,
        "Subject": received.subject,
        "Label": received.subject,
        "To": received.to,
        "ReplyTo": received.reply_to,
        "ReplyToSessionId": received.reply_to_session_id,
        "PartitionKey": received.partition_key,
        "LockToken": None if received.lock_token is None else str(received.lock_token),
        "DeadLetterSource": received.dead_letter_source,
    }
    values = {
        "UserProperties": properties,
        "ApplicationProperties": properties,
        "SequenceNumber": received.sequence_number,
        "DeliveryCount": (received.delivery_count or 0) + 1,
        "EnqueuedTimeUtc": _without_zone(received.enqueued_time_utc),
        "ExpiresAtUtc": _without_zone(received.expires_at_utc) or _NEVER,
    }
    return {name: _text(text) for name, text in texts.items()} | {
        name: _json(value) for name, value in values.items()
    }


def http_request(request: web.Request, body: bytes) -> functions.HttpRequest:
    """The request as a function sees it: lower-case header names, the body's raw bytes, the last of several
    values.
    """
    parts = {
        "method": _text(request.method),
        "url": _text(str(request.url)),
        "headers": _texts({name.lower(): value for name, value in request.headers.items()}),
        "params": _texts(request.match_info),
        "query": _texts(request.query),
        "body": Datum(body, "bytes"),
    }
    decoded: functions.HttpRequest = HttpRequestConverter.decode(Datum(parts, "http"), trigger_metadata={})
    return decoded


def http_response(returned: Any) -> web.Response:
    """What the caller gets: a function returns an HttpResponse, or text. Raises TypeError for anything
    else.
    """
    if isinstance(returned, str):
        returned = functions.HttpResponse(returned)
    if not isinstance(returned, functions.HttpResponse):
        raise TypeError(f"an HTTP function returned {type(returned).__name__}")
    headers = CIMultiDict(returned.headers.items())
    if "Content-Type" not in headers:
        charset = f"; charset={returned.charset}" if returned.mimetype.startswith("text/") else ""
        headers["Content-Type"] = returned.mimetype + charset
    return web.Response(status=returned.status_code, headers=headers, body=returned.get_body())


def timer_request() -> functions.TimerRequest:
    """A timer that is on time: this host does not catch up on what it missed."""
    decoded: functions.TimerRequest = TimerRequestConverter.decode(
        _json({"IsPastDue": False, "Schedule": {}}), trigger_metadata={}
    )
    return decoded


def _decode(body: Datum, metadata: dict[str, Datum]) -> functions.ServiceBusMessage:
    decoded = ServiceBusMessageInConverter.decode(body, trigger_metadata=metadata)
    assert isinstance(decoded, functions.ServiceBusMessage)
    return decoded


def _with_members_of_body(metadata: dict[str, Datum], body: str) -> dict[str, Datum]:
    """The metadata, overwritten by the top-level members of a JSON body of the same name, whatever the case.

    The real host does so with text (`ApplyBindingData`): a body with `subject` hides that of the message.
    What goes wrong there goes wrong here.
    """
    try:
        members = json.loads(body)
    except ValueError:
        return metadata
    if not isinstance(members, dict):
        return metadata
    spelt = {name.lower(): name for name in metadata}
    scalars = {
        name: value
        for name, value in members.items()
        if value is not None and not isinstance(value, dict | list)
    }
    return metadata | {spelt.get(name.lower(), name): _text(str(value)) for name, value in scalars.items()}


def _text(value: str | None) -> Datum:
    return Datum(value, None if value is None else "string")


def _json(value: Any) -> Datum:
    return Datum(json.dumps(value), "json")


def _texts(values: Mapping[str, str]) -> dict[str, Datum]:
    return {name: _text(value) for name, value in values.items()}


def _without_zone(time: datetime | None) -> str | None:
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None).isoformat()


def _plain(value: Any) -> Any:
    """A property as JSON can hold it: the SDK gives text as bytes."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value if isinstance(value, str | int | float | bool | None) else str(value)
