"""The world as the lists of all systems show it, and what it is compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shared.requests.request import AccessRequest
from shared.resources.actual import (
    ActualBackend,
    Api,
    GpuNode,
    Namespace,
    Product,
    Project,
    RoleGrant,
    Route,
    SecretVersion,
    Subscription,
    Workspace,
)

#: What a team's access is made of; each is one stage's business.
Part = Literal["Gateway", "Keys", "Workspaces", "Projects"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the lists of all systems show, by name; `workspaces` and our `routes` by namespace, `readers` by
    secret, `users` by project. Without a cluster there are none of the first two, without a playground no
    projects. `secret_urls` are where our named values of the gateway point to; `api_policy` and `fragment`
    are the digests of the unified API's policy and of the policy fragment, None where nobody has looked;
    `rules` is the number of the rules by which sweeps have judged.
    """

    api: Api | None
    products: Mapping[str, Product]
    linked: frozenset[str]
    subscriptions: Mapping[str, Subscription]
    backends: Mapping[str, ActualBackend]
    secret_urls: Mapping[str, str]
    secrets: Mapping[str, SecretVersion]
    readers: Mapping[str, frozenset[RoleGrant]]
    namespaces: Mapping[str, Namespace]
    workspaces: Mapping[str, tuple[Workspace, ...]]
    routes: Mapping[str, tuple[Route, ...]]
    nodes: tuple[GpuNode, ...]
    projects: Mapping[str, Project] = field(default_factory=dict)
    users: Mapping[str, frozenset[RoleGrant]] = field(default_factory=dict)
    api_policy: str | None = None
    fragment: str | None = None
    rules: int = 0


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """One difference. `team` is empty where nothing of ours is to be changed and a person must look."""

    team: str
    message: str


@dataclass(frozen=True, slots=True)
class DesiredTeam:
    """A valid request and where it stands. `over` when its last day has passed."""

    request: AccessRequest
    path: str
    over: bool


@dataclass(frozen=True, slots=True)
class Times:
    """The moment at which is judged, how long the grace periods are, and how long a key works on that another
    group could read.
    """

    now: datetime
    grace: timedelta
    workspace_grace: timedelta
    key_overlap: timedelta
