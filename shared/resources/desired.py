"""The desired state: a request and the catalogue compiled into one slice per stage, each with its digest.

A digest says whether a slice is the one that was written last. It covers everything that is written, so a new
version of this code that writes something else converges by itself. Its input is spelt out in `hashed`,
because the keys are part of it: a field may be renamed, but with another key everything would be written
anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

from shared.catalog.catalog import Catalog
from shared.catalog.terms import BearerWay
from shared.gateway_api.controllers import Controller
from shared.kaito.releases import DEFAULT_RELEASE, Release
from shared.marker import Marker
from shared.names import (
    API,
    BEARER_API,
    CATALOG_TEAM,
    PROBE,
    PRODUCT_PREFIX,
    backend,
    product,
    project,
    workspace,
)
from shared.policies.api_policy import api_policy
from shared.policies.policy_table import Tier
from shared.policies.product_policy import product_policy, requested_model_fragment
from shared.requests.request import AccessRequest, ModelAccess
from shared.resources.actual import Namespace
from shared.resources.backends import Backend, NamedValue, catalog_backends, named_values
from shared.resources.namespace_limits import without_gpus
from shared.resources.network_policy import PolicyForms, policy_forms, with_policy
from shared.resources.routes import earlier_route_manifest, route_manifest
from shared.resources.unified_api import unified_api
from shared.resources.workspaces import (
    EARLIER_API_VERSION,
    Cluster,
    Manifest,
    config_manifest,
    config_of,
    most_gpus,
    quota_manifest,
    serves_of,
    workspace_manifest,
    workspace_url,
)


@dataclass(frozen=True, slots=True)
class Playground:
    """Where Foundry projects are made. `tracing` is the resource id of the Application Insights that takes
    their traces, if any.
    """

    tracing: str | None = None


@dataclass(frozen=True, slots=True)
class Platform:
    """The platform's settings: the repository that asks, the gateway's URL, the cluster if there is one, the
    URL of the platform's own vault, whose secrets no team reads, if there is one, the tier of API Management,
    and the playground if there is one.
    """

    repository: int
    gateway_url: str
    cluster: Cluster | None
    vault_url: str | None = None
    tier: Tier = "premium"
    playground: Playground | None = None

    def with_controller(self, controller: Controller | None) -> Platform:
        """The same with whose Gateway it is."""
        if self.cluster is None or controller is None:
            return self
        return replace(self, cluster=replace(self.cluster, controller=controller))


@dataclass(frozen=True)
class DesiredGateway:
    """A team's product, its policy, and a backend per dedicated model. `display_name` is what the team calls
    itself.
    """

    product: str
    display_name: str
    policy: str
    backends: tuple[Backend, ...]
    #: The APIs that it is linked to. No marker vouches for that of bearer keys: lists show it.
    apis: tuple[str, ...] = field(default=(API,), compare=False)

    @property
    def has_bearer(self) -> bool:
        return BEARER_API in self.apis

    @property
    def shown_as(self) -> str:
        """The product's display name. API Management takes each only once, and two teams may call themselves
        the same.
        """
        return f"{self.display_name.strip()} ({self.product.removeprefix(PRODUCT_PREFIX)})"

    @property
    def names(self) -> tuple[str, str]:
        """Display names that stay as they are: earlier versions wrote the plain one, and two versions that
        run side by side must not overwrite each other.
        """
        return self.shown_as, self.display_name

    @property
    def hashed(self) -> dict[str, Any]:
        return {
            "product": self.product,
            "display_name": self.display_name,
            "policy": self.policy,
            "backends": [each.hashed for each in self.backends],
        }

    @cached_property
    def digest(self) -> str:
        return _digest(self.hashed)


@dataclass(frozen=True)
class DesiredCatalog:
    """The unified API with its fragment and policy, the shared backends, and the named values that these
    need.
    """

    api: dict[str, Any]
    fragment: str
    policy: str
    backends: tuple[Backend, ...]
    named_values: tuple[NamedValue, ...] = ()
    #: How the second API takes keys; None for no second API. It has a marker, and so a digest, of its own.
    bearer: BearerWay | None = field(default=None, compare=False)

    @property
    def hashed(self) -> dict[str, Any]:
        return {
            "api": self.api,
            "fragment": self.fragment,
            "policy": self.policy,
            "backends": [each.hashed for each in self.backends],
            "named_values": [each.hashed for each in self.named_values],
        }

    @cached_property
    def digest(self) -> str:
        return _digest(self.hashed)

    @cached_property
    def api_digest(self) -> str:
        """Of the API's operations alone: importing them again is slow and locks the API."""
        return _digest(self.api)

    @property
    def bearer_digest(self) -> str:
        """Of the second API: the same operations and policy, and the way that keys go."""
        return _digest({"way": self.bearer, "api": self.api, "policy": self.policy})


