"""The snapshot of all systems, from their lists, and the inputs of its comparison."""

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

#: The parts of a team's access, each provisioned by one stage.
Part = Literal["Gateway", "Keys", "Workspaces", "Projects"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The existing objects of all systems, by name; `workspaces` and our `routes` by namespace, `readers` by
    secret, `users` by project. Without a cluster there are none of the first two, without a playground no
    projects. `secret_urls` are where our named values of the gateway point to; `api_policy` and `fragment`
    are the digests of the unified API's policy and of the policy fragment, None when they were not read;
    `rules` is the number of the rules by which sweeps have evaluated.
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
    """One difference. `team` is empty where none of our objects is to be changed and a person must act."""

    team: str
    message: str


@dataclass(frozen=True, slots=True)
class DesiredTeam:
    """A valid request and its path. `over` when its last day has passed."""

    request: AccessRequest
    path: str
    over: bool


@dataclass(frozen=True, slots=True)
class Times:
    """The moment of the comparison, the grace periods, and the time for which an exposed key stays valid."""

    now: datetime
    grace: timedelta
    workspace_grace: timedelta
    key_overlap: timedelta
