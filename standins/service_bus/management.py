"""Requests and answers through `<entity>/$management`: everything that is no transfer.

https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-request-response
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from standins.service_bus.access import LISTEN, MANAGEMENT_SUFFIX, SEND, Access
from standins.service_bus.codec import Array, CodecError, Int, Symbol, Timestamp, decode
from standins.service_bus.entity import Entity
from standins.service_bus.entries import Entry
from standins.service_bus.errors import (
    BusError,
    InvalidArgument,
    MalformedMessage,
    NotAllowed,
    NotImplementedHere,
)
from standins.service_bus.message import APPLICATION, PROPERTIES, VALUE, Message, section
from standins.service_bus.operations import SERVER, Operations
from standins.service_bus.queues import Queue
from standins.service_bus.sessions import SessionQueue
from standins.service_bus.settlement import of_request
from standins.service_bus.turns import Steps

Body = dict[str, Any]
_RECEIVE_AND_DELETE = 0
#: .NET's DateTime.MaxValue in milliseconds: sessions are asked for whatever the time of their last change.
_ANY_TIME = 253_402_300_800_000
#: The names of the fields of an answer: code, description.
CBS_FIELDS = ("status-code", "status-description")
MANAGEMENT_FIELDS = ("statusCode", "statusDescription")


def manage(operations: Operations, access: Access, entity: Entity, content: bytes) -> Steps[bytes]:
    """Answer a request to the `$management` node of an entity."""
    request = Message.decode(content)
    name = str(request.application_properties().get("operation"))
    try:
        body = yield from _run(operations, access, entity, name, _body(request))
    except BusError as error:
        return answer(
            request,
            MANAGEMENT_FIELDS,
            (error.status, str(error)),
            None,
            {"errorCondition": Symbol(error.condition)},
        )
    return answer(request, MANAGEMENT_FIELDS, (204, "No content.") if body is None else (200, "OK"), body)


def answer(
    request: Message, fields: tuple[str, str], status: tuple[int, str], body: Any, more: Body | None = None
) -> bytes:
    """The encoded answer to a request."""
    properties = [None] * 5 + [request.named("message_id")]
    application = {fields[0]: Int(status[0]), fields[1]: status[1], **(more or {})}
    return section(PROPERTIES, properties) + section(APPLICATION, application) + section(VALUE, body)


def _body(request: Message) -> Body:
    body = decode(request.body)[0].value if request.body else None
    if not isinstance(body, dict):
        raise MalformedMessage("The body of a request is a map.")
    return body


def _run(operations: Operations, access: Access, entity: Entity, name: str, body: Body) -> Steps[Body | None]:
    operation = _OPERATIONS.get(name)
    if operation is None:
        operations.world.loud(
            SERVER, f"501 {name} on {entity.path}: this stand-in does not know the operation"
        )
        raise NotImplementedHere(f"Unknown operation '{name}'.")
    access.require((operation.claim,), entity.path + MANAGEMENT_SUFFIX)
    if not isinstance(entity, operation.of):
        raise NotAllowed(f"'{name}' is not an operation of '{entity.path}'.")
    try:
        if isinstance(entity, SessionQueue) and "session-id" in body and operation.in_session:
            entity.held(body["session-id"])
        return (yield from operation.run(operations, entity, body))
    except KeyError as error:
        raise InvalidArgument(f"{error} is missing in the request.") from error
    except CodecError as error:
        raise MalformedMessage(str(error)) from error


# ------------------------------------------------------------------------------------------ queues and topics


def _schedule(operations: Operations, entity: Entity, body: Body) -> Steps[Body]:
    messages = [Message.decode(item["message"]) for item in body["messages"]]
    return {"sequence-numbers": Array.of(int, (yield from operations.accept(entity, messages)))}


def _cancel(operations: Operations, entity: Entity, body: Body) -> Steps[Body]:
    for sequence in body["sequence-numbers"]:
        call = f"cancel {entity.name}", str(sequence)
        yield from operations.perform([call], partial(entity.cancel, sequence))
    return {}


# ----------------------------------------------------------------------------------------------------- queues


def _peek(operations: Operations, queue: Queue, body: Body) -> Steps[Body | None]:
    first, count, session = body["from-sequence-number"], body["message-count"], body.get("session-id")
    found = yield from operations.perform(
        [(f"peek {queue.name}", str(first))], lambda: queue.peek(first, count, session)
    )
    return {"messages": [{"message": entry.encode()} for entry in found]} if found else None


def _renew(operations: Operations, queue: Queue, body: Body) -> Steps[Body]:
    until = []
    for token in body["lock-tokens"]:
        call = f"renew {queue.name}", queue.message_id(token)
        until.append((yield from operations.perform([call], partial(queue.renew, token))))
    return {"expirations": Array.of(Timestamp, [int(each * 1000) for each in until])}


def _receive(operations: Operations, queue: Queue, body: Body) -> Steps[Body]:
    sequences, session = body["sequence-numbers"], body.get("session-id")
    call = f"receive {queue.name}", ",".join(map(str, sequences))
    found = yield from operations.perform([call], lambda: queue.receive_deferred(sequences, session))
    items = [_locked(entry) for entry in found]
    if body.get("receiver-settle-mode") == _RECEIVE_AND_DELETE:
        for item in items:
            queue.complete(item["lock-token"])
    return {"messages": items}


def _locked(entry: Entry) -> Body:
    assert entry.lock is not None
    return {"lock-token": entry.lock.token, "message": entry.encode()}


def _settle(operations: Operations, queue: Queue, body: Body) -> Steps[Body]:
    yield from operations.settle(of_request(body), queue, body["lock-tokens"])
    return {}


# --------------------------------------------------------------------------------------------------- sessions


def _renew_session(operations: Operations, queue: SessionQueue, body: Body) -> Steps[Body]:
    session = body["session-id"]
    until = yield from operations.perform(
        [(f"renew session {queue.name}", session)], lambda: queue.renew_session(session)
    )
    return {"expiration": Timestamp(until * 1000)}


def _get_state(operations: Operations, queue: SessionQueue, body: Body) -> Steps[Body]:
    session = body["session-id"]
    return {
        "session-state": (
            yield from operations.perform(
                [(f"get state {queue.name}", session)], lambda: queue.state(session)
            )
        )
    }


def _set_state(operations: Operations, queue: SessionQueue, body: Body) -> Steps[Body]:
    session, state = body["session-id"], body.get("session-state")
    yield from operations.perform(
        [(f"set state {queue.name}", session)], lambda: queue.set_state(session, state)
    )
    return {}


def _sessions(operations: Operations, queue: SessionQueue, body: Body) -> Steps[Body | None]:
    """A page of the sessions that have messages or a state."""
    if body["last-updated-time"] < _ANY_TIME:
        operations.world.loud(
            SERVER,
            f"501 get-message-sessions on {queue.path}: this stand-in does not know when a state was changed",
        )
        raise NotImplementedHere("Sessions are not known by the time of their last change.")
    skip, top = body["skip"], body["top"]
    ids = yield from operations.perform([(f"list sessions {queue.name}", str(skip))], queue.ids)
    page = ids[skip : skip + top]
    return {"skip": Int(skip), "sessions-ids": Array.of_texts(page)} if page else None


@dataclass(frozen=True)
class Operation:
    """What is done for whom: the claim it takes, the kind of entity it is for, whether it is part of holding
    a session.
    """

    run: Callable[[Operations, Any, Body], Steps[Body | None]]
    claim: str = LISTEN
    of: type[Entity] = Queue
    in_session: bool = True


_OPERATIONS = {
    f"com.microsoft:{name}": operation
    for name, operation in {
        "schedule-message": Operation(_schedule, SEND, Entity),  # type: ignore[type-abstract]
        "cancel-scheduled-message": Operation(_cancel, SEND, Entity),  # type: ignore[type-abstract]
        "peek-message": Operation(_peek, in_session=False),
        "renew-lock": Operation(_renew),
        "receive-by-sequence-number": Operation(_receive),
        "update-disposition": Operation(_settle),
        "renew-session-lock": Operation(_renew_session, of=SessionQueue),
        "get-session-state": Operation(_get_state, of=SessionQueue),
        "set-session-state": Operation(_set_state, of=SessionQueue),
        "get-message-sessions": Operation(_sessions, of=SessionQueue),
    }.items()
}
#: The names of what is known.
OPERATIONS = tuple(_OPERATIONS)
