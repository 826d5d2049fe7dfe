"""A queue whose messages belong to sessions: one receiver at a time holds a session and gets its messages in
order.

https://learn.microsoft.com/azure/service-bus-messaging/message-sessions
"""

from __future__ import annotations

import uuid
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from heapq import heapify, heappush

from standins.clock import Timer
from standins.service_bus.entity import Environment
from standins.service_bus.entries import Entry, Lock, State
from standins.service_bus.errors import NotAllowed, SessionCannotBeLocked, SessionLockLost
from standins.service_bus.message import Message
from standins.service_bus.queues import Consumer, Queue, QueueSettings


@dataclass
class Session:
    """A session that has messages or a holder. `ready` is a heap of sequence numbers."""

    id: str
    ready: list[int] = field(default_factory=list)
    holder: Consumer | None = None
    until: float = 0.0
    timer: Timer | None = None


class SessionQueue(Queue):
    """A queue that requires sessions. The messages of a session are locked as long as the session is."""

    def __init__(
        self, path: str, name: str, environment: Environment, settings: QueueSettings, dead_letters: Queue
    ) -> None:
        super().__init__(path, name, environment, settings, dead_letters)
        self._sessions: dict[str, Session] = {}
        # sessions with messages and without a holder, in the order of their turn
        self._available: dict[str, None] = {}
        self._waiting: deque[Consumer] = deque()

    def check(self, message: Message) -> None:
        super().check(message)
        if message.session is None:
            raise NotAllowed(
                "The SessionId was not set on a message, and it cannot be sent to the entity. Entities that "
                "have session support enabled can only receive messages that have the SessionId set to a "
                "valid value."
            )

    def enqueue(self, message: Message) -> int:
        """A topic cannot refuse what one of its subscriptions does not take: there it becomes a dead
        letter.
        """
        if message.session is None:
            text = "Session enabled entity doesn't allow a message whose session identifier is null."
            assert self.dead_letters is not None
            return self.dead_letters.enqueue(message.dead_lettered(self.path, "Session ID is null", text))
        return super().enqueue(message)

    # ---------------------------------------------------------------------------------------------- receivers

    def request(self, consumer: Consumer, wanted: str | None) -> None:
        """Ask for a session, None for the next one that has messages; `session_granted` is called when it is
        there.

        Raises SessionCannotBeLocked when another receiver holds the wanted one.
        """
        if wanted is None:
            self._waiting.append(consumer)
            self._serve()
            return
        session = self._session(wanted)
        if session.holder is not None:
            raise SessionCannotBeLocked(
                f"The requested session '{wanted}' cannot be accepted. It may be locked by another receiver."
            )
        self._grant(session, consumer)

    def remove(self, consumer: Consumer, *, broken: bool = False) -> None:
        """A receiver is gone: its session is free at once, and no delivery is counted.

        When the connection is `broken` and the service shall not have noticed, the session stays locked until
        the lock expires.
        """
        if consumer in self._waiting:
            self._waiting.remove(consumer)
        session = self._sessions.get(consumer.session or "")
        noticed = not broken or self._options["sessions_freed_on_disconnect"]
        if session is not None and session.holder is consumer and noticed:
            self._free(session, counted=False)

    def credited(self, consumer: Consumer) -> None:
        self._pump_session(self._sessions.get(consumer.session or ""))

    def _session(self, session_id: str) -> Session:
        return self._sessions.setdefault(session_id, Session(session_id))

    def _serve(self) -> None:
        while self._waiting and self._available:
            self._grant(self._sessions[next(iter(self._available))], self._waiting.popleft())

    def _grant(self, session: Session, consumer: Consumer) -> None:
        self._available.pop(session.id, None)
        session.holder = consumer
        self._extend(session)
        consumer.session_granted(session.id, session.until)

    def _extend(self, session: Session) -> None:
        if session.timer is not None:
            session.timer.cancel()
        session.until = self._clock.now() + self.settings.lock_duration
        session.timer = self._clock.call_at(session.until, partial(self._expire_session, session))

    def _expire_session(self, session: Session) -> None:
        holder = session.holder
        self._free(session, counted=True)
        if holder is not None:
            holder.session_lost()

    def _free(self, session: Session, *, counted: bool) -> None:
        session.holder = None
        if session.timer is not None:
            session.timer.cancel()
        for token in [token for token, entry in self._locked.items() if entry.message.session == session.id]:
            self._give_back(self._unlock(token), counted=counted)
        if session.holder is not None:
            return  # the first message that was given back has brought the next receiver
        if session.ready:
            self._available[session.id] = None
            self._serve()
        else:
            self._forget_unused(session)

    def _forget_unused(self, session: Session) -> None:
        if session.holder is None and not session.ready:
            self._sessions.pop(session.id, None)

    # ----------------------------------------------------------------------------------------------- delivery

    def _offer(self, entry: Entry) -> None:
        session = self._session(entry.message.session or "")
        heappush(session.ready, entry.sequence)
        if session.holder is None:
            self._available[session.id] = None
            self._serve()
        else:
            self._pump_session(session)

    def _pump_session(self, session: Session | None) -> None:
        while session is not None and session.ready and session.holder is not None and session.holder.ready:
            if session.until <= self._clock.now():
                # as in `held`: the clock was moved, and this came before the timer of the lock
                self._expire_session(session)
                return
            if (entry := self._pop(session.ready)) is not None:
                self._hand_out(entry, session.holder)

    def _give_up(self, entry: Entry) -> None:
        super()._give_up(entry)
        session = self._session(entry.message.session or "")
        if entry.sequence in session.ready:
            session.ready.remove(entry.sequence)
            heapify(session.ready)
        if not session.ready:
            self._available.pop(session.id, None)
            self._forget_unused(session)

    def _lock(self, entry: Entry, token: uuid.UUID | None = None) -> Lock:
        token = token or uuid.uuid4()
        entry.lock = Lock(token, self.held(entry.message.session).until)
        self._locked[token] = entry
        return entry.lock

    def _take(self, token: uuid.UUID) -> Entry:
        """Unlock for the holder of the token, who must still hold the session. Raises SessionLockLost or
        MessageLockLost.
        """
        if (entry := self._locked.get(token)) is not None:
            self.held(entry.message.session)
        return super()._take(token)

    def ids(self) -> list[str]:
        """The sessions that have active messages or a state."""
        active = {
            entry.message.session or "" for entry in self.entries.values() if entry.state is State.ACTIVE
        }
        return sorted(active | self._storage.sessions_with_state(self.path))

    # ----------------------------------------------------------------------------------- requests of a holder

    def held(self, session_id: str | None) -> Session:
        """The session, provided that somebody holds it. Raises SessionLockLost."""
        session = self._sessions.get(session_id or "")
        if session is None or session.holder is None:
            raise SessionLockLost
        if session.until <= self._clock.now():
            self._expire_session(session)  # the clock decides, not the timer, which may be a moment late
            raise SessionLockLost
        return session

    def renew_session(self, session_id: str) -> float:
        """Extend the lock of a session and of the messages held in it; returns until when it holds."""
        session = self.held(session_id)
        self._extend(session)
        for entry in self._locked.values():
            if entry.lock is not None and entry.message.session == session_id:
                entry.lock.until = session.until
        return session.until

    def state(self, session_id: str) -> bytes | None:
        self.held(session_id)
        return self._storage.session_state(self.path, session_id)

    def set_state(self, session_id: str, state: bytes | None) -> None:
        self.held(session_id)
        self._storage.set_session_state(self.path, session_id, state)
