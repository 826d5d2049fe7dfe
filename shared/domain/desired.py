"""What should be: a request and the catalogue compiled into one slice per stage, each with its digest.

A digest says whether a slice is the one that was written last. It is over everything that is written, so a new version of this code
that writes something else converges by itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from shared.domain.catalog import Catalog
from shared.domain.marker import Marker
from shared.domain.names import backend, product, shared_backend, workspace
from shared.domain.openapi import unified_api
from shared.domain.policy import api_policy, product_policy, requested_model_fragment
from shared.domain.request import AccessRequest
from shared.domain.workspace import (
    Cluster,
    Manifest,
    network_policy_manifest,
    quota_manifest,
    route_manifest,
    workspace_manifest,
    workspace_url,
)


@dataclass(frozen=True, slots=True)
class Platform:
    """What the platform settled once: the repository that asks, the gateway's URL, the cluster if there is one."""

    repository: int
    gateway_url: str
    cluster: Cluster | None


@dataclass(frozen=True, slots=True)
class Backend:
    """An APIM backend: its name and the OpenAI-compatible base URL behind it."""

    name: str
    url: str


@dataclass(frozen=True, slots=True)
class DesiredGateway:
    """A team's product, its policy, and a backend per dedicated model."""

    product: str
    display_name: str
    policy: str
    backends: tuple[Backend, ...]

    @property
    def digest(self) -> str:
        return _digest(asdict(self))


@dataclass(frozen=True, slots=True)
class DesiredCatalog:
    """The unified API with its fragment and policy, and a backend per model that is served from a shared endpoint."""

    api: dict[str, Any]
    fragment: str
    policy: str
    backends: tuple[Backend, ...]

    @property
    def digest(self) -> str:
        return _digest(asdict(self))

    @property
    def api_digest(self) -> str:
        """Of the API's operations alone: importing them again is slow and locks the API."""
        return _digest(self.api)


@dataclass(frozen=True, slots=True)
class DesiredWorkspaces:
    """What stands in the team's namespace besides the namespace itself. `workspaces` and `routes` are by workspace name."""

    limits: tuple[Manifest, ...]
    workspaces: dict[str, Manifest]
    routes: dict[str, Manifest]

    @property
    def digest(self) -> str:
        return _digest(asdict(self))


def compile_gateway(request: AccessRequest, platform: Platform) -> DesiredGateway:
    return DesiredGateway(
        product=product(request.team),
        display_name=request.display_name,
        policy=product_policy(request),
        backends=tuple(_dedicated_backends(request, platform.cluster)),
    )


def _dedicated_backends(request: AccessRequest, cluster: Cluster | None) -> Iterator[Backend]:
    for model in request.models:
        if cluster is not None and model.instance_type is not None:
            yield Backend(backend(request.team, model.name), workspace_url(cluster, request.team, model.name))


def compile_catalog(catalog: Catalog) -> DesiredCatalog:
    shared = tuple(Backend(shared_backend(model.name), model.endpoint) for model in catalog.models if model.endpoint is not None)
    return DesiredCatalog(unified_api(), requested_model_fragment(), api_policy(catalog), shared)


def compile_workspaces(request: AccessRequest, catalog: Catalog, platform: Platform) -> DesiredWorkspaces:
    """Empty without a cluster or without dedicated models."""
    cluster = platform.cluster
    models = [model for model in request.models if model.instance_type is not None]
    if cluster is None or not models:
        return DesiredWorkspaces((), {}, {})
    marker = Marker(platform.repository, request.team, "", "")
    return DesiredWorkspaces(
        limits=(quota_manifest(marker, len(models)), network_policy_manifest(marker, cluster)),
        workspaces={workspace(m.name): workspace_manifest(marker, m, catalog, cluster.dialect) for m in models},
        routes={workspace(m.name): route_manifest(marker, m, cluster) for m in models},
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
