"""The snapshot of all systems, from their lists, and the inputs of its comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shared import names
from shared.errors import MergekeyError
from shared.requests.request import AccessRequest
from shared.resources.actual import (
    ActualBackend,
    ActualNamedValue,
    Api,
    GpuNode,
    Limit,
    Namespace,
    Policy,
    Product,
    Project,
    RoleGrant,
    Route,
    SecretVersion,
    Subscription,
    Workspace,
)
from shared.resources.bearer import ActualBearer
from shared.resources.keys import ActualKeys
from shared.resources.plan import UNREAD, Unread, known
from shared.resources.product import ActualProduct
from shared.resources.project import ActualProject
from shared.resources.unified_api_plan import ActualCatalog
from shared.resources.workspace_plan import ActualWorkspaces

#: The parts of a team's access, each provisioned by one stage.
Part = Literal["Gateway", "Keys", "Workspaces", "Projects"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The existing objects of all systems, by name; `workspaces` and our `routes` by namespace, `readers` by
    secret, `users` by project. Without a cluster there are none of the first two, without a playground no
    projects. `limits` are those of our namespaces that lists by label show, or that were looked for by name.
    What the cluster does not serve, or not to us, is UNREAD, and `not_served` has the errors, by kind.
    `fragment` is the digest of the policy fragment, empty when there is none; `rules` is the number of the
    rules by which sweeps have evaluated.
    """

    api: Api | None
    products: Mapping[str, Product]
    linked: frozenset[str]
    subscriptions: Mapping[str, Subscription]
    backends: Mapping[str, ActualBackend]
    named_values: Mapping[str, ActualNamedValue]
    secrets: Mapping[str, SecretVersion]
    readers: Mapping[str, frozenset[RoleGrant]]
    namespaces: Mapping[str, Namespace] | Unread
    workspaces: Mapping[str, tuple[Workspace, ...]] | Unread
    routes: Mapping[str, tuple[Route, ...]] | Unread
    nodes: tuple[GpuNode, ...] | Unread
    projects: Mapping[str, Project] = field(default_factory=dict)
    users: Mapping[str, frozenset[RoleGrant]] = field(default_factory=dict)
    api_policy: Policy | Unread | None = UNREAD
    fragment: str | Unread = UNREAD
    rules: int = 0
    limits: Mapping[str, tuple[Limit, ...]] | Unread = UNREAD
    #: The API of bearer keys, and the products that are linked to it.
    bearer: ActualBearer | Unread = UNREAD
    bearer_linked: frozenset[str] = frozenset()
    not_served: Mapping[str, MergekeyError] = field(default_factory=dict)
    #: The backends by the first part of their names: a team's product, or `shared`.
    backends_of: Mapping[str, tuple[ActualBackend, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        found: dict[str, tuple[ActualBackend, ...]] = {}
        for name, backend in self.backends.items():
            owner = name.partition("--")[0]
            found[owner] = (*found.get(owner, ()), backend)
        object.__setattr__(self, "backends_of", found)

    def team(self, team: str) -> ActualTeam:
        """The objects of one team."""
        product, home, project = names.product(team), names.namespace(team), names.project(team)
        own = names.subscription(team)
        subscription, mirror = self.subscriptions.get(own), self.subscriptions.get(names.mirror(own))
        secrets = names.secrets(team)
        return ActualTeam(
            ActualProduct(
                self.products.get(product),
                backends=self.backends_of.get(product, ()),
                linked=product in self.linked,
                bearer_linked=product in self.bearer_linked if self.has_bearer else UNREAD,
                subscription=subscription,
                mirror=mirror,
            ),
            ActualKeys(
                subscription,
                {name: (self.secrets[name],) for name in secrets if name in self.secrets},
                {name: self.readers[name] for name in secrets if name in self.readers},
                mirror=mirror,
            ),
            ActualWorkspaces(
                UNREAD if isinstance(self.namespaces, Unread) else self.namespaces.get(home),
                UNREAD if isinstance(self.workspaces, Unread) else self.workspaces.get(home, ()),
                UNREAD if isinstance(self.routes, Unread) else self.routes.get(home, ()),
                UNREAD if isinstance(self.limits, Unread) else self.limits.get(home, ()),
            ),
            ActualProject(self.projects.get(project), self.users.get(project, frozenset())),
        )

    @property
    def probe(self) -> ActualProduct:
        """The platform's own product and key, with which it tries bearer keys."""
        return ActualProduct(
            self.products.get(names.PROBE),
            backends=(),
            bearer_linked=names.PROBE in self.bearer_linked if self.has_bearer else UNREAD,
            subscription=self.subscriptions.get(names.PROBE),
            mirror=self.subscriptions.get(names.mirror(names.PROBE)),
        )

    @property
    def has_bearer(self) -> bool:
        """Whether products may be linked to the API of bearer keys."""
        return not isinstance(self.bearer, Unread) and self.bearer.is_finished

    def unknown(self, team: str, *, asks: bool) -> MergekeyError | None:
        """Why nobody can say how a team's workspaces stand. One that `asks` for none can only have some where
        it has a namespace.
        """
        exists = names.namespace(team) in known(self.namespaces, {})
        kinds = ["Namespace", *(["Workspace"] if asks or exists else []), *(["HTTPRoute"] if asks else [])]
        return next((self.not_served[kind] for kind in kinds if kind in self.not_served), None)

    @property
    def catalog(self) -> ActualCatalog:
        """The objects of the catalogue at the gateway."""
        return ActualCatalog(
            self.api,
            self.api_policy,
            self.backends_of.get(names.SHARED_PREFIX.removesuffix("--"), ()),
            tuple(self.named_values.values()),
            self.fragment,
        )


@dataclass(frozen=True, slots=True)
class ActualTeam:
    """The objects of one team in all systems."""

    product: ActualProduct
    keys: ActualKeys
    workspaces: ActualWorkspaces
    project: ActualProject


@dataclass(frozen=True, slots=True)
class DesiredTeam:
    """A valid request and its path."""

    request: AccessRequest
    path: str


@dataclass(frozen=True, slots=True)
class Times:
    """The moment of the comparison, the grace periods, and the time for which an exposed key stays valid."""

    now: datetime
    grace: timedelta
    workspace_grace: timedelta
    key_overlap: timedelta
