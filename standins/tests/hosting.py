"""Run the local Functions host for a test."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Host:
    """A running host. `log` is where its standard error goes."""

    process: Process
    url: str
    functions: list[str]
    log: Path


@asynccontextmanager
async def running_host(
    app_dir: Path, *options: str, settings: Mapping[str, str], log: Path
) -> AsyncIterator[Host]:
    """A host on a port of its own, told to stop at the end. `settings` are added to the environment."""
    command = [
        sys.executable,
        "-m",
        "standins.functions_host",
        str(app_dir),
        "--port",
        "0",
        "--with-parent",
        *options,
    ]
    with log.open("w") as errors:
        process = await create_subprocess_exec(
            *command, cwd=ROOT, env={**os.environ, **settings}, stdin=PIPE, stdout=PIPE, stderr=errors
        )
    try:
        yield Host(process, log=log, **await _ready(process, log))
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _ready(process: Process, log: Path) -> dict[str, Any]:
    """What the host says when all is listening: its last line."""
    assert process.stdout is not None
    async for line in process.stdout:
        if line.startswith(b"{"):
            ready: dict[str, Any] = json.loads(line)
            return ready
    raise AssertionError(f"the host did not start:\n{log.read_text()}")


def lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON lines; none while it does not exist. The last one may be half written."""
    return (
        [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if path.exists()
        else []
    )


async def eventually(find: Callable[[], list[Any]], count: int = 1, seconds: float = 300.0) -> list[Any]:
    """What `find` finds, as soon as it is so many."""
    async with asyncio.timeout(seconds):
        while len(found := find()) < count:  # noqa: ASYNC110  # another process is awaited
            await asyncio.sleep(0.01)
    return found
