"""Reads the objects of one team in every system, concurrently. When a system does not answer, only its part
is missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from shared import names
from shared.app import App
from shared.cluster_ports import Cluster
from shared.errors import MergekeyError
from shared.inventory.snapshot import Part, Snapshot
from shared.inventory.workspace_witnesses import with_witnesses
from shared.requests.request import AccessRequest
from shared.resources.actual import (
    ActualBackend,
    Limit,
    Namespace,
    Product,
    Project,
    RoleGrant,
    Route,
    SecretVersion,
    Subscription,
    Workspace,
)
from shared.resources.plan import UNREAD, Unread

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class OnGateway:
    product: Product | None = None
    linked: bool = False
    backends: tuple[ActualBackend, ...] = ()


@dataclass(frozen=True, slots=True)
class InVault:
    """The subscription, its mirror, the newest version of each secret, and the groups that may read each."""

    subscription: Subscription | None = None
    mirror: Subscription | None = None
    secrets: tuple[SecretVersion, ...] = ()
    readers: Mapping[str, frozenset[RoleGrant]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InCluster:
    namespace: Namespace | None = None
    workspaces: tuple[Workspace, ...] = ()
    routes: tuple[Route, ...] = ()
    limits: tuple[Limit, ...] | Unread = UNREAD


@dataclass(frozen=True, slots=True)
class InAccount:
    """The Foundry project, and who may use it, whether it is there or not."""

    project: Project | None = None
    users: frozenset[RoleGrant] = frozenset()


@dataclass(frozen=True, slots=True)
class TeamSnapshot:
    """The snapshot of one team; `errors` says why a part could not be read."""

    snapshot: Snapshot
    errors: Mapping[Part, MergekeyError]

    @property
    def unread(self) -> dict[Part, tuple[str, str]]:
        return {part: (error.reason, error.message) for part, error in self.errors.items()}

    def require(self, *parts: Part) -> None:
        """Raise the error of one of these parts that could not be read, for decisions that depend on it."""
        for part in parts:
            if part in self.errors:
                raise self.errors[part]


async def read_team(app: App, team: str, request: AccessRequest | None) -> TeamSnapshot:
    """Without a request all parts are read."""
    gateway, vault, cluster, account = await asyncio.gather(
        _tried(lambda: _on_gateway(app, team, request)),
        _tried(lambda: _in_vault(app, team)),
        _tried(lambda: _in_cluster(app, team, request)),
        _tried(lambda: _in_account(app, team)),
    )
    found: dict[Part, object] = {
        "Gateway": gateway,
        "Keys": vault,
        "Workspaces": cluster,
        "Projects": account,
    }
    world = _world(
        team,
        OnGateway() if isinstance(gateway, MergekeyError) else gateway,
        InVault() if isinstance(vault, MergekeyError) else vault,
        InCluster() if isinstance(cluster, MergekeyError) else cluster,
        InAccount() if isinstance(account, MergekeyError) else account,
    )
    return TeamSnapshot(
        world, {part: error for part, error in found.items() if isinstance(error, MergekeyError)}
    )


async def _tried(read: Callable[[], Awaitable[V]]) -> V | MergekeyError:
    try:
        return await read()
    except MergekeyError as error:
        return error


async def _on_gateway(app: App, team: str, request: AccessRequest | None) -> OnGateway:
    name = names.product(team)
    backends = app.gateway.backends(f"{name}--") if _has_own_models(request) else _none()
    product, linked, found = await asyncio.gather(
        app.gateway.product(name), app.gateway.is_linked(name, names.API), backends
    )
    return OnGateway(product, linked, tuple(found))


async def _in_vault(app: App, team: str) -> InVault:
    """The assignments of each secret are read as they are: others may have let in groups, too."""
    secrets, own = names.secrets(team), names.subscription(team)
    subscription, mirror, readers, versions = await asyncio.gather(
        app.gateway.subscription(own),
        app.gateway.subscription(names.mirror(own)),
        asyncio.gather(*map(app.roles.readers_of, secrets)),
        asyncio.gather(*map(app.vault.versions, secrets)),
    )
    by_secret = {secret: found for secret, found in zip(secrets, readers, strict=True) if found}
    return InVault(subscription, mirror, tuple(found[0] for found in versions if found), by_secret)


async def _in_cluster(app: App, team: str, request: AccessRequest | None) -> InCluster:
    """A team that asks for no workspace of its own may still have one that is being removed: then its
    namespace exists.
    """
    if app.cluster is None:
        return InCluster()
    name = names.namespace(team)
    if not _has_own_models(request):
        namespace = await app.cluster.namespace(name)
        if namespace is None:
            return InCluster()
        standing = await app.cluster.workspaces(name)
        return InCluster(namespace, await _told(app.cluster, name, standing, app.pod_logs))
    namespace, workspaces, routes, limits = await asyncio.gather(
        app.cluster.namespace(name),
        app.cluster.workspaces(name),
        app.cluster.routes(name),
        app.cluster.limits(name),
    )
    told = await _told(app.cluster, name, workspaces, app.pod_logs)
    return InCluster(namespace, told, tuple(routes), tuple(limits))


async def _told(
    cluster: Cluster, home: str, workspaces: Iterable[Workspace], with_logs: bool
) -> tuple[Workspace, ...]:
    """The workspaces, ours with all that shows why they do not serve."""
    seen, _ = await with_witnesses(cluster, home, workspaces, with_logs=with_logs)
    return seen


async def _in_account(app: App, team: str) -> InAccount:
    """A team that asks for no playground (any more) may still have a project, and a group that may use it."""
    if app.projects is None or app.project_roles is None:
        return InAccount()
    name = names.project(team)
    return InAccount(*await asyncio.gather(app.projects.project(name), app.project_roles.readers_of(name)))


def _has_own_models(request: AccessRequest | None) -> bool:
    return request is not None and request.has_own_models


async def _none() -> tuple[()]:
    return ()


def _world(team: str, gateway: OnGateway, vault: InVault, cluster: InCluster, account: InAccount) -> Snapshot:
    product, home, project = names.product(team), names.namespace(team), names.project(team)
    return Snapshot(
        api=None,
        products={product: gateway.product} if gateway.product else {},
        linked=frozenset([product] if gateway.linked else []),
        subscriptions={each.name: each for each in (vault.subscription, vault.mirror) if each is not None},
        backends={backend.name: backend for backend in gateway.backends},
        named_values={},
        secrets={secret.name: secret for secret in vault.secrets},
        readers=vault.readers,
        namespaces={home: cluster.namespace} if cluster.namespace else {},
        workspaces={home: cluster.workspaces},
        routes={home: cluster.routes},
        nodes=(),
        projects={project: account.project} if account.project else {},
        users={project: account.users},
        limits=cluster.limits if isinstance(cluster.limits, Unread) else {home: cluster.limits},
    )
