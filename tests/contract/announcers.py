"""GitHub telling an App of pushes, on both sides: in memory, or by the webhooks of the GitHub stand-in."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from shared.adapters.github import AppKey, GitHubClient
from shared.adapters.github_deliveries import GitHubDeliveries
from shared.ports import Deliveries
from standins.tests.github.remotes import Remote, until
from tests.fakes.app import REPOSITORY
from tests.fakes.calls import Calls
from tests.fakes.clock import FakeClock
from tests.fakes.deliveries import FakeDeliveries

NOBODY = "http://127.0.0.1:9/nobody"


class Announcer(Protocol):
    """The port, the time at GitHub, and what happens there. `repository` is the number of the repository that
    is pushed to.
    """

    port: Deliveries
    repository: int

    def now(self) -> datetime: ...
    async def answers(self, status: int) -> None:
        """What webhook calls are answered from now on; 0: nobody is there."""
        ...

    async def push(self) -> str:
        """Returns the X-GitHub-Delivery of the call, which has been made."""
        ...

    async def ping(self, times: int) -> None: ...
    async def made(self, guid: str) -> list[tuple[int, bool]]:
        """Every attempt so far: what it was answered, and whether it is a repetition."""
        ...


class FakeAnnouncer:
    repository = REPOSITORY

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._deliveries = FakeDeliveries(Calls(), clock)
        self.port: Deliveries = self._deliveries

    def now(self) -> datetime:
        return self._clock.now()

    async def answers(self, status: int) -> None:
        self._deliveries.answer = status

    async def push(self) -> str:
        return self._deliver(self.repository, "push")

    async def ping(self, times: int) -> None:
        for _ in range(times):
            self._deliver(None, "ping")

    def _deliver(self, repository: int | None, event: str) -> str:
        guid = f"{event}-{len(self._deliveries.rows)}"
        self._deliveries.delivered(guid, self._deliveries.answer, repository, event)
        return guid

    async def made(self, guid: str) -> list[tuple[int, bool]]:
        return [(row.status, row.redelivery) for row in self._deliveries.rows if row.guid == guid]


class RealAnnouncer:
    """The webhook of the stand-in's App, pointed at a receiver of the test."""

    def __init__(self, remote: Remote, repository: int) -> None:
        installed = remote.installed
        key = AppKey(str(installed["app_id"]), installed["private_key"], installed["installation_id"])
        self._remote = remote
        self.client = GitHubClient(remote.address, key, None)
        self._pushes = 0
        self.repository = repository
        self.port: Deliveries = GitHubDeliveries(self.client)

    @classmethod
    async def at_standins(cls, remote: Remote) -> RealAnnouncer:
        return cls(remote, (await remote.set_up())["id"])

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._remote.control.now(), UTC)

    async def answers(self, status: int) -> None:
        self._remote.receiver.status = status
        await self._remote.install(
            webhook_url=self._remote.receiver.url if status else NOBODY, webhook_secret="s" * 16
        )

    async def push(self) -> str:
        self._pushes += 1
        self._remote.push(f"push {self._pushes}", a=f"{self._pushes}")
        pushed = await until(self._newest_push)
        return str(pushed["guid"])

    async def ping(self, times: int) -> None:
        for _ in range(times):
            await self._remote.standin("POST", "app/ping")
        await until(self._nothing_is_under_way)

    async def made(self, guid: str) -> list[tuple[int, bool]]:
        await until(self._nothing_is_under_way)
        return [(row["status_code"], row["redelivery"]) for row in await self._sent() if row["guid"] == guid]

    async def close(self) -> None:
        await self._remote.install(webhook_url=None, webhook_secret=None)
        await self.client.close()

    async def _sent(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = await self._remote.standin("GET", "deliveries")
        return rows

    async def _newest_push(self) -> dict[str, Any] | None:
        ours = [row for row in await self._sent() if row["repository"] == self._remote.name]
        return ours[-1] if len(ours) == self._pushes and ours[-1]["status_code"] is not None else None

    async def _nothing_is_under_way(self) -> bool:
        return all(row["status_code"] is not None for row in await self._sent())
