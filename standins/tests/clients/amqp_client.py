"""Qpid Proton in a process of its own, driven line by line (`proton_client.py`)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

ABSENT = (
    "Qpid Proton is not installed here: `make contract` compiles it into .contract-venv and runs these tests"
)
_SCRIPT = Path(__file__).with_name("proton_client.py")
_SECONDS = 300


class Proton:
    """An AMQP client with one connection; the commands are the methods of `proton_client.Client`."""

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


def installed() -> str:
    """The interpreter that has the client. Skips the test where there is none, or fails it where there must
    be one.
    """
    python = os.environ.get("MERGEKEY_CONTRACT_PYTHON")
    if (
        python is not None
        and subprocess.run([python, "-c", "import proton"], check=False, capture_output=True).returncode == 0
    ):
        return python
    if os.environ.get("MERGEKEY_REQUIRE_REFERENCE") == "1":
        pytest.fail(ABSENT, pytrace=False)
    pytest.skip(ABSENT)


@contextlib.asynccontextmanager
async def started() -> AsyncIterator[Proton]:
    """The client, not connected yet."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(installed(), _SCRIPT, stdin=pipe, stdout=pipe, limit=2**21)
    try:
        yield Proton(process)
    finally:
        # Not by closing its input: Proton's own end may wait for answers that no test is interested in.
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
