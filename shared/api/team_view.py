"""The input of a team's conditions, and the condition of one part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared import names
from shared.branch.states import Access, Files, StandingRequest
from shared.catalog.catalog import Catalog
from shared.documents.problem import Problem
from shared.inventory.snapshot import ActualTeam, Part, Times
from shared.marker import Marker, read_time
from shared.messaging.dead_letters import Letter
from shared.requests.request import AccessRequest
from shared.resources.actual import Product, Project, SecretVersion

Status = Literal["True", "False", "Unknown"]
#: The access that is as it was granted last, whatever the branch says.
KEPT: frozenset[Access] = frozenset({"kept", "held"})


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of one part of a team's access. `reason` is one CamelCase word; `since` is None if it is
    not known. `waits`: it is on its way, and no person has to act.
    """

    type: Literal["Request", "Access", Part]
    status: Status
    reason: str
    message: str = ""
    since: datetime | None = None
    waits: bool = False


@dataclass(frozen=True, slots=True)
class TeamOnBranch:
    """The state of a team's files on the branch, and of its access. `request` is set if it is valid; `blob`
    is that of the file at `path`, empty if there is none.
    """

    team: str
    files: Files
    access: Access
    path: str = ""
    blob: str = ""
    request: AccessRequest | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class TeamView:
    """Everything from which the conditions of one team are derived. `letters` are its newest dead letters by
    part; `unread` has reason and message for each part that could not be read. `in_force` is the request from
    which access was granted last, where the branch cannot be followed and it is known.
    """

    on_branch: TeamOnBranch
    actual: ActualTeam
    catalog: Catalog | None
    times: Times
    letters: Mapping[Part, Letter] = field(default_factory=dict)
    unread: Mapping[Part, tuple[str, str]] = field(default_factory=dict)
    in_force: StandingRequest | None = None

    @property
    def granted(self) -> AccessRequest | None:
        """The request that the team's access follows: the one in force while the branch cannot be
        followed.
        """
        if self.on_branch.access in KEPT:
            return None if self.in_force is None else self.in_force.request
        return self.on_branch.request

    @property
    def offered(self) -> Catalog | None:
        """The catalogue with which `granted` is read."""
        return self.in_force.catalog if self.on_branch.access in KEPT and self.in_force else self.catalog

    @property
    def product(self) -> Product | None:
        return self.actual.product.product

    @property
    def withdrawn(self) -> datetime | None:
        """The time since which the team's keys are withdrawn, by its product and its secrets."""
        since = self.product.marker.withdrawn if self.product and self.product.marker else None
        marks = [since, *(read_time(secret.tags.get("withdrawn")) for secret in self.secrets)]
        return min((mark for mark in marks if mark is not None), default=None)

    @property
    def secrets(self) -> list[SecretVersion]:
        """The newest version of each secret that exists."""
        newest = map(self.actual.keys.newest, names.secrets(self.on_branch.team))
        return [version for version in newest if version is not None]

    def project(self, repository: int) -> Project | None:
        """The team's Foundry project, if it is ours."""
        found = self.actual.project.project
        ours = Marker(repository, self.on_branch.team, "", "")
        return found if found is not None and ours.owns(found.marker) else None
