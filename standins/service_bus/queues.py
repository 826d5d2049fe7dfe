"""A queue with peek-lock: who gets which message, and what becomes of it. Knows no wire.

https://learn.microsoft.com/azure/service-bus-messaging/message-transfers-locks-settlement
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from itertools import islice
from typing import Any, Protocol

from standins.service_bus.entity import Entity, EntitySettings, Environment
from standins.service_bus.entries import Entry, Lock, State
from standins.service_bus.errors import MessageLockLost, MessageNotFound, NotAllowed
from standins.service_bus.message import Message


class Consumer(Protocol):
    """What receives messages of a queue. `destructive` means receive and delete; `session` is the session it
    holds.
    """

    destructive: bool
    session: str | None

    @property
    def ready(self) -> bool:
        """Whether one more message may be delivered now."""

    def deliver(self, entry: Entry) -> None: ...

    def session_granted(self, session: str, until: float) -> None: ...

    def session_lost(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class QueueSettings(EntitySettings):
    """`lock_duration` in seconds. Without `max_deliveries` a message is delivered again for ever, as in a
    dead-letter queue.

    `dead_letter_expired` says where messages go that are too old: to the dead letters, or nowhere.
    """

    lock_duration: float
    max_deliveries: int | None = None
    dead_letter_expired: bool = True


class Queue(Entity):
    """A queue, the queue of a subscription, or a dead-letter queue (which has no `dead_letters` of its
    own).
    """

    def __init__(
        self,
        path: str,
        name: str,
        environment: Environment,
        settings: QueueSettings,
        dead_letters: Queue | None = None,
    ) -> None:
        super().__init__(path, name, environment, settings)
        self.settings = settings
        self.dead_letters = dead_letters
        self._locked: dict[uuid.UUID, Entry] = {}
        self._ready: list[int] = []
        self._consumers: deque[Consumer] = deque()

    # ----------------------------------------------------------------------------------------------- delivery

    @property
    def size(self) -> int:
        return super().size + (self.dead_letters.size if self.dead_letters else 0)

    def enqueue(self, message: Message) -> int:
        return self._append(message.lasting_at_most(self.settings.ttl), self._clock.now())

    def add(self, consumer: Consumer) -> None:
        self._consumers.append(consumer)

    # how it went matters to a queue with sessions
    def remove(self, consumer: Consumer, *, broken: bool = False) -> None:  # noqa: ARG002
        """A receiver is gone. What it had locked stays locked, as in the service: it may still settle through
        `$management`.
        """
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    # which one matters to a queue with sessions
    def credited(self, consumer: Consumer) -> None:  # noqa: ARG002
        """A receiver may take more."""
        self._pump()

    def _append(self, message: Message, enqueued: float, deliveries: int = 0) -> int:
        entry = Entry(self._storage.next_sequence(self.path), message, enqueued, deliveries=deliveries)
        self._keep(entry)
        self._watch_age(entry)
        self._offer(entry)
        return entry.sequence

    def _restored(self, entry: Entry) -> None:
        super()._restored(entry)
        if entry.state is not State.SCHEDULED:
            self._watch_age(entry)
        if entry.state is State.ACTIVE:
            self._offer(entry)

    def _offer(self, entry: Entry) -> None:
        """Make an entry available; the lowest sequence number goes first, so what was given back keeps its
        place.
        """
        heappush(self._ready, entry.sequence)
        self._pump()

    def _pump(self) -> None:
        while self._ready and (consumer := self._next_consumer()) is not None:
            if (entry := self._pop(self._ready)) is not None:
                self._hand_out(entry, consumer)

    def _pop(self, ready: list[int]) -> Entry | None:
        """The first of a heap of sequence numbers; None when it has become too old meanwhile."""
        entry = self.entries.get(heappop(ready))
        if entry is not None and self._is_too_old(entry):
            self._give_up(entry)  # the clock decides, not the timer, which may be a moment late
            return None
        return entry

    def _next_consumer(self) -> Consumer | None:
        for _ in range(len(self._consumers)):
            self._consumers.rotate(-1)
            if self._consumers[-1].ready:
                return self._consumers[-1]
        return None

    def _hand_out(self, entry: Entry, consumer: Consumer) -> None:
        if consumer.destructive:
            consumer.deliver(entry)
            self._remove(entry)
        else:
            self._lock(entry)
            consumer.deliver(entry)

    # ---------------------------------------------------------------------------------------------------- age
    # https://learn.microsoft.com/azure/service-bus-messaging/message-expiration: a lock protects from expiry
    # until it ends, a deferred message does not expire, and nothing does in a dead-letter queue.

    def _watch_age(self, entry: Entry) -> None:
        if self.dead_letters is not None and entry.message.ttl is not None:
            self._call_at(entry, entry.enqueued + entry.message.ttl, self._came_of_age)

    def _came_of_age(self, entry: Entry) -> None:
        if entry.lock is None and entry.state is State.ACTIVE:
            self._give_up(entry)

    def _is_too_old(self, entry: Entry) -> bool:
        ttl = None if self.dead_letters is None else entry.message.ttl
        return ttl is not None and entry.state is State.ACTIVE and entry.enqueued + ttl <= self._clock.now()

    def _give_up(self, entry: Entry) -> None:
        """Too old to be delivered."""
        if self.settings.dead_letter_expired:
            self._bury(entry, "TTLExpiredException", "The message expired and was dead lettered.")
        else:
            self._remove(entry)

    # -------------------------------------------------------------------------------------------------- locks

    def renew(self, token: uuid.UUID) -> float:
        """Extend a lock and return until when it holds. Raises MessageLockLost."""
        return self._lock(self._take(token), token).until

    def message_id(self, token: uuid.UUID) -> str:
        """The id of the message under a lock; empty when the lock is lost."""
        entry = self._locked.get(token)
        return "" if entry is None else entry.message.id

    def _lock(self, entry: Entry, token: uuid.UUID | None = None) -> Lock:
        token = token or uuid.uuid4()
        until = self._clock.now() + self.settings.lock_duration
        entry.lock = Lock(token, until, self._clock.call_at(until, partial(self._expire, token)))
        self._locked[token] = entry
        return entry.lock

    def _take(self, token: uuid.UUID) -> Entry:
        """Unlock for the holder of the token. Raises MessageLockLost."""
        entry = self._locked.get(token)
        if entry is None or entry.lock is None:
            raise MessageLockLost
        if entry.lock.until <= self._clock.now():
            self._expire(token)  # the clock decides, not the timer, which may be a moment late
            raise MessageLockLost
        return self._unlock(token)

    def _unlock(self, token: uuid.UUID) -> Entry:
        entry = self._locked.pop(token)
        if entry.lock is not None and entry.lock.timer is not None:
            entry.lock.timer.cancel()
        entry.lock = None
        return entry

    def _expire(self, token: uuid.UUID) -> None:
        self._give_back(self._unlock(token), counted=True)

    # --------------------------------------------------------------------------------------------- settlement
    # Every one of these raises MessageLockLost when the token is no longer valid. `properties` are
    # application properties that are given along by the receiver: they stay with the message.

    def complete(self, token: uuid.UUID) -> None:
        self._remove(self._take(token))

    def abandon(self, token: uuid.UUID, properties: Mapping[str, Any] | None = None) -> None:
        """Give back after a failure: the delivery counts, and the last one allowed leads to the dead-letter
        queue.
        """
        self._give_back(self._taken(token, properties), counted=True)

    def release(self, token: uuid.UUID) -> None:
        """Give back unused: the delivery does not count."""
        self._give_back(self._take(token), counted=False)

    def defer(self, token: uuid.UUID, properties: Mapping[str, Any] | None = None) -> None:
        """Set aside: from now on the message is handed out by sequence number only."""
        entry = self._taken(token, properties)
        entry.state = State.DEFERRED
        self._keep(entry)

    def dead_letter(
        self,
        token: uuid.UUID,
        properties: Mapping[str, Any] | None = None,
        reason: str | None = None,
        description: str | None = None,
    ) -> None:
        if self.dead_letters is None:
            raise NotAllowed("A message of a dead-letter queue cannot be dead-lettered.")
        self._bury(self._taken(token, properties), reason, description)

    def _taken(self, token: uuid.UUID, properties: Mapping[str, Any] | None) -> Entry:
        entry = self._take(token)
        if properties:
            self._change(entry, properties)
        return entry

    def _give_back(self, entry: Entry, *, counted: bool) -> None:
        if counted:
            entry.deliveries += 1
            limit = self.settings.max_deliveries
            if limit is not None and entry.deliveries >= limit:
                text = f"Message could not be consumed after {limit} delivery attempts."
                self._bury(entry, "MaxDeliveryCountExceeded", text)
                return
            self._keep(entry)
        if self._is_too_old(entry):
            self._give_up(entry)
        elif entry.state is State.ACTIVE:
            self._offer(entry)

    def _bury(self, entry: Entry, reason: str | None, description: str | None) -> None:
        if self.dead_letters is not None:
            message = entry.message.dead_lettered(self.path, reason, description)
            self.dead_letters._append(message, entry.enqueued, entry.deliveries)
            self._remove(entry)

    # -------------------------------------------------------------------------------------- peek and deferred

    def peek(self, first: int, count: int, session: str | None = None) -> list[Entry]:
        """Entries from a sequence number on, whatever their state, without locking them."""
        wanted = (
            entry
            for entry in self.entries.values()
            if entry.sequence >= first and session in (None, entry.message.session)
        )
        return list(islice(wanted, count))

    def receive_deferred(self, sequences: Iterable[int], session: str | None = None) -> list[Entry]:
        """Lock deferred messages. Raises MessageNotFound when one of them is not there, not deferred, or
        locked.
        """
        entries = [self._deferred(sequence, session) for sequence in sequences]
        for entry in entries:
            self._lock(entry)
        return entries

    def _deferred(self, sequence: int, session: str | None) -> Entry:
        entry = self.entries.get(sequence)
        if (
            entry is None
            or entry.state is not State.DEFERRED
            or entry.lock is not None
            or session not in (None, entry.message.session)
        ):
            raise MessageNotFound
        return entry
