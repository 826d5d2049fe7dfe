"""Writes a plan: step after step, the changes of a step side by side, the marker last. Every write may be
repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from shared.app import App
from shared.cluster_ports import Cluster
from shared.errors import Busy, MergekeyError, NotManaged, PermanentError, Rejected
from shared.marker import Marker
from shared.ports import Gateway, Projects, Roles
from shared.resources.actual import Product, SecretVersion
from shared.resources.backends import NamedValue
from shared.resources.bearer import BearerKeys
from shared.resources.plan import ANY_VERSION, Change, Create, Delete, Replace, Update, WritablePlan
from shared.resources.secret_tags import equivalent, with_others
from shared.resources.subscription import ADMINISTRATOR
from shared.resources.workspaces import namespace_manifest
from shared.secret import SecretValue

#: The tags that name the owner of a secret.
OWNER_TAGS = ("repository", "team")


async def gather_all(*calls: Awaitable[object]) -> None:
    """Wait for all calls, then raise the most severe exception: a bug, then a permanent error, then a
    temporary one.

    Nothing is cancelled: a write that has begun is finished, so that a retry finds what it did.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        raise min(
            failures,
            key=lambda error: (
                0 if not isinstance(error, MergekeyError) else 1 if isinstance(error, PermanentError) else 2
            ),
        )


