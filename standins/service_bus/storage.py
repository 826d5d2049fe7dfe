"""Everything of the broker that must outlive the process, in one SQLite file.

Locks do not: after a restart what was locked is available again. What changed in one turn of the event loop
is one transaction, which is ended before any answer of that turn leaves (`Connection.flush`), so that what
was acknowledged is never lost. As in `standins.store`, `synchronous=OFF` is enough for a process that is
killed. Tables have a key and JSON, as everywhere in the folder.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from standins.service_bus.entries import Entry, State
from standins.service_bus.message import Message

_TABLES = ("messages", "counters", "history", "session_states")


class Storage:
    """The rows of all entities, each under the entity's path and a name of its own. Nothing of it is kept in
    memory but the counters.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        for table in _TABLES:
            self._connection.execute(
                f'CREATE TABLE IF NOT EXISTS "{table}" (key TEXT PRIMARY KEY, value TEXT NOT NULL)'
            )
        rows = self._connection.execute("SELECT key, value FROM counters")
        self._counters: dict[str, int] = {key: json.loads(value) for key, value in rows}
        # A counter is written only where no row shows how far it got: when its newest message is gone, or
        # there never was one.
        self._written = dict(self._counters)
        self._unwritten: set[str] = set()
        self._changed = False
        #: Whether who makes changes now flushes in this turn of the event loop; for all others it is done in
        #: the next.
        self.flush_follows = False

    def flush(self) -> None:
        """End the transaction, if there is one."""
        if self._changed:
            for path in self._unwritten:
                self._put("counters", path, self._counters[path])
                self._written[path] = self._counters[path]
            self._unwritten.clear()
            self._connection.execute("COMMIT")
            self._changed = False

    # ----------------------------------------------------------------------------------------------- messages

    def save(self, path: str, entry: Entry) -> None:
        row = {
            "sequence": entry.sequence,
            "enqueued": entry.enqueued,
            "state": entry.state,
            "deliveries": entry.deliveries,
            "message": base64.b64encode(entry.message.encode()).decode(),
        }
        self._put("messages", _key(path, entry.sequence), row)
        if entry.sequence == self._counters[path]:
            self._unwritten.discard(path)

    def delete(self, path: str, entry: Entry) -> None:
        self._remove("messages", _key(path, entry.sequence))
        if entry.sequence > self._written.get(path, 0):
            self._unwritten.add(path)

    def entries(self, path: str) -> Iterator[Entry]:
        """What the entity held when the process ended, in the order of sequence numbers."""
        for _, row in self._rows("messages", path):
            message = Message.decode(base64.b64decode(row["message"]))
            self._counters[path] = max(row["sequence"], self._counters.get(path, 0))
            yield Entry(row["sequence"], message, row["enqueued"], State(row["state"]), row["deliveries"])

    def next_sequence(self, path: str) -> int:
        """A number that was never given before."""
        self._begin()
        self._unwritten.add(path)
        number = self._counters[path] = self._counters.get(path, 0) + 1
        return number

    # ------------------------------------------------------------------------------------ duplicate detection

    def history(self, path: str) -> dict[str, float]:
        """The message ids an entity has seen, oldest first, with their times in seconds since 1970."""
        return dict(self._rows("history", path))

    def remember(self, path: str, message_id: str, at: float) -> None:
        self._put("history", _key(path, message_id), at)

    def forget(self, path: str, message_id: str) -> None:
        self._remove("history", _key(path, message_id))

    # ----------------------------------------------------------------------------------------- session states

    def session_state(self, path: str, session: str) -> bytes | None:
        row = self._connection.execute(
            "SELECT value FROM session_states WHERE key = ?", (_key(path, session),)
        ).fetchone()
        return None if row is None else base64.b64decode(json.loads(row[0]))

    def set_session_state(self, path: str, session: str, state: bytes | None) -> None:
        if state is None:
            self._remove("session_states", _key(path, session))
        else:
            self._put("session_states", _key(path, session), base64.b64encode(state).decode())

    def sessions_with_state(self, path: str) -> set[str]:
        return {session for session, _ in self._rows("session_states", path)}

    # --------------------------------------------------------------------------------------------------- rows

    def _begin(self) -> None:
        if not self._changed:
            self._connection.execute("BEGIN")
            self._changed = True
            if not self.flush_follows:
                asyncio.get_running_loop().call_soon(self.flush)

    def _put(self, table: str, key: str, value: Any) -> None:
        self._begin()
        self._connection.execute(
            f'INSERT INTO "{table}" (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = '
            "excluded.value",
            (key, json.dumps(value, separators=(",", ":"))),
        )

    def _remove(self, table: str, key: str) -> None:
        self._begin()
        self._connection.execute(f'DELETE FROM "{table}" WHERE key = ?', (key,))

    def _rows(self, table: str, path: str) -> Iterator[tuple[str, Any]]:
        # in the order of characters, the brace comes next after the bar
        first, beyond = f"{path}|", f"{path}}}"
        rows = self._connection.execute(
            f'SELECT key, value FROM "{table}" WHERE key >= ? AND key < ? ORDER BY rowid', (first, beyond)
        )
        for key, value in rows.fetchall():
            yield key.removeprefix(first), json.loads(value)


def _key(path: str, name: str | int) -> str:
    return f"{path}|{name}"
