"""Microsoft's command line `az`, pointed at the stand-ins the way it is pointed at any cloud: by
`az cloud register`.

https://learn.microsoft.com/cli/azure/manage-clouds-azure-cli
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from standins.identity import CLIENT_SECRET
from standins.tests.plugin import StandIns
from standins.world import TENANT

ABSENT = (
    "the Azure command line is not installed here: `make contract` installs it into .contract-venv and runs "
    "these tests"
)
#: Who signs in: Owner of the subscription (`standins.roles.OPTIONS`), with no right to any secret.
OPERATOR = "operator"
_SECONDS = 300


class Refused(Exception):
    """The command ended with another status than 0; the text is what it said."""


@dataclass(frozen=True)
class AzureCli:
    """The program, and the environment in which it knows the stand-ins and nobody else."""

    program: Path
    environment: Mapping[str, str]

    async def __call__(self, *words: str) -> Any:
        """What the command answers, out of its JSON; None where it says nothing. Raises Refused."""
        process = await asyncio.create_subprocess_exec(
            self.program,
            *words,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_SECONDS):
            said, complained = await process.communicate()
        if process.returncode:
            raise Refused(complained.decode())
        return json.loads(said) if said.strip() else None


def installed() -> Path:
    """The program. Skips the test where there is none, or fails it where there must be one."""
    python = os.environ.get("MERGEKEY_CONTRACT_PYTHON")
    program = None if python is None else Path(python).parent / "az"
    if program is not None and program.exists():
        return program
    if os.environ.get("MERGEKEY_REQUIRE_REFERENCE") == "1":
        pytest.fail(ABSENT, pytrace=False)
    pytest.skip(ABSENT)


async def signed_in(program: Path, standins: StandIns, folder: Path) -> AzureCli:
    """The command line with a configuration of its own in the folder, signed in as the operator."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AZURE_CONFIG_DIR": str(folder / "azure"),
        "AZURE_CORE_COLLECT_TELEMETRY": "false",
        "AZURE_CORE_INSTANCE_DISCOVERY": "false",
        "AZURE_CORE_ONLY_SHOW_ERRORS": "true",
        "REQUESTS_CA_BUNDLE": standins.ca,
    }
    az = AzureCli(program, environment)
    await az(
        "cloud",
        "register",
        "-n",
        "standins",
        "--endpoint-resource-manager",
        standins.addresses["resource-manager"],
    )
    await az("cloud", "set", "-n", "standins")
    await az("login", "--service-principal", "-u", OPERATOR, "-p", CLIENT_SECRET, "--tenant", TENANT)
    return az