@dataclass(frozen=True)
class DesiredWorkspaces:
    """The objects in the team's namespace. `workspaces`, `routes` and `configs`, which some need, are by
    workspace name. `release` is the one by which the catalogue is judged; it is not written.

    `limits` and `routes` have today's forms; `earlier_routes` and `policy` have those of earlier releases,
    which stay right until they are brought to today's. The digest is that of the earlier forms, so that
    markers which stand vouch for both: specifications are compared each time.
    """

    limits: tuple[Manifest, ...]
    workspaces: dict[str, Manifest]
    routes: dict[str, Manifest]
    configs: dict[str, Manifest] = field(default_factory=dict)
    release: Release = field(default=DEFAULT_RELEASE, compare=False)
    earlier_routes: dict[str, Manifest] = field(default_factory=dict, compare=False)
    policy: PolicyForms | None = field(default=None, compare=False)

    def without(self, missing: Set[str]) -> DesiredWorkspaces:
        """The same without some of the workspaces, their routes and their configurations."""
        parts = (self.workspaces, self.routes, self.configs, self.earlier_routes)
        workspaces, routes, configs, earlier = (
            {name: manifest for name, manifest in part.items() if name not in missing} for part in parts
        )
        return replace(self, workspaces=workspaces, routes=routes, configs=configs, earlier_routes=earlier)

    @property
    def hashed(self) -> dict[str, Any]:
        limits = self.limits if self.policy is None else with_policy(self.limits, self.policy.earlier)
        routes = {**self.routes, **self.earlier_routes}
        parts = {"limits": limits, "workspaces": self.workspaces, "routes": routes}
        return {**parts, "configs": self.configs} if self.configs else parts

    @cached_property
    def digest(self) -> str:
        return _digest(self.hashed)

    def as_in(self, namespace: Namespace | None) -> DesiredWorkspaces:
        """The same without a bound of GPUs where all else stands already: earlier versions wrote none, and a
        namespace gets it with its next change.
        """
        older = replace(self, limits=tuple(map(without_gpus, self.limits)))
        marker = None if namespace is None else namespace.marker
        is_as_before = marker is not None and marker.digest == older.digest_in(namespace) != self.digest
        return older if is_as_before else self

    def digest_in(self, namespace: Namespace | None) -> str:
        """The digest for the marker of this namespace. Earlier versions wrote the workspaces of the AKS
        add-on in another API version, which changes nothing of them: such a marker keeps its digest.
        """
        found = None if namespace is None else namespace.marker
        if found is None or found.digest in ("", self.digest):
            return self.digest
        manifests = self.workspaces.items()
        earlier = {name: {**each, "apiVersion": EARLIER_API_VERSION} for name, each in manifests}
        return found.digest if found.digest == replace(self, workspaces=earlier).digest else self.digest


@dataclass(frozen=True, slots=True)
class DesiredProject:
    """A team's Foundry project. `tracing` is the id of the Application Insights that takes its traces. Role
    assignments are not part of the digest: they are compared each time.
    """

    name: str
    display_name: str
    tracing: str | None

    @property
    def hashed(self) -> dict[str, Any]:
        return {"name": self.name, "display_name": self.display_name, "tracing": self.tracing}

    @property
    def digest(self) -> str:
        return _digest(self.hashed)


