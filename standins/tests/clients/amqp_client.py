"""Qpid Proton in a process of its own, driven line by line (`proton_client.py`)."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from standins.tests.clients import line_client
from standins.tests.clients.line_client import LineClient

ABSENT = (
    "Qpid Proton is not installed here: `make contract` compiles it into .contract-venv and runs these tests"
)
_SCRIPT = Path(__file__).with_name("proton_client.py")


#: The commands are the methods of `proton_client.Client`.
Proton = LineClient


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
    async with line_client.started(installed(), str(_SCRIPT)) as client:
        yield client
