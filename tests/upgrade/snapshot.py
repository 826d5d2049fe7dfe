"""The state of a set of stand-ins as one compressed file: rows of tables, and repositories as Git tells."""

from __future__ import annotations

import json
import lzma
import os
import sqlite3
import subprocess
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from standins.store import Store

#: Rows by key, by table, by the name of the stand-in's file, each in the order in which it was first written.
Tables = dict[str, dict[str, dict[str, Any]]]
#: What is made anew wherever a snapshot is loaded (the GitHub App with its private key, tokens, links, calls
#: that were counted), or is no state: reports, which nobody reads but people, what webhooks sent, the offset
#: of the clock.
LEFT_OUT = {
    "github": {
        "access_tokens",
        "app",
        "archives",
        "check_runs",
        "commit_statuses",
        "hook_deliveries",
        "hook_payloads",
        "used",
    },
    "world": {"clock"},
}
_ENVIRONMENT = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


@dataclass(frozen=True)
class Snapshot:
    """`made_by` is the commit of the code that made it, with its date; `now` the moment of the stand-ins'
    clock at which it holds, in seconds since 1970; `repositories` are streams of `git fast-export` by path,
    from which Git makes the same commits with the same ids.
    """

    made_by: str
    now: float
    tables: Tables
    repositories: Mapping[str, str]


def take(folder: Path, made_by: str, now: float) -> Snapshot:
    """Of stand-ins that may run, while nothing is under way."""
    tables = {path.stem: _tables(path) for path in sorted(folder.glob("*.sqlite"))}
    return Snapshot(made_by, now, tables, {name: _exported(path) for name, path in _repositories(folder)})


def _tables(path: Path) -> dict[str, dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        kept = [name for (name,) in found if name not in LEFT_OUT.get(path.stem, ())]
        return {name: _rows(connection, name) for name in kept}


def _rows(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    rows = connection.execute(f'SELECT key, value FROM "{table}" ORDER BY rowid')
    return {key: json.loads(value) for key, value in rows}


def as_written(state: Snapshot) -> Snapshot:
    """The same with only that in the cluster which was written over its API. What the controllers play by
    themselves has no field managers: nodes, NodeClaims, pods, workloads, statuses, the counter of versions. A
    newer stand-in for KAITO makes more of it of the Workspaces that it finds.
    """
    cluster = dict(state.tables["kubernetes"])
    cluster.pop("kept")
    objects = cluster["objects"].items()
    written = {key: _written(row) for key, row in objects if "managedFields" in row["metadata"]}
    return replace(state, tables={**state.tables, "kubernetes": {**cluster, "objects": written}})


def _written(row: Mapping[str, Any]) -> dict[str, Any]:
    """An object without its status, and without the version that each write of a status raises."""
    metadata = {key: value for key, value in row["metadata"].items() if key != "resourceVersion"}
    return {**{key: value for key, value in row.items() if key != "status"}, "metadata": metadata}


def bring_back(snapshot: Snapshot, folder: Path) -> None:
    """Into an empty folder, in which no stand-in runs yet. Their clock goes on from the snapshot's moment."""
    for name, tables in snapshot.tables.items():
        store = Store(folder / f"{name}.sqlite")
        for table, rows in tables.items():
            store.table(table).update(rows)
        store.close()
    for name, stream in snapshot.repositories.items():
        _import(folder / "repositories" / name, stream)
    set_clock(folder, snapshot.now)


def set_clock(folder: Path, now: float) -> None:
    """Let the clock of stand-ins that do not run yet begin at this moment."""
    store = Store(folder / "world.sqlite")
    store.table("clock")["offset"] = now - time.time()
    store.close()


def save(snapshot: Snapshot, path: Path) -> None:
    """One value in a line, so that two of them can be compared: `xzcat FILE`."""
    text = json.dumps(asdict(snapshot), indent=0, ensure_ascii=False)
    path.write_bytes(lzma.compress(text.encode(), preset=9))


def load(path: Path) -> Snapshot:
    return Snapshot(**json.loads(lzma.decompress(path.read_bytes())))


def _repositories(folder: Path) -> list[tuple[str, Path]]:
    home = folder / "repositories"
    return [(str(path.relative_to(home)), path) for path in sorted(home.glob("*/*.git"))]


def _exported(path: Path) -> str:
    return git(path, "fast-export", "--all", "--reencode=no", "--signed-tags=verbatim")


def _import(path: Path, stream: str) -> None:
    path.mkdir(parents=True)
    git(path, "init", "--quiet", "--bare", "--initial-branch=main")
    git(path, "config", "gc.auto", "0")
    git(path, "fast-import", "--quiet", stream=stream)


def git(
    path: Path,
    *arguments: str,
    stream: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What the command printed."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=path,
        input=stream,
        check=True,
        capture_output=True,
        text=True,
        env={**_ENVIRONMENT, **(environment or {})},
    )
    return done.stdout
