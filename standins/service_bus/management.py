"""Requests and answers: tokens through `$cbs`, everything that is no transfer through `<entity>/$management`.

https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from standins.service_bus.codec import Array, CodecError, Int, Symbol, Timestamp, decode
from standins.service_bus.entity import Entity
from standins.service_bus.entries import Entry
from standins.service_bus.errors import BusError, MalformedMessage, NotAllowed, NotImplementedHere
from standins.service_bus.message import APPLICATION, PROPERTIES, VALUE, Message, section
from standins.service_bus.operations import SERVER, Operations
from standins.service_bus.queues import Queue
from standins.service_bus.sessions import SessionQueue
from standins.service_bus.settlement import of_request

Body = dict[str, Any]
_RECEIVE_AND_DELETE = 0
#: The names of the fields of an answer: code, description.
CBS_FIELDS = ("status-code", "status-description")
MANAGEMENT_FIELDS = ("statusCode", "statusDescription")


def authorize(operations: Operations, content: bytes) -> bytes:
    """Answer a request to `$cbs`. Every token is good: the server listens on a loopback address and protects nothing."""
    request = Message.decode(content)
    operation = str(request.application_properties().get("operation"))
    known = operation == "put-token"
    operations.note(operation if known else "unknown", "$cbs")
    return _answer(request, CBS_FIELDS, (200, "OK") if known else (501, f"Unknown operation '{operation}'."), None)


def manage(operations: Operations, entity: Entity, content: bytes) -> bytes:
    """Answer a request to the `$management` node of an entity."""
    try:
        request = Message.decode(content)
        operation = str(request.application_properties().get("operation"))
        body = decode(request.body)[0].value
    except CodecError as error:
        raise MalformedMessage(str(error)) from error
    try:
        answer = _run(operations, entity, operation, body)
    except BusError as error:
        return _answer(request, MANAGEMENT_FIELDS, (error.status, str(error)), None, {"errorCondition": Symbol(error.condition)})
    return _answer(request, MANAGEMENT_FIELDS, (204, "No content.") if answer is None else (200, "OK"), answer)


def _run(operations: Operations, entity: Entity, operation: str, body: Body) -> Body | None:
    name = operation.removeprefix("com.microsoft:")
    if name in _OF_ENTITIES:
        return _OF_ENTITIES[name](operations, entity, body)
    if name not in _OF_QUEUES:
        operations.world.loud(SERVER, f"501 {operation} on {entity.path}: this stand-in does not know the operation")
        raise NotImplementedHere(f"Unknown operation '{operation}'.")
    if not isinstance(entity, Queue):
        raise NotAllowed(f"'{operation}' is not an operation of a topic.")
    if isinstance(entity, SessionQueue) and "session-id" in body and name != "peek-message":
        entity.held(body["session-id"])
    return _OF_QUEUES[name](operations, entity, body)


def _answer(request: Message, fields: tuple[str, str], status: tuple[int, str], body: Any, more: Body | None = None) -> bytes:
    properties = [None] * 5 + [request.named("message_id")]
    application = {fields[0]: Int(status[0]), fields[1]: status[1], **(more or {})}
    return section(PROPERTIES, properties) + section(APPLICATION, application) + section(VALUE, body)


# ------------------------------------------------------------------------------------------------------ queues and topics


def _schedule(operations: Operations, entity: Entity, body: Body) -> Body:
    messages = [Message.decode(item["message"]) for item in body["messages"]]
    return {"sequence-numbers": Array.of(int, [operations.accept(entity, message) for message in messages])}


def _cancel(operations: Operations, entity: Entity, body: Body) -> Body:
    for sequence in body["sequence-numbers"]:
        operations.perform(f"cancel {entity.name}", str(sequence), lambda number=sequence: entity.cancel(number))  # type: ignore[misc]
    return {}


_OF_ENTITIES: dict[str, Callable[[Operations, Entity, Body], Body]] = {
    "schedule-message": _schedule,
    "cancel-scheduled-message": _cancel,
}

# ----------------------------------------------------------------------------------------------------------------- queues


def _peek(operations: Operations, queue: Queue, body: Body) -> Body | None:
    first, count, session = body["from-sequence-number"], body["message-count"], body.get("session-id")
    found = operations.perform(f"peek {queue.name}", str(first), lambda: queue.peek(first, count, session))
    return {"messages": [{"message": entry.encode()} for entry in found]} if found else None


def _renew(operations: Operations, queue: Queue, body: Body) -> Body:
    def renew(token: uuid.UUID) -> int:
        return int(operations.perform(f"renew {queue.name}", str(token), lambda: queue.renew(token)) * 1000)

    return {"expirations": Array.of(Timestamp, [renew(token) for token in body["lock-tokens"]])}


def _receive(operations: Operations, queue: Queue, body: Body) -> Body:
    sequences, session = body["sequence-numbers"], body.get("session-id")
    target = ",".join(map(str, sequences))
    found = operations.perform(f"receive {queue.name}", target, lambda: queue.receive_deferred(sequences, session))
    items = [_locked(entry) for entry in found]
    if body.get("receiver-settle-mode") == _RECEIVE_AND_DELETE:
        for item in items:
            queue.complete(item["lock-token"])
    return {"messages": items}


def _locked(entry: Entry) -> Body:
    assert entry.lock is not None
    return {"lock-token": entry.lock.token, "message": entry.encode()}


def _settle(operations: Operations, queue: Queue, body: Body) -> Body:
    settlement = of_request(body)
    for token in body["lock-tokens"]:
        operations.settle(settlement, queue, token)
    return {}


def _renew_session(operations: Operations, queue: Queue, body: Body) -> Body:
    sessions, session = _with_sessions(queue), body["session-id"]
    until = operations.perform(f"renew session {queue.name}", session, lambda: sessions.renew_session(session))
    return {"expiration": Timestamp(until * 1000)}


def _get_state(operations: Operations, queue: Queue, body: Body) -> Body:
    sessions, session = _with_sessions(queue), body["session-id"]
    return {"session-state": operations.perform(f"get state {queue.name}", session, lambda: sessions.state(session))}


def _set_state(operations: Operations, queue: Queue, body: Body) -> Body:
    sessions, session, state = _with_sessions(queue), body["session-id"], body.get("session-state")
    operations.perform(f"set state {queue.name}", session, lambda: sessions.set_state(session, state))
    return {}


def _with_sessions(queue: Queue) -> SessionQueue:
    if not isinstance(queue, SessionQueue):
        raise NotAllowed(f"'{queue.path}' has no sessions.")
    return queue


_OF_QUEUES: dict[str, Callable[[Operations, Queue, Body], Body | None]] = {
    "peek-message": _peek,
    "renew-lock": _renew,
    "receive-by-sequence-number": _receive,
    "update-disposition": _settle,
    "renew-session-lock": _renew_session,
    "get-session-state": _get_state,
    "set-session-state": _set_state,
}
