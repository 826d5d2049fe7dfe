"""A Foundry account in memory: operations that take their time and exclude each other, and room for so many
projects.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.errors import Busy, Rejected, Unavailable
from shared.marker import Marker
from shared.ports import Clock
from shared.resources.actual import Project, TracingConnection
from shared.resources.project import MAX_PROJECTS
from shared.secret import SecretValue
from tests.fakes.calls import Calls

TRACING = "/subscriptions/x/resourceGroups/ai/providers/Microsoft.Insights/components/traces"


@dataclass
class Kept:
    """One project: its state until `ends`, and from then on."""

    display_name: str
    marker: Marker | None
    passing: str
    ends: datetime
    then: str = "Succeeded"
    connection: TracingConnection | None = None


class FakeProjects:
    """`takes` is how long an operation takes; `failing` are projects that Foundry does not manage to make."""

    def __init__(self, calls: Calls, clock: Clock) -> None:
        self._calls = calls
        self._clock = clock
        self.takes = timedelta(seconds=8)
        self.room = MAX_PROJECTS
        self.failing: set[str] = set()
        self.kept: dict[str, Kept] = {}

    def names(self) -> list[str]:
        """The projects that are there, those that are going too."""
        return sorted(self._standing())

    async def project(self, name: str) -> Project | None:
        async with self._calls.read("projects", "project", name):
            kept = self._standing().get(name)
            return None if kept is None else self._shown(name, kept)

    async def projects(self) -> list[Project]:
        async with self._calls.read("projects", "projects"):
            return [self._shown(name, kept) for name, kept in self._standing().items()]

    async def create_project(self, name: str, display_name: str, marker: Marker) -> None:
        async with self._calls.write("projects", "create_project", name):
            self._require_free()
            before = self._standing().get(name)
            if before is None and len(self.kept) >= self.room:
                raise Rejected(f"The maximum number of projects of the account is {self.room}.")
            then = "Failed" if name in self.failing else "Succeeded"
            connection = before.connection if before else None
            self.kept[name] = Kept(display_name, marker, "Creating", self._ends(), then, connection)

    async def update_project(self, name: str, display_name: str, marker: Marker) -> None:
        async with self._calls.write("projects", "update_project", name):
            self._require_free()
            kept = self._require(name)
            kept.display_name, kept.marker, kept.passing, kept.ends = (
                display_name,
                marker,
                "Accepted",
                self._ends(),
            )

    async def delete_project(self, name: str) -> None:
        async with self._calls.write("projects", "delete_project", name):
            kept = self._standing().get(name)
            if kept is not None:
                self._require_free()
                kept.passing, kept.ends = "Deleting", self._ends()

    async def connection(self, project: str) -> TracingConnection | None:
        async with self._calls.read("projects", "connection", project):
            kept = self._standing().get(project)
            return None if kept is None else kept.connection

    async def tracing_key(self) -> SecretValue:
        async with self._calls.read("projects", "tracing_key"):
            return SecretValue("InstrumentationKey=00000000-0000-0000-0000-000000000000")

    async def put_connection(self, project: str, target: str, key: SecretValue) -> None:
        async with self._calls.write("projects", "put_connection", project):
            assert key.reveal()
            self._require(project).connection = TracingConnection(target, ours=True)

    async def delete_connection(self, project: str) -> None:
        async with self._calls.write("projects", "delete_connection", project):
            self._require(project).connection = None

    def _standing(self) -> dict[str, Kept]:
        """Without those whose deletion has ended."""
        now = self._clock.now()
        for name in [
            name for name, kept in self.kept.items() if kept.passing == "Deleting" and now >= kept.ends
        ]:
            del self.kept[name]
        return self.kept

    def _require(self, name: str) -> Kept:
        kept = self._standing().get(name)
        if kept is None:
            raise Unavailable(f"there is no project {name}", reason="NotFound")
        return kept

    def _require_free(self) -> None:
        if any(self._clock.now() < kept.ends for kept in self._standing().values()):
            raise Busy("Another operation is being performed on the parent resource. Please try again later.")

    def _ends(self) -> datetime:
        return self._clock.now() + self.takes

    def _shown(self, name: str, kept: Kept) -> Project:
        return Project(
            name, kept.display_name, kept.passing if self._clock.now() < kept.ends else kept.then, kept.marker
        )
