"""What a sender reaches, queue or topic: duplicates dropped, scheduled messages held until they are due."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from functools import partial

from standins.clock import Timer
from standins.service_bus.entries import Entry, Environment, State
from standins.service_bus.errors import MessageNotFound
from standins.service_bus.message import Message


class Entity(ABC):
    """A queue or a topic. `path` is its address, `name` what the list of calls shows, `window` that of duplicate detection (seconds)."""

    def __init__(self, path: str, name: str, environment: Environment, window: float | None = None) -> None:
        self.path = path
        self.name = name
        self.entries: dict[int, Entry] = {}
        self._clock = environment.clock
        self._storage = environment.storage
        self._window = window
        self._seen = OrderedDict(self._storage.history(path))
        self._timers: dict[int, Timer] = {}

    def restore(self) -> None:
        """Take up what was there when the process ended."""
        for entry in self._storage.entries(self.path):
            self.entries[entry.sequence] = entry
            self._restored(entry)

    def accept(self, message: Message) -> int:
        """Take a message from a sender and return its sequence number. A duplicate is accepted too, and dropped."""
        if self._is_duplicate(message.id):
            return self._storage.next_sequence(self.path)
        sequence = self._schedule(message) if message.due > self._clock.now() else self.enqueue(message)
        # Remembered last: a message whose id was stored, but which itself was not, would be lost when it is sent again.
        self._remember(message.id)
        return sequence

    def cancel(self, sequence: int) -> None:
        """Drop a scheduled message. Raises MessageNotFound when it is no longer scheduled."""
        entry = self.entries.get(sequence)
        if entry is None or entry.state is not State.SCHEDULED:
            raise MessageNotFound
        self._timers.pop(sequence).cancel()
        self._remove(entry)

    @abstractmethod
    def enqueue(self, message: Message) -> int:
        """Make a message available now."""

    def _restored(self, entry: Entry) -> None:
        if entry.state is State.SCHEDULED:
            self._arm(entry)

    def _schedule(self, message: Message) -> int:
        entry = Entry(self._storage.next_sequence(self.path), message, self._clock.now(), State.SCHEDULED)
        self._keep(entry)
        self._arm(entry)
        return entry.sequence

    def _arm(self, entry: Entry) -> None:
        self._timers[entry.sequence] = self._clock.call_at(entry.message.due, partial(self._activate, entry))

    def _activate(self, entry: Entry) -> None:
        """A message that becomes active is enqueued as if it had been sent now, with a new sequence number."""
        del self._timers[entry.sequence]
        self.enqueue(entry.message)
        self._remove(entry)

    def _keep(self, entry: Entry) -> None:
        self.entries[entry.sequence] = entry
        self._storage.save(self.path, entry)

    def _remove(self, entry: Entry) -> None:
        del self.entries[entry.sequence]
        self._storage.delete(self.path, entry)

    def _is_duplicate(self, message_id: str) -> bool:
        if self._window is None or not message_id:
            return False
        oldest = self._clock.now() - self._window
        while self._seen and next(iter(self._seen.values())) <= oldest:
            self._storage.forget(self.path, self._seen.popitem(last=False)[0])
        return message_id in self._seen

    def _remember(self, message_id: str) -> None:
        if self._window is not None and message_id:
            self._seen[message_id] = self._clock.now()
            self._storage.remember(self.path, message_id, self._clock.now())
