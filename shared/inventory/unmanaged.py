"""Objects of other owners that give access to ours, or cost money for no use. They are only reported: a
person must act.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TypeGuard

from shared import names
from shared.inventory.snapshot import Snapshot
from shared.marker import Marker, owner_of
from shared.resources.actual import RoleGrant, Subscription
from shared.resources.plan import Unread, known
from shared.resources.subscription import team_displayed

#: API Management makes this subscription itself; it opens every API and cannot be deleted, only suspended.
BUILT_IN = "master"


def unmanaged(repository: int, world: Snapshot) -> Iterator[str]:
    """All such objects, as texts for the log."""
    ours = _our_products(repository, world)
    yield from _subscriptions(repository, ours, world)
    yield from (
        f"product {name} is linked to the unified API and not managed by mergekey"
        for name in sorted(world.linked - ours)
    )
    # A person must find out the reason, and must correct it where no stage can, because the request is not
    # valid.
    yield from (
        f"product {name} can be used without a key: calls without one are served as its team"
        for name in sorted(ours)
        if not world.products[name].subscription_required
    )
    yield from _secret_readers(repository, world)
    # No kind of which nothing is known makes anything of it superfluous.
    yield from (f"{error}: what is unknown is not compared" for error in world.not_served.values())
    yield from _nodes(world)
    yield from _workspaces(repository, world)
    yield from _project_readers(repository, world)


def _our_products(repository: int, world: Snapshot) -> frozenset[str]:
    """A copy of a product carries our marker under another name: it is not ours."""
    return frozenset(
        name
        for name, product in world.products.items()
        if _is_ours(product.marker, repository) and name == names.product(product.marker.team)
    )


def _is_ours(marker: Marker | None, repository: int) -> TypeGuard[Marker]:
    return marker is not None and marker.repository == repository


def _subscriptions(repository: int, ours: Set[str], world: Snapshot) -> Iterator[str]:
    for found in world.subscriptions.values():
        if found.state != "active" or found.name == BUILT_IN or _is_teams_own(repository, found):
            continue
        if found.product in ours:
            yield (
                f"subscription {found.name} on product {found.product} is not managed by mergekey: its keys "
                "open the team's models"
            )
        elif not found.product:
            yield f"subscription {found.name} is for an API or for all: no product's limits hold for its keys"


def _is_teams_own(repository: int, subscription: Subscription) -> bool:
    team = team_displayed(repository, subscription)
    return team is not None and _is_own_name(team, subscription.name)


def _is_own_name(team: str, name: str) -> bool:
    """The probe of the API of bearer keys is the platform's own."""
    own = names.PROBE if team == names.CATALOG_TEAM else names.subscription(team)
    return name in (own, names.mirror(own))


def _secret_readers(repository: int, world: Snapshot) -> Iterator[str]:
    for secret, readers in sorted(world.readers.items()):
        tags = world.secrets[secret].tags if secret in world.secrets else {}
        owner = owner_of(tags)
        if owner is None or owner[0] != repository:
            continue
        named = _requested_reader(tags, world)
        yield from (
            f"{reader.group} may read the secret {secret} and no request names it"
            for reader in sorted(readers, key=lambda reader: reader.group)
            if is_stranger(reader, named)
        )


def is_stranger(reader: RoleGrant, named: str | None) -> bool:
    """Whether others let this group in, and no request names it. `named` is the group that the request
    names.
    """
    return not reader.ours and reader.group != named


def _requested_reader(tags: Mapping[str, str], world: Snapshot) -> str | None:
    """The group that the request names, by the endpoint's tag: a key's may still name its former reader."""
    endpoint = world.secrets.get(names.endpoint_secret(tags.get("team", "")))
    return (tags if endpoint is None else endpoint.tags).get("reader")


def _nodes(world: Snapshot) -> Iterator[str]:
    if isinstance(world.nodes, Unread) or isinstance(world.workspaces, Unread):
        return
    existing = {(home, workspace.name) for home, found in world.workspaces.items() for workspace in found}
    yield from (
        f"GPU node {node.name} was made for the workspace {node.namespace}/{node.workspace}, which is gone: "
        "delete its node pool"
        for node in world.nodes
        if (node.namespace, node.workspace) not in existing and not node.going
    )


def _workspaces(repository: int, world: Snapshot) -> Iterator[str]:
    """Workspaces of others in namespaces of ours."""
    workspaces = known(world.workspaces, {})
    homes = (
        name
        for name, each in known(world.namespaces, {}).items()
        if _is_ours(each.marker, repository) and not each.terminating
    )
    found = (
        f"{home}/{each.name}"
        for home in homes
        for each in workspaces.get(home, ())
        if not (each.managed or each.terminating)
    )
    yield from (
        f"workspace {name} is not managed by mergekey: its GPUs stay until it is deleted"
        for name in sorted(found)
    )


def _project_readers(repository: int, world: Snapshot) -> Iterator[str]:
    """Groups that may use our projects by another owner's assignment; the secrets' tags name the requested
    groups.
    """
    for name, found in sorted(world.projects.items()):
        if not _is_ours(found.marker, repository):
            continue
        secret = world.secrets.get(names.endpoint_secret(found.marker.team))
        named = secret.tags.get("reader") if secret else None
        yield from (
            f"{reader.group} may use the Foundry project {name} and no request names it"
            for reader in sorted(world.users.get(name, ()), key=lambda reader: reader.group)
            if is_stranger(reader, named)
        )
