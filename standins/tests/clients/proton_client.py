"""An AMQP client made of Qpid Proton, Apache's implementation in C: it knows AMQP 1.0 and nothing of Service
Bus.

Runs in an interpreter of its own (`python-qpid-proton` has to be compiled, so it is not among this project's
packages). Standard input has a line of JSON per command, `{"do": name, ...}`; standard output answers each
with a line, `{"error": condition}` if it was refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from proton import Condition, Delivery, Link, Message, symbol  # type: ignore[import-not-found]
from proton.reactor import Filter, LinkOption  # type: ignore[import-not-found]
from proton.utils import BlockingConnection, LinkDetached  # type: ignore[import-not-found]

_SECONDS = 300
_OUTCOMES = {
    "accept": Delivery.ACCEPTED,
    "release": Delivery.RELEASED,
    "modify": Delivery.MODIFIED,
    "reject": Delivery.REJECTED,
}
_STATES = {state: name for name, state in _OUTCOMES.items()}


class Client:
    """One connection. Links are known by the names that commands give them, deliveries by the order in which
    they came.
    """

    def __init__(self) -> None:
        self._connection: Any = None
        self._links: dict[str, Any] = {}

    def connect(self, address: str, name: str, key: str) -> dict[str, Any]:
        """Connect, and put a token for the whole namespace."""
        self._connection = BlockingConnection(
            f"amqp://{address}", timeout=_SECONDS, allowed_mechs="ANONYMOUS"
        )
        answers = self._connection.create_receiver("$cbs", credit=1)
        requests = self._connection.create_sender("$cbs")
        audience = f"sb://{address}/"
        properties = {"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience}
        requests.send(
            Message(body=_signature(audience, name, key), id=1, reply_to="me", properties=properties)
        )
        answer = answers.receive(timeout=_SECONDS)
        return {"status": answer.properties["status-code"]}

    def open_sender(self, link: str, to: str) -> dict[str, Any]:
        self._links[link] = self._connection.create_sender(to)
        return {}

    def open_receiver(self, link: str, source: str, **filters: str | None) -> dict[str, Any]:
        """A receiver without credit. `session` is a session's id, or None for any that has messages; without
        it there are no sessions.
        """
        options: list[LinkOption] = [Waiting()]
        if "session" in filters:
            options.append(Filter({symbol("com.microsoft:session-filter"): filters["session"]}))
        receiver = self._links[link] = self._connection.create_receiver(source, credit=0, options=options)
        granted = receiver.link.remote_source.filter
        granted.next()
        return {"filter": _plain(granted.get_object()) if granted.type() is not None else None}

    def send(self, link: str, body: Any, kind: str = "data", **fields: Any) -> dict[str, Any]:
        """`kind` is that of the body section: data (text, in UTF-8) or value."""
        content = body.encode() if kind == "data" else body
        return _outcome(
            self._links[link].send(Message(body=content, inferred=kind == "data", **fields), error_states=[])
        )

    def receive(self, link: str, seconds: float = _SECONDS) -> dict[str, Any]:
        """The next message; grants one credit if there is none."""
        message = self._links[link].receive(timeout=seconds)
        is_data = isinstance(message.body, bytes | memoryview)
        shown = {
            name: getattr(message, name)
            for name in ("id", "group_id", "subject", "address", "delivery_count")
        }
        shown |= {"properties": _plain(message.properties), "annotations": _plain(message.annotations)}
        body = bytes(message.body).decode() if is_data else _plain(message.body)
        return {**shown, "kind": "data" if is_data else "value", "body": body}

    def grant(self, link: str, credit: int) -> dict[str, Any]:
        """Let messages come, and wait for as many."""
        receiver = self._links[link]
        wanted = receiver.fetcher.has_message + credit
        receiver.link.flow(credit)
        self._connection.wait(lambda: receiver.fetcher.has_message >= wanted, timeout=_SECONDS)
        return self.waiting(link)

    def waiting(self, link: str) -> dict[str, Any]:
        """How many messages have come and were not taken, and how many more may come."""
        receiver = self._links[link]
        return {"queued": receiver.fetcher.has_message, "credit": receiver.link.credit}

    def settle(self, link: str, outcome: str, **how: Any) -> dict[str, Any]:
        """Say what became of the oldest message taken, and wait for what the other side says: its outcome, or
        why not.
        """
        delivery = self._links[link].fetcher.unsettled.popleft()
        delivery.local.failed, delivery.local.undeliverable = (
            how.get("failed", False),
            how.get("undeliverable", False),
        )
        if "reason" in how:
            info = {
                symbol("DeadLetterReason"): how["reason"],
                symbol("DeadLetterErrorDescription"): how["description"],
            }
            delivery.local.condition = Condition("com.microsoft:dead-letter", how["description"], info)
        delivery.update(_OUTCOMES[outcome])
        self._connection.wait(lambda: delivery.settled, timeout=_SECONDS)
        answer = _outcome(delivery)
        delivery.settle()
        return answer

    def close(self, link: str) -> dict[str, Any]:
        self._links.pop(link).close()
        return {}


class Waiting(LinkOption):  # type: ignore[misc]
    """A receiver that settles only after the broker has."""

    def apply(self, link: Any) -> None:
        link.snd_settle_mode, link.rcv_settle_mode = Link.SND_UNSETTLED, Link.RCV_SECOND


def _signature(audience: str, name: str, key: str) -> str:
    """https://learn.microsoft.com/azure/service-bus-messaging/service-bus-sas#generate-a-shared-access-signature-token"""
    resource, until = quote_plus(audience), int(time.time()) + 3600
    digest = hmac.digest(key.encode(), f"{resource}\n{until}".encode(), hashlib.sha256)
    return (
        "SharedAccessSignature "
        f"sr={resource}&sig={quote_plus(base64.b64encode(digest).decode())}&se={until}&skn={name}"
    )


def _outcome(delivery: Any) -> dict[str, Any]:
    """What the other side says became of a delivery, and why."""
    condition = delivery.remote.condition
    return {"outcome": _STATES[delivery.remote_state]} | (
        {} if condition is None else {"error": condition.name}
    )


def _plain(value: Any) -> Any:
    """Something that JSON can hold: Proton has classes of its own for symbols and numbers."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value if isinstance(value, bool | int | float | None) else str(value)


def _answer(client: Client, command: dict[str, Any]) -> dict[str, Any]:
    action: Callable[..., dict[str, Any]] = getattr(client, command.pop("do"))
    try:
        return action(**command)
    except LinkDetached as error:
        return {"error": error.condition}


def main() -> None:
    client = Client()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_answer(client, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
