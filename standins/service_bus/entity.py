"""What a sender reaches, queue or topic: duplicates dropped, scheduled messages held until they are due."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from standins.clock import Clock, Timer
from standins.service_bus.entries import Entry, State
from standins.service_bus.errors import BusError, InvalidArgument, MessageNotFound, NotAllowed, QuotaExceeded
from standins.service_bus.message import Message
from standins.service_bus.storage import Storage
from standins.world import Options

#: Characters of a message id, a session id or a partition key.
#: https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
_LONGEST_ID = 128
#: Characters of an application property. What is larger fails like this:
#: https://github.com/Particular/NServiceBus.Transport.AzureServiceBus/issues/171
_LARGEST_PROPERTY = 32767


@dataclass(frozen=True)
class Environment:
    """What every entity needs of the world."""

    clock: Clock
    storage: Storage
    options: Options


@dataclass(frozen=True)
class EntitySettings:
    """`window` is that of duplicate detection, `ttl` the default and the ceiling of the time to live:
    seconds, None for none.

    `max_size` is how many bytes of messages an entity holds before it takes no more; 1 GB unless declared
    otherwise.
    """

    window: float | None = None
    ttl: float | None = None
    max_size: int = 1024 * 2**20


class Entity(ABC):
    """A queue or a topic. `path` is its address, `name` what the list of calls shows, `entries` what it
    holds, by sequence number.
    """

    def __init__(self, path: str, name: str, environment: Environment, settings: EntitySettings) -> None:
        self.path = path
        self.name = name
        self.entries: dict[int, Entry] = {}
        self.limits = settings
        self._bytes = 0
        self._clock = environment.clock
        self._storage = environment.storage
        self._options = environment.options
        self._seen = OrderedDict(self._storage.history(path))
        self._timers: dict[int, Timer] = {}

    def restore(self) -> None:
        """Take up what was there when the process ended."""
        for entry in self._storage.entries(self.path):
            self.entries[entry.sequence] = entry
            self._bytes += entry.message.size
            self._restored(entry)

    @property
    def size(self) -> int:
        """Bytes that count towards the quota."""
        return self._bytes

    def check(self, message: Message) -> None:
        """Whether a sender may put the message here. Raises BusError."""
        session, key = message.session, message.partition_key
        if session is not None and key is not None and session != key:
            raise NotAllowed(
                f"The SessionId '{session}' and the PartitionKey '{key}' of a message must be the same."
            )
        for name, text in (
            ("MessageId", message.id),
            ("SessionId", session or ""),
            ("PartitionKey", key or ""),
        ):
            if len(text) > _LONGEST_ID:
                raise InvalidArgument(
                    f"The {name} of a message has {len(text)} characters; at most {_LONGEST_ID} are allowed."
                )
        if len(message.application) > _LARGEST_PROPERTY and any(
            map(_is_too_large, message.application_properties().values())
        ):
            raise BusError("The service was unable to process the request; please retry the operation.")
        if self.size >= self.limits.max_size:
            raise QuotaExceeded(f"The maximum entity size has been reached or exceeded for '{self.path}'.")

    def accept(self, message: Message) -> int:
        """Take a checked message from a sender and return its sequence number. A duplicate is accepted too,
        and dropped.
        """
        if self._is_duplicate(message.id):
            return self._storage.next_sequence(self.path)
        sequence = self._schedule(message) if message.due > self._clock.now() else self.enqueue(message)
        self._remember(message.id)
        return sequence

    def cancel(self, sequence: int) -> None:
        """Drop a scheduled message. Raises MessageNotFound when it is no longer scheduled."""
        entry = self.entries.get(sequence)
        if entry is None or entry.state is not State.SCHEDULED:
            raise MessageNotFound
        self._remove(entry)

    @abstractmethod
    def enqueue(self, message: Message) -> int:
        """Make a message available now."""

    def _restored(self, entry: Entry) -> None:
        if entry.state is State.SCHEDULED:
            self._call_at(entry, entry.message.due, self._activate)

    def _schedule(self, message: Message) -> int:
        entry = Entry(self._storage.next_sequence(self.path), message, self._clock.now(), State.SCHEDULED)
        self._keep(entry)
        self._call_at(entry, message.due, self._activate)
        return entry.sequence

    def _call_at(self, entry: Entry, when: float, callback: Callable[[Entry], None]) -> None:
        """Call back with the entry, unless it is removed before."""
        self._timers[entry.sequence] = self._clock.call_at(when, partial(callback, entry))

    def _activate(self, entry: Entry) -> None:
        """A message that becomes active is enqueued as if it had been sent now, with a new sequence
        number.
        """
        self.enqueue(entry.message)
        self._remove(entry)

    def _keep(self, entry: Entry) -> None:
        if entry.sequence not in self.entries:
            self.entries[entry.sequence] = entry
            self._bytes += entry.message.size
        self._storage.save(self.path, entry)

    def _change(self, entry: Entry, properties: Mapping[str, Any]) -> None:
        """Set some application properties of a message, as a receiver may that settles it."""
        before = entry.message.size
        entry.message = entry.message.with_properties(properties)
        self._bytes += entry.message.size - before

    def _remove(self, entry: Entry) -> None:
        del self.entries[entry.sequence]
        self._bytes -= entry.message.size
        if (timer := self._timers.pop(entry.sequence, None)) is not None:
            timer.cancel()
        self._storage.delete(self.path, entry)

    def _is_duplicate(self, message_id: str) -> bool:
        if self.limits.window is None or not message_id:
            return False
        oldest = self._clock.now() - self.limits.window
        while self._seen and next(iter(self._seen.values())) <= oldest:
            self._storage.forget(self.path, self._seen.popitem(last=False)[0])
        return message_id in self._seen

    def _remember(self, message_id: str) -> None:
        if self.limits.window is not None and message_id:
            self._seen[message_id] = self._clock.now()
            self._storage.remember(self.path, message_id, self._clock.now())


def _is_too_large(value: object) -> bool:
    return isinstance(value, str | bytes) and len(value) > _LARGEST_PROPERTY
