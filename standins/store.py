"""State in a folder: one SQLite file per stand-in, written through on every change."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any


class Store:
    """The tables of one stand-in.

    `synchronous=OFF` keeps what was written when the process is killed; only a crash of the whole machine can
    lose the last writes, which is enough for a stand-in and fast enough for thousands of writes a second.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")

    def table(self, name: str) -> Table:
        """A mapping from text to anything JSON can hold."""
        return Table(self._connection, name)

    def close(self) -> None:
        self._connection.close()


class Table(MutableMapping[str, Any]):
    """A dictionary kept in memory and written through to its SQLite table.

    Values are written when they are assigned: after changing a value in place, assign it again
    (`table[key] = value`). Iteration is in order of first insertion, after a restart too.
    """

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection = connection
        self._name = name.replace('"', "")
        connection.execute(
            f'CREATE TABLE IF NOT EXISTS "{self._name}" (key TEXT PRIMARY KEY, value TEXT NOT NULL)'
        )
        rows = connection.execute(f'SELECT key, value FROM "{self._name}" ORDER BY rowid')
        self._values: dict[str, Any] = {key: json.loads(value) for key, value in rows}

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._connection.execute(
            f'INSERT INTO "{self._name}" (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = '
            "excluded.value",
            (key, json.dumps(value, separators=(",", ":"))),
        )
        self._values[key] = value

    def __delitem__(self, key: str) -> None:
        del self._values[key]
        self._connection.execute(f'DELETE FROM "{self._name}" WHERE key = ?', (key,))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)
