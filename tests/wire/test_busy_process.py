"""Calls to GitHub of a process that is busy with something else for seconds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from shared.adapters.github import GitHubClient
from standins.tests.github.remotes import a_remote
from standins.tests.plugin import StandIns

#: Seconds that the SDKs of Azure take to be loaded while the machine is short of processors.
_LOADING = 4.0


async def test_loading_an_sdk_while_github_is_connected_to_costs_no_second_try(
    standins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    by_itself, late = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: by_itself() + late)
    async with a_remote(standins, tmp_path) as remote:
        remote.push("one", a="1")
        client = GitHubClient(remote.address, None, remote.plain.oauth_token)
        call = asyncio.create_task(client.find(remote.path("/branches/main")))
        await asyncio.sleep(0)
        late = _LOADING
        assert (await call)["name"] == "main"
        await client.close()
