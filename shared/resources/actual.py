"""The actual state: the parts of remote objects that decisions need, with the versions that fence writes
(ETag, resourceVersion).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.catalog.capacity import Grants
from shared.catalog.catalog import Breaker
from shared.gateway_api.observed import Parent
from shared.kaito.causes import Verdict, judge, was_never_ready
from shared.kaito.witnesses import NodeClaim, Pod
from shared.marker import Marker
from shared.resources.backends import Backend, PoolMember
from shared.resources.inference_config import Configuration
from shared.resources.unified_api import KEY_NAMES


@dataclass(frozen=True, slots=True)
class Product:
    """An API Management product. One that does not require a subscription serves calls without a key,
    published or not.
    """

    name: str
    etag: str
    display_name: str
    published: bool
    marker: Marker | None
    subscription_required: bool = True

    @property
    def is_finished(self) -> bool:
        """Whether the product was completed once: it is published, or its marker says that it was."""
        return self.published or (self.marker is not None and bool(self.marker.digest))

    @property
    def is_in_force(self) -> bool:
        """Whether all that its marker vouches for was written, and it is not withdrawn."""
        return self.marker is not None and bool(self.marker.digest) and self.marker.withdrawn is None

    def is_shown_as(self, *display_names: str) -> bool:
        """Whether it is published under one of these names. Spaces around a name are ignored, because the
        service may remove them.
        """
        return self.published and self.display_name.strip() in {name.strip() for name in display_names}


@dataclass(frozen=True, slots=True)
class Api:
    """The unified API. `operations` is the digest of the operations that were imported last, `key_names` the
    header and the parameter of the query in which it takes keys.
    """

    etag: str
    operations: str
    marker: Marker | None
    subscription_required: bool = True
    key_names: tuple[str, str] = KEY_NAMES

    def is_current(self, digest: str, operations: str) -> bool:
        """Whether its marker vouches for this catalogue, and it was imported from these operations."""
        return self.marker is not None and (self.marker.digest, self.operations) == (digest, operations)

    @property
    def was_finished(self) -> bool:
        """Whether the API was completed once. Until then its digest is empty; a digest that is unreadable now
        was there.
        """
        return self.marker is not None and (bool(self.marker.digest) or "digest" in self.marker.unreadable)

    @property
    def requires_keys(self) -> bool:
        """Whether it refuses calls without a key, and expects keys where clients send them."""
        return self.subscription_required and self.key_names == KEY_NAMES


@dataclass(frozen=True, slots=True)
class Policy:
    """An existing policy. `digest` is the one it carries, empty when it is not one of ours.

    `grants` are the tokens that a product's policy grants its team, by model; None for one that is not ours.
    """

    etag: str
    digest: str
    grants: Grants | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Fragment:
    """The policy fragment. `digest` is of what it says, empty when there is none; `rules` the number of the
    rules by which sweeps have evaluated (`shared.branch.states.RULES`), 0 where it does not say.
    """

    digest: str = ""
    rules: int = 0


@dataclass(frozen=True, slots=True)
class ActualBackend:
    """A backend as lists show it: without its credential, which the marker's digest stands for. A pool's
    `members` are sorted. `counts_429`: whether its breaker takes a 429 for a failure, None where that was not
    looked at. `certificate` is the name of the client certificate that it is shown.
    """

    name: str
    etag: str
    url: str
    marker: Marker | None
    breaker: Breaker | None = None
    members: tuple[PoolMember, ...] = ()
    counts_429: bool | None = None
    certificate: str | None = None

    def equivalent_to(self, desired: Backend) -> bool:
        """Whether it is as desired, and was not changed since. A certificate that others added where none is
        desired stays: without it the cluster's Gateway may let nobody in.
        """
        if self.breaker is not None and self.counts_429 not in (None, desired.counts_429):
            return False
        shown = (self.url, self.breaker, self.members) == (desired.url, desired.breaker, desired.members)
        if desired.certificate not in (None, self.certificate):
            return False
        return shown and self.marker is not None and self.marker.digest == desired.digest


@dataclass(frozen=True, slots=True)
class ActualNamedValue:
    """A named value; `url` is empty when it is in no vault, `ours` when it carries the tag of this
    repository. `unreadable` is why the gateway could not read the secret when it last tried, empty when it
    could, or has not tried yet.
    """

    name: str
    etag: str
    url: str
    ours: bool
    unreadable: str = ""


@dataclass(frozen=True, slots=True)
class Subscription:
    """An APIM subscription; `product` is the last part of its scope, empty for other scopes, `owner` the same
    of its owner.
    """

    name: str
    etag: str
    display_name: str
    product: str
    owner: str
    state: str


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """One version of a vault secret, without its value. `tags` are ours when they carry our marker."""

    name: str
    version: str
    enabled: bool
    created: datetime
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A group that may read a secret, or use a project; `ours` when Mergekey made the assignment."""

    group: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Namespace:
    """A namespace with those of its labels that are ours. `deleted` is when its deletion began, `remaining`
    what its conditions say of why it stays; in the first seconds of a deletion they say nothing. `created` is
    when it was made.
    """

    name: str
    resource_version: str
    terminating: bool
    marker: Marker | None
    labels: Mapping[str, str] = field(default_factory=dict)
    deleted: datetime | None = None
    remaining: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """A KAITO Workspace: its immutable fields (`fixed`), its conditions, whether it is being deleted, how
    many `nodes` KAITO takes for it, 0 where it does not say (yet), when its deletion began (`deleted`), and
    what it is told beyond its preset (`configuration`).

    `created` is when it was made, `state` KAITO's word for it (empty up to 0.8). `pods` and `claims` are
    None where they were not read.
    """

    name: str
    resource_version: str
    fixed: Mapping[str, Any]
    conditions: tuple[Mapping[str, Any], ...]
    terminating: bool
    managed: bool
    nodes: int = 0
    deleted: datetime | None = None
    configuration: Configuration = field(default_factory=Configuration)
    created: datetime | None = None
    state: str = ""
    pods: tuple[Pod, ...] | None = None
    claims: tuple[NodeClaim, ...] | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether it serves, or why not, as far as its witnesses were read."""
        return judge(self.conditions, self.nodes, self.pods, self.claims)

    @property
    def was_never_ready(self) -> bool:
        is_served = any(pod.ready for pod in self.pods or ())
        return not is_served and was_never_ready(self.conditions, self.state)


@dataclass(frozen=True, slots=True)
class ConfigMap:
    """A ConfigMap in a team's namespace. One that is not `immutable` may say something else at any time."""

    name: str
    managed: bool
    immutable: bool
    data: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ExternalSecret:
    """Another operator's order to make the Secret `target`; `ready` when the Secret is there, else `reason`
    says why not.
    """

    name: str
    target: str
    ready: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """An HTTPRoute in a team's namespace. `spec` is as the cluster shows it, with its defaults filled in, and
    `generation` counts its changes. `parents` are what controllers say of it, `annotations` those of ours,
    by their whole names.
    """

    name: str
    managed: bool
    spec: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 0
    parents: tuple[Parent, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    created: datetime | None = None


def parents_in(routes: Mapping[str, Iterable[Route]]) -> tuple[Parent, ...]:
    """What controllers say of any of these routes, which are given by namespace."""
    return tuple(parent for found in routes.values() for each in found for parent in each.parents)


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota or a network policy in a team's namespace: its kind and name as in its manifest; `spec` as of a
    route.
    """

    kind: str
    name: str
    managed: bool
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GpuNode:
    """A node that KAITO created for a workspace; `going` while it is being deleted."""

    name: str
    namespace: str
    workspace: str
    going: bool = False


@dataclass(frozen=True, slots=True)
class Project:
    """A Foundry project. `state` is Resource Manager's provisioning state: `Succeeded`, `Creating`,
    `Deleting`, `Failed`, ...
    """

    name: str
    display_name: str
    state: str
    marker: Marker | None


@dataclass(frozen=True, slots=True)
class TracingConnection:
    """The connection of a project to Application Insights; `target` is the id of that resource."""

    target: str
    ours: bool