@lru_cache(maxsize=512)
def compile_gateway(request: AccessRequest, catalog: Catalog, platform: Platform) -> DesiredGateway:
    """The team's product. It is kept for a while: each look at the branch asks for its digest again."""
    return DesiredGateway(
        product=product(request.team),
        display_name=request.display_name,
        policy=product_policy(request, catalog),
        backends=tuple(_dedicated_backends(request, platform.cluster)),
        apis=(API,) if catalog.bearer_way is None else (API, BEARER_API),
    )


def compile_probe(catalog: Catalog) -> DesiredGateway:
    """The product of the platform's own key, which is granted no model: with it is seen whether bearer keys
    work.
    """
    nobody = AccessRequest(
        team=CATALOG_TEAM,
        display_name="",
        owner="",
        cost_center="",
        entra_group=None,
        models=(),
        tokens_per_minute=None,
        daily_token_quota=None,
        playground_access=False,
        tracing_enabled=False,
        data_classification="internal",
        expires=None,
    )
    return DesiredGateway(
        PROBE, "Bearer keys of the platform", product_policy(nobody, catalog), (), (BEARER_API,)
    )


def _dedicated_backends(request: AccessRequest, cluster: Cluster | None) -> Iterator[Backend]:
    for model in request.models:
        if cluster is not None and model.instance_type is not None:
            url = workspace_url(cluster, request.team, model.name)
            yield Backend(backend(request.team, model.name), url, certificate=cluster.certificate)


@lru_cache(maxsize=8)
def compile_catalog(catalog: Catalog, platform: Platform) -> DesiredCatalog:
    """What the catalogue makes in the gateway. It is kept for a while, as above."""
    backends = catalog_backends(catalog, platform.cluster)
    secrets = named_values(catalog, platform.vault_url or "")
    return DesiredCatalog(
        unified_api(),
        requested_model_fragment(),
        api_policy(catalog),
        backends,
        secrets,
        catalog.bearer_way,
    )


def compile_workspaces(request: AccessRequest, catalog: Catalog, platform: Platform) -> DesiredWorkspaces:
    """The team's own workspaces. Empty without a cluster or without dedicated models."""
    return _workspaces(
        request.team,
        [model for model in request.models if model.instance_type is not None],
        catalog,
        platform,
    )


def compile_shared_workspaces(catalog: Catalog, platform: Platform) -> DesiredWorkspaces:
    """The workspaces that the platform runs for all teams. Empty without a cluster or without such models."""
    return _workspaces(CATALOG_TEAM, shared_models(catalog), catalog, platform)


def shared_models(catalog: Catalog) -> tuple[ModelAccess, ...]:
    """The models of which the platform runs a workspace for all teams, as if it asked for them."""
    return tuple(
        ModelAccess(each.name, each.provider, None, None, each.shared.instance_type)
        for each in catalog.models
        if each.shared
    )


def _workspaces(
    team: str, models: Sequence[ModelAccess], catalog: Catalog, platform: Platform
) -> DesiredWorkspaces:
    cluster = platform.cluster
    if cluster is None or not models:
        return DesiredWorkspaces((), {}, {})
    marker = Marker(platform.repository, team, "", "")
    policy = policy_forms(marker, cluster)
    return DesiredWorkspaces(
        limits=(quota_manifest(marker, len(models), most_gpus(models, catalog)), policy.narrow),
        workspaces={workspace(m.name): workspace_manifest(marker, m, catalog) for m in models},
        routes={workspace(m.name): route_manifest(marker, m, cluster, serves_of(m, catalog)) for m in models},
        configs={
            workspace(m.name): config_manifest(marker, config)
            for m in models
            if (config := config_of(m, catalog)) is not None
        },
        release=catalog.kaito or DEFAULT_RELEASE,
        earlier_routes={workspace(m.name): earlier_route_manifest(marker, m, cluster) for m in models},
        policy=policy,
    )


def compile_project(request: AccessRequest, playground: Playground) -> DesiredProject:
    """Compile the project of a request with playground access."""
    return DesiredProject(
        project(request.team), request.display_name, playground.tracing if request.tracing_enabled else None
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
