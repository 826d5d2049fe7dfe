"""A client in a process of its own, driven line by line: a line of JSON for each command, and one back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

_SECONDS = 300


class LineClient:
    """The process; the commands are those of its script."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, command: str, **arguments: Any) -> Any:
        """The client's answer. Fails when it ended instead, and then its last words are on standard error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        async with asyncio.timeout(_SECONDS):
            line = await self._process.stdout.readline()
        assert line, f"the client ended during {command}"
        return json.loads(line)


@contextlib.asynccontextmanager
async def started(*command: str, environment: Mapping[str, str] | None = None) -> AsyncIterator[LineClient]:
    """The client, not connected yet."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, limit=2**21, env=environment
    )
    try:
        yield LineClient(process)
    finally:
        # Not by closing its input: its own end may wait for answers that no test is interested in.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
