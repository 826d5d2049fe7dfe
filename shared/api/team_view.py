"""What a team's access is judged by, and what the judgement of one part looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared import names
from shared.branch.states import Access, Files
from shared.catalog.catalog import Catalog
from shared.documents.problem import Problem
from shared.inventory.snapshot import Part, Snapshot, Times
from shared.marker import Marker, read_time
from shared.messaging.dead_letters import Letter
from shared.requests.request import AccessRequest
from shared.resources.actual import Product, Project, SecretVersion

Status = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of a team's access. `reason` is one CamelCase word, `since` is known where something tells
    it.
    """

    type: Literal["Request", "Access", Part]
    status: Status
    reason: str
    message: str = ""
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What the branch has of a team, and what follows for its access; `request` where it is valid, `blob`
    that of the file at `path`, empty where there is none.
    """

    team: str
    files: Files
    access: Access
    path: str = ""
    blob: str = ""
    request: AccessRequest | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """Everything that one team is judged by. `letters` are the newest dead letters about it, `unread` why a
    part could not be looked at.
    """

    said: Said
    world: Snapshot
    catalog: Catalog | None
    times: Times
    letters: Mapping[Part, Letter] = field(default_factory=dict)
    unread: Mapping[Part, tuple[str, str]] = field(default_factory=dict)

    @property
    def product(self) -> Product | None:
        return self.world.products.get(names.product(self.said.team))

    @property
    def withdrawn(self) -> datetime | None:
        """Since when the team's keys are withdrawn, as far as its product or its secrets tell."""
        since = self.product.marker.withdrawn if self.product and self.product.marker else None
        marks = [since, *(read_time(secret.tags.get("withdrawn")) for secret in self.secrets)]
        return min((mark for mark in marks if mark is not None), default=None)

    @property
    def secrets(self) -> list[SecretVersion]:
        return [
            self.world.secrets[name] for name in names.secrets(self.said.team) if name in self.world.secrets
        ]

    def project(self, repository: int) -> Project | None:
        """The team's Foundry project, when it is ours."""
        found = self.world.projects.get(names.project(self.said.team))
        return (
            found
            if found is not None and Marker(repository, self.said.team, "", "").owns(found.marker)
            else None
        )
