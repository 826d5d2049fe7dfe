"""A message in an entity, and how entries are kept in the folder of the stand-in."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from standins.clock import Clock, Timer
from standins.service_bus.codec import Int, Symbol, Timestamp
from standins.service_bus.message import Message
from standins.store import Store


class State(IntEnum):
    """The numbers are those of the annotation `x-opt-message-state`."""

    ACTIVE = 0
    DEFERRED = 1
    SCHEDULED = 2


@dataclass
class Lock:
    """Who may settle an entry: whoever knows the token. `timer` is None when the lock is that of a session."""

    token: uuid.UUID
    until: float
    timer: Timer | None = None


@dataclass
class Entry:
    """A message in an entity. `enqueued` is seconds since 1970, `deliveries` counts the failed ones."""

    sequence: int
    message: Message
    enqueued: float
    state: State = State.ACTIVE
    deliveries: int = 0
    lock: Lock | None = None

    def encode(self) -> bytes:
        """The message as a receiver sees it."""
        annotations: dict[Symbol, Any] = {
            Symbol("x-opt-sequence-number"): self.sequence,
            Symbol("x-opt-enqueued-time"): Timestamp(self.enqueued * 1000),
            Symbol("x-opt-message-state"): Int(self.state),
        }
        if self.lock is not None:
            annotations[Symbol("x-opt-locked-until")] = Timestamp(self.lock.until * 1000)
        return self.message.encode(self.deliveries, annotations)


class Storage:
    """Everything that must outlive the process. Locks do not: after a restart what was locked is available again."""

    def __init__(self, store: Store) -> None:
        self._messages = store.table("messages")
        self._counters = store.table("counters")
        self._history = store.table("history")
        self._session_states = store.table("session_states")

    def save(self, path: str, entry: Entry) -> None:
        self._messages[_key(path, entry.sequence)] = {
            "sequence": entry.sequence,
            "enqueued": entry.enqueued,
            "state": entry.state,
            "deliveries": entry.deliveries,
            "message": base64.b64encode(entry.message.encode()).decode(),
        }

    def delete(self, path: str, entry: Entry) -> None:
        del self._messages[_key(path, entry.sequence)]

    def entries(self, path: str) -> Iterator[Entry]:
        """What the entity held when the process ended, in the order of sequence numbers."""
        for _, row in _rows(self._messages, path):
            message = Message.decode(base64.b64decode(row["message"]))
            yield Entry(row["sequence"], message, row["enqueued"], State(row["state"]), row["deliveries"])

    def next_sequence(self, path: str) -> int:
        number: int = self._counters.get(path, 0) + 1
        self._counters[path] = number
        return number

    def history(self, path: str) -> dict[str, float]:
        """The message ids an entity has seen, oldest first, with their times in seconds since 1970."""
        return dict(_rows(self._history, path))

    def remember(self, path: str, message_id: str, at: float) -> None:
        self._history[_key(path, message_id)] = at

    def forget(self, path: str, message_id: str) -> None:
        del self._history[_key(path, message_id)]

    def session_state(self, path: str, session: str) -> bytes | None:
        text = self._session_states.get(_key(path, session))
        return None if text is None else base64.b64decode(text)

    def set_session_state(self, path: str, session: str, state: bytes | None) -> None:
        if state is None:
            self._session_states.pop(_key(path, session), None)
        else:
            self._session_states[_key(path, session)] = base64.b64encode(state).decode()


@dataclass(frozen=True)
class Environment:
    """What every entity needs of the world."""

    clock: Clock
    storage: Storage


def _key(path: str, name: str | int) -> str:
    return f"{path}|{name}"


def _rows(table: Any, path: str) -> Iterator[tuple[str, Any]]:
    prefix = _key(path, "")
    return ((key.removeprefix(prefix), row) for key, row in table.items() if key.startswith(prefix))
