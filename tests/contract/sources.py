"""A repository to commit to, on both sides: in memory, or with plain git behind the GitHub stand-in."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from shared.adapters.github import AppKey, GitHubClient, GitHubRepository
from shared.adapters.github_reports import GitHubReports
from shared.ports import Reports, Repository
from tests.fakes.calls import Calls
from tests.fakes.reports import FakeReports
from tests.fakes.repository import FakeRepository

ENVIRONMENT = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@contoso.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@contoso.com",
}


class Source(Protocol):
    """The ports, what people do to the branch, and what they see beside a commit."""

    repository: Repository
    reports: Reports

    def commit(self, files: Mapping[str, str | None], links: Mapping[str, str] | None = None) -> str: ...
    def delete_branch(self) -> None: ...
    async def statuses(self, commit: str) -> dict[str, tuple[str, str]]: ...
    async def verdict(self, commit: str) -> tuple[str, list[tuple[str, int, str]]]: ...


class FakeSource:
    def __init__(self) -> None:
        calls = Calls()
        self._repository = FakeRepository(calls)
        self._reports = FakeReports(calls)
        self.repository: Repository = self._repository
        self.reports: Reports = self._reports

    def commit(self, files: Mapping[str, str | None], links: Mapping[str, str] | None = None) -> str:
        return self._repository.commit(files, links)

    def delete_branch(self) -> None:
        self._repository.delete_branch()

    async def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        return {status.context: (status.state, status.description) for status in self._reports.shown if status.commit == commit}

    async def verdict(self, commit: str) -> tuple[str, list[tuple[str, int, str]]]:
        [verdict] = [verdict for verdict in self._reports.verdicts if verdict.commit == commit]
        annotations = [(problem.path, problem.line, problem.reason) for problem in verdict.problems]
        return "failure" if annotations else "success", annotations


class RealSource:
    """A repository of its own at the stand-in, and a clone of it."""

    def __init__(self, client: GitHubClient, name: str, clone: Path) -> None:
        self._client = client
        self._name = name
        self._clone = clone
        self._reports = GitHubReports(client, name, interval=0)
        self.repository: Repository = GitHubRepository(client, name, "main")
        self.reports: Reports = self._reports

    @classmethod
    async def open(cls, address: str, clone: Path) -> RealSource:
        name = f"contoso/access-{uuid.uuid4().hex[:8]}"
        async with aiohttp.ClientSession() as session:
            made = await _ask(session, f"{address}/_standin/repositories/{name}")
            app = await _ask(session, f"{address}/_standin/app")
        source = cls(GitHubClient(address, AppKey(str(app["app_id"]), app["private_key"], app["installation_id"]), None), name, clone)
        source._git("clone", "--quiet", made["git_url"], ".")
        source._git("checkout", "--quiet", "-B", "main")
        return source

    def commit(self, files: Mapping[str, str | None], links: Mapping[str, str] | None = None) -> str:
        for path, text in files.items():
            target = self._clone / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink() if text is None else target.write_text(text)
        for path, link in (links or {}).items():
            (self._clone / path).parent.mkdir(parents=True, exist_ok=True)
            (self._clone / path).symlink_to(link)
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", "changed")
        self._git("push", "--quiet", "origin", "main")
        return self._git("rev-parse", "HEAD")

    def delete_branch(self) -> None:
        """GitHub refuses to delete the default branch by a push; whoever changes that setting first may."""
        self._git(f"--git-dir={self._git('remote', 'get-url', 'origin')}", "update-ref", "-d", "refs/heads/main")

    async def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        await self._reports.flush()
        listed = await self._client.get(f"/repos/{self._name}/commits/{commit}/statuses")
        return {row["context"]: (row["state"], row["description"]) for row in reversed(listed)}

    async def verdict(self, commit: str) -> tuple[str, list[tuple[str, int, str]]]:
        [run] = (await self._client.get(f"/repos/{self._name}/commits/{commit}/check-runs"))["check_runs"]
        listed = await self._client.get(f"/repos/{self._name}/check-runs/{run['id']}/annotations?per_page=100")
        return run["conclusion"], [(row["path"], row["start_line"], row["title"]) for row in listed]

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=self._clone, env=ENVIRONMENT, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    async def close(self) -> None:
        await self._client.close()


async def _ask(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.put(url, json={}) as response:
        return await response.json()
