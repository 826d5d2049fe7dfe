"""The cluster's own command line, with a token of the identity stand-in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.identity.aio import ManagedIdentityCredential

from standins.tests.azure_clients import managed_identity
from standins.tests.clients.azure_cli import Refused
from standins.tests.plugin import StandIns

ABSENT = (
    "kubectl is not installed here (https://kubernetes.io/docs/tasks/tools/): it is not tried out on the "
    "Kubernetes stand-in"
)
#: The application that every AKS API server with Entra sign-in is registered as.
SERVER_APPLICATION = "6dae42f8-4368-4678-94ff-3960e28e3630"
_SECONDS = 300


@dataclass(frozen=True)
class Kubectl:
    """The program with a kubeconfig. `folder` is its home, for what it caches; `environment` is for a
    credential plugin.
    """

    program: str
    kubeconfig: Path
    folder: Path
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})

    async def __call__(self, *words: str, manifest: dict[str, Any] | None = None) -> str:
        """What the command answers; the manifest is its standard input. Raises Refused."""
        process = await self._start(*words)
        async with asyncio.timeout(_SECONDS):
            said, complained = await process.communicate(
                None if manifest is None else json.dumps(manifest).encode()
            )
        if process.returncode:
            raise Refused(complained.decode())
        return said.decode()

    async def get(self, *words: str) -> Any:
        return json.loads(await self("get", *words, "--output", "json"))

    @contextlib.asynccontextmanager
    async def watching(self, *words: str) -> AsyncIterator[asyncio.StreamReader]:
        """The lines of `kubectl get --watch`, as they come: what happened, and the object's line."""
        process = await self._start("get", *words, "--watch", "--output-watch-events", "--no-headers")
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_SECONDS):
                yield process.stdout
        finally:
            process.terminate()
            await process.wait()

    async def _start(self, *words: str) -> asyncio.subprocess.Process:
        environment = {**self.environment, "HOME": str(self.folder), "KUBECONFIG": str(self.kubeconfig)}
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            self.program, *words, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )


def installed() -> str:
    """The program. Skips the test where there is none."""
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip(ABSENT)
    return program


async def with_token(standins: StandIns, folder: Path) -> Kubectl:
    """As the app's own identity."""
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            token = (await credential.get_token(f"{SERVER_APPLICATION}/.default")).token
    cluster = {"server": standins.addresses["kubernetes"], "certificate-authority": standins.ca}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": cluster}],
        "users": [{"name": "app", "user": {"token": token}}],
        "contexts": [{"name": "local", "context": {"cluster": "local", "user": "app"}}],
        "current-context": "local",
    }
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return Kubectl(installed(), kubeconfig, folder)