async def apply_plan(
    plan: WritablePlan,
    write: Callable[[Change], Awaitable[None]],
    after_first: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Write a plan. `after_first` runs when the first step is written, beside the others."""
    first, *rest = plan.steps or ((),)
    await gather_all(*(write(change) for change in first))
    await gather_all(_steps(rest, write), *([after_first()] if after_first else []))


async def _steps(steps: list[tuple[Change, ...]], write: Callable[[Change], Awaitable[None]]) -> None:
    for step in steps:
        await gather_all(*(write(change) for change in step))


async def remove_administrator(gateway: Gateway, product: str) -> None:
    """Delete the administrator's subscriptions to a product, which API Management made by itself."""
    subscriptions = await gateway.product_subscriptions(product)
    strays = [found for found in subscriptions if found.owner == ADMINISTRATOR and found.name != product]
    await gather_all(*(gateway.delete_subscription(stray.name, stray.etag) for stray in strays))


class GatewayWriter:
    """Writes a team's product or the catalogue's API. It remembers the ETag of the product that it created,
    closed or marked, which backends it has written, and why the gateway cannot read the secrets of some
    named values, by their addresses.
    """

    def __init__(self, gateway: Gateway, marker: Marker) -> None:
        self._gateway = gateway
        self._marker = marker
        self._written: str | None = None
        self._backends: set[str] = set()
        self.unreadable: dict[str, str] = {}

    def etag_of(self, product: Product | None) -> str:
        """The product's ETag after what this writer has written."""
        return self._current(product.etag if product else None)

    def _current(self, tag: str | None) -> str:
        return self._written or tag or ANY_VERSION

    async def __call__(self, change: Change) -> None:
        match change.kind:
            case "backend":
                await self._write_backend(change)
            case "named value":
                await self._write_named_value(change)
            case "api" | "api policy" | "api marker" | "policy fragment":
                await self._write_api(change)
            case "subscription" | "administrator subscription":
                await self._take_away_subscription(change)
            case _:
                await self._write_product(change)

    async def _write_product(self, change: Change) -> None:
        match change:
            case Create("product", name, (display_name, marker)):
                self._written = await self._gateway.create_product(name, display_name, marker)
            case Update("product", name, tag):
                self._written = await self._gateway.require_subscription(name, tag or ANY_VERSION)
            case Update("product reservation", name, tag, marker):
                self._written = await self._gateway.mark_product(name, self._current(tag), marker)
            case Update("product policy", name, tag, policy):
                await self._gateway.put_product_policy(name, policy, tag)
            case Create("product link", name, api):
                await self._gateway.link_product(name, api)
            case Delete("product link", name, api):
                await self._gateway.unlink_product(name, api)
            case Update("product marker", name, tag, (display_name, marker)):
                await self._gateway.publish_product(name, self._current(tag), display_name, marker)
            case Delete("product", name, tag):
                await self._gateway.delete_product(name, self._current(tag))
            case _:
                raise TypeError(f"the gateway cannot write {change}")

    async def _take_away_subscription(self, change: Change) -> None:
        match change:
            case Update("subscription", name, tag):
                await self._gateway.suspend_subscription(name, tag or ANY_VERSION)
            case Delete("subscription", name, tag):
                await self._gateway.delete_subscription(name, tag)
            case Delete("administrator subscription", product):
                await remove_administrator(self._gateway, product)
            case _:
                raise TypeError(f"the gateway cannot write {change}")

    async def _write_backend(self, change: Change) -> None:
        match change:
            case Create(_, _, body):
                await self._gateway.put_backend(body, self._marker, None)
                self._backends.add(change.name)
            case Update(_, name, tag, body):
                # The second write follows at once, and does not know the ETag that the first one gave.
                known = ANY_VERSION if name in self._backends else tag
                await self._gateway.put_backend(body, self._marker, known)
                self._backends.add(name)
            case Delete(_, name, tag):
                await self._gateway.delete_backend(name, tag)
            case _:
                raise TypeError(f"the gateway cannot write {change}")

    async def _write_named_value(self, change: Change) -> None:
        match change:
            case Create(_, _, body):
                await self._put_named_value(body, None)
            case Update(_, _, tag, body):
                await self._put_named_value(body, tag)
            case Delete(_, name, tag):
                await self._gateway.delete_named_value(name, tag)
            case _:
                raise TypeError(f"the gateway cannot write {change}")

    async def _put_named_value(self, value: NamedValue, tag: str | None) -> None:
        cause = await self._gateway.put_named_value(value, self._marker.repository, tag)
        if cause:
            self.unreadable[value.url] = cause

    async def _write_api(self, change: Change) -> None:
        match change:
            case Update("api", name, tag, (desired, marker)):
                await self._gateway.put_api(name, desired, marker, tag)
            case Create("policy fragment", name, text):
                await self._gateway.put_fragment(name, text)
            case Update("api policy", name, tag, policy):
                await self._gateway.put_api_policy(name, policy, tag)
            case Update("api marker", name, _, BearerKeys() as keys):
                await self._gateway.mark_bearer_api(name, keys)
            case Update("api marker", name, _, marker):
                await self._gateway.mark_api(name, marker)
            case Delete("api", name, tag):
                await self._gateway.delete_api(name, tag)
            case _:
                raise TypeError(f"the gateway cannot write {change}")


def misses_reference(error: Rejected, needed: set[str], existing: set[str]) -> bool:
    """Whether a write was refused because something that it names did not exist: it still does not, or the
    error names it and it has come back since.
    """
    return bool(needed - existing) or any(f"'{name}'" in error.message for name in needed)


class WorkspaceWriter:
    """Writes the objects in a team's namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace

    async def __call__(self, change: Change) -> None:
        match change:
            case Create("workspace" | "config", _, manifest):
                await self._cluster.create(manifest)
            case Update("workspace", _, tag, manifest):
                await self._cluster.change_workspace(manifest, tag or ANY_VERSION)
            case Create("limits" | "route", _, manifest) | Update("limits", _, _, manifest):
                await self._cluster.apply(manifest)
            case Update("namespace", _, _, marker):
                await self._cluster.apply(namespace_manifest(marker))
            case Replace("workspace", name, tag) | Delete("workspace", name, tag):
                await self._cluster.delete_workspace(self._namespace, name, tag)
            case Delete("route", name):
                await self._cluster.delete_route(self._namespace, name)
            case Delete("namespace", name, tag):
                await self._cluster.delete_namespace(name, tag)
            case _:
                raise TypeError(f"the cluster cannot write {change}")


class ProjectWriter:
    """Writes a team's Foundry project, its tracing connection, and its role assignments."""

    def __init__(self, projects: Projects, roles: Roles, name: str) -> None:
        self._projects = projects
        self._roles = roles
        self._name = name

    async def __call__(self, change: Change) -> None:
        match change:
            case Delete("project role", group):
                await self._roles.revoke(self._name, group)
            case Create("project role", group):
                await self._roles.grant(self._name, group)
            case Create("project", name, (display_name, marker)):
                await self._projects.create_project(name, display_name, marker)
            case Update("project marker", name, _, (display_name, marker)):
                await self._projects.update_project(name, display_name, marker)
            case Create("tracing connection", target):
                await self._projects.put_connection(self._name, target, await self._projects.tracing_key())
            case Delete("tracing connection"):
                await self._projects.delete_connection(self._name)
            case Delete("project", name):
                await self._projects.delete_project(name)
            case _:
                raise TypeError(f"the playground cannot write {change}")


@dataclass(frozen=True, slots=True)
class Secret:
    """The desired content of a vault secret."""

    name: str
    content_type: str
    value: SecretValue


async def write_secret(
    app: App, secret: Secret, newest: SecretVersion | None, tags: Mapping[str, str]
) -> bool:
    """Bring one secret to its value, enabled, with these tags: a new version only when the value differs.
    Returns whether anything was written.
    """
    fingerprint = secret.value.fingerprint(secret.name)
    found = {} if newest is None else newest.tags
    wanted = with_others({**tags, "fingerprint": fingerprint}, found)
    if newest is None or found.get("fingerprint") != fingerprint:
        await set_secret(app, secret, wanted)
        return True
    if not newest.enabled or not equivalent(found, wanted):
        await app.vault.update(newest, True, wanted)
        return True
    return False


async def set_secret(app: App, secret: Secret, tags: Mapping[str, str]) -> None:
    """Write a new version, with these tags and its fingerprint.

    The name of a soft-deleted secret is taken: a secret of ours is recovered, and Busy is raised until the
    vault has done that.
    """
    try:
        await app.vault.set(
            secret.name,
            secret.value,
            secret.content_type,
            {**tags, "fingerprint": secret.value.fingerprint(secret.name)},
        )
    except Busy as error:
        if error.reason == "SecretIsDeleted":
            await _recover(app, secret.name, tags)
        raise


async def _recover(app: App, name: str, wanted: Mapping[str, str]) -> None:
    """Raises NotManaged for a secret that was not this team's: its former readers could read it again."""
    found = await app.vault.deleted_tags(name)
    if found is None:
        return  # the list lags behind, or another host has recovered it: the stage comes back anyway
    if any(found.get(tag) != wanted.get(tag) for tag in OWNER_TAGS):
        team = wanted.get("team", "")
        raise NotManaged(
            f"there is a deleted secret {name} that is not managed by mergekey for {team}: its name is free "
            "once it is purged"
        )
    await app.vault.recover(name)
