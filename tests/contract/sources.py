"""A repository to commit to, on both sides: in memory, or with plain git behind the GitHub stand-in."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from shared.adapters.github import AppKey, GitHubClient, GitHubRepository
from shared.adapters.github_reports import GitHubReports
from shared.ports import Reports, Repository
from tests.contract.targets import named, unique
from tests.fakes.calls import Calls
from tests.fakes.clock import FakeClock
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
    protected: bool

    def commit(self, files: Mapping[str, str | None], links: Mapping[str, str] | None = None) -> str: ...
    def commit_often(self, count: int) -> str:
        """So many commits that change nothing, in one push; the newest one's id."""
        ...

    def merge(self, commit: str) -> str: ...
    def reset(self, commit: str) -> None: ...
    def commit_at(self, moment: datetime) -> None:
        """From now on commits are made at this moment, which is later than the one before."""
        ...

    def delete_branch(self) -> None: ...
    async def statuses(self, commit: str) -> dict[str, tuple[str, str]]: ...
    async def verdict(self, commit: str) -> tuple[str, list[tuple[str, int, str]]]: ...


class FakeSource:
    protected = True

    def __init__(self) -> None:
        calls = Calls()
        self._clock = FakeClock()
        self._repository = FakeRepository(calls, self._clock)
        self._reports = FakeReports(calls)
        self.repository: Repository = self._repository
        self.reports: Reports = self._reports

    def commit(self, files: Mapping[str, str | None], links: Mapping[str, str] | None = None) -> str:
        return self._repository.commit(files, links)

    def commit_often(self, count: int) -> str:
        return [self._repository.commit({}) for _ in range(count)][-1]

    def merge(self, commit: str) -> str:
        return self._repository.merge(commit)

    def reset(self, commit: str) -> None:
        self._repository.reset(commit)

    def commit_at(self, moment: datetime) -> None:
        self._clock.advance_to(moment.astimezone(UTC))

    def delete_branch(self) -> None:
        self._repository.delete_branch()

    async def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        return {
            status.context: (status.state, status.description)
            for status in self._reports.shown
            if status.commit == commit
        }

    async def verdict(self, commit: str) -> tuple[str, list[tuple[str, int, str]]]:
        [verdict] = [verdict for verdict in self._reports.verdicts if verdict.commit == commit]
        annotations = [(problem.path, problem.line, problem.reason) for problem in verdict.problems]
        return "failure" if annotations else "success", annotations


@dataclass(frozen=True)
class Place:
    """Where a test's commits go: the API, the repository, a branch of it, and the URL to push to."""

    api_url: str
    repository: str
    branch: str
    git_url: str
    protected: bool = True


class RealSource:
    """A branch of its own at GitHub or at the stand-in, and a clone."""

    def __init__(self, client: GitHubClient, place: Place, clone: Path) -> None:
        self._client = client
        self._name = place.repository
        self._branch = place.branch
        self.protected = place.protected
        self._clone = clone
        self._environment = dict(ENVIRONMENT)
        self._reports = GitHubReports(client, place.repository, interval=0)
        self.repository: Repository = GitHubRepository(client, place.repository, place.branch)
        self.reports: Reports = self._reports
        self._git("clone", "--quiet", place.git_url, ".")
        self._git("checkout", "--quiet", "--orphan", place.branch)
        self._git("rm", "-rf", "--quiet", "--ignore-unmatch", ".")

    @classmethod
    async def at_standins(cls, address: str, clone: Path) -> RealSource:
        """A repository of its own, as the App of the stand-in."""
        name = f"contoso/access-{uuid.uuid4().hex[:8]}"
        async with aiohttp.ClientSession() as session:
            made = await _ask(session, f"{address}/_standin/repositories/{name}")
            app = await _ask(session, f"{address}/_standin/app")
        client = GitHubClient(
            address, AppKey(str(app["app_id"]), app["private_key"], app["installation_id"]), None
        )
        return cls(client, Place(address, name, "main", made["git_url"]), clone)

    @classmethod
    def at_github(cls, clone: Path) -> RealSource:
        """A branch of its own in the repository that the settings name."""
        wanted = named()
        app = AppKey(
            wanted.github_app_id,
            wanted.github_app_private_key.get_secret_value(),
            wanted.github_installation_id,
        )
        place = Place(
            wanted.github_api_url,
            str(wanted.github_repository),
            unique("branch"),
            wanted.git_url,
            protected=False,
        )
        return cls(GitHubClient(place.api_url, app, None), place, clone)

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
        self._git("push", "--quiet", "origin", self._branch)
        return self._git("rev-parse", "HEAD")

    def commit_often(self, count: int) -> str:
        branch = f"refs/heads/{self._branch}"
        one = f"commit {branch}\ncommitter Ada <ada@contoso.com> now\ndata 8\nchanged\n\n"
        self._git(
            "fast-import",
            "--quiet",
            "--date-format=now",
            text=one.replace("\n\n", f"\nfrom {branch}^0\n\n", 1) + one * (count - 1),
        )
        self._git("push", "--quiet", "origin", self._branch)
        return self._git("rev-parse", "HEAD")

    def merge(self, commit: str) -> str:
        self._git("merge", "--quiet", "--no-ff", "--message", "merged", commit)
        self._git("push", "--quiet", "origin", self._branch)
        return self._git("rev-parse", "HEAD")

    def reset(self, commit: str) -> None:
        self._git("reset", "--quiet", "--hard", commit)
        self._git("push", "--quiet", "--force", "origin", self._branch)

    def commit_at(self, moment: datetime) -> None:
        """The committer's date alone: the author's is another one."""
        self._environment["GIT_COMMITTER_DATE"] = moment.isoformat()

    def delete_branch(self) -> None:
        """A default branch cannot be deleted by a push; in the stand-in's repositories it is the only one."""
        url = self._git("remote", "get-url", "origin")
        if Path(url).is_dir():
            self._git(f"--git-dir={url}", "update-ref", "-d", f"refs/heads/{self._branch}")
        else:
            self._git("push", "--quiet", "origin", "--delete", self._branch)

    async def statuses(self, commit: str) -> dict[str, tuple[str, str]]:
        await self._reports.flush()
        listed = await self._client.get(f"/repos/{self._name}/commits/{commit}/statuses")
        return {row["context"]: (row["state"], row["description"]) for row in reversed(listed)}

    async def verdict(self, commit: str) -> tuple[str, list[tuple[str, int, str]]]:
        [run] = (await self._client.get(f"/repos/{self._name}/commits/{commit}/check-runs"))["check_runs"]
        listed = await self._client.get(
            f"/repos/{self._name}/check-runs/{run['id']}/annotations?per_page=100"
        )
        return run["conclusion"], [(row["path"], row["start_line"], row["title"]) for row in listed]

    def _git(self, *arguments: str, text: str = "") -> str:
        command, run = ["git", *arguments], subprocess.run
        done = run(
            command,
            cwd=self._clone,
            env=self._environment,
            input=text,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    async def close(self) -> None:
        await self._client.close()


async def _ask(session: aiohttp.ClientSession, url: str) -> Any:
    async with session.put(url, json={}) as response:
        return await response.json()
