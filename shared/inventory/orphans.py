"""Teams without a request, and the objects that are left of their access, found from lists alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Protocol

from shared import names
from shared.inventory.drift import KEY_NOT_REQUIRED, team_displayed
from shared.inventory.snapshot import Snapshot, Times
from shared.marker import Marker, owner_of
from shared.resources.actual import Namespace, Product, SecretVersion
from shared.resources.project import BEING_DELETED


def ended_team_drift(team: str, times: Times, world: Snapshot) -> Iterator[str]:
    """The remains of a team whose access was withdrawn or is over by its date."""
    product = world.products.get(names.product(team))
    if product is not None:
        yield from _ended_product(product, times)
    yield from _ended_keys(team, world)
    if product is None and _has_more(team, world):
        yield "its product is gone and other objects are left"
    yield from _ended_namespace(world.namespaces.get(names.namespace(team)), times)


def _ended_product(product: Product, times: Times) -> Iterator[str]:
    marker = product.marker
    if marker is not None and marker.newer:
        return
    if marker is None or marker.withdrawn is None:
        yield "its access has ended and its product is not withdrawn"
    if marker is not None and not product.subscription_required:
        yield KEY_NOT_REQUIRED
    if marker is not None and marker.withdrawn and times.now >= marker.withdrawn + times.grace:
        yield "its grace period has ended"


def _ended_keys(team: str, world: Snapshot) -> Iterator[str]:
    subscription = world.subscriptions.get(names.subscription(team))
    if subscription is not None and subscription.state == "active":
        yield "its access has ended and its keys are active"
    if any(secret.enabled for secret in _secrets(team, world)):
        yield "its access has ended and its secrets are enabled"


def _secrets(team: str, world: Snapshot) -> list[SecretVersion]:
    return [world.secrets[name] for name in names.secrets(team) if name in world.secrets]


def _has_more(team: str, world: Snapshot) -> bool:
    """Whether a team has anything of ours at the gateway and in the vault, besides its product."""
    readers = (reader for name in names.secrets(team) for reader in world.readers.get(name, ()))
    return (
        names.subscription(team) in world.subscriptions
        or bool(_secrets(team, world))
        or any(reader.ours for reader in readers)
        or _own_backends(team, world)
    )


def held_team_drift(team: str, world: Snapshot) -> Iterator[str]:
    """The product of a team whose withdrawal is held must say so, so that no later run withdraws it."""
    product = world.products.get(names.product(team))
    if (
        product is not None
        and product.marker is not None
        and product.is_finished
        and not (product.marker.held or product.marker.newer)
    ):
        yield "its withdrawal is held and its product does not say so"


def teams_with_objects(repository: int, world: Snapshot) -> frozenset[str]:
    """All teams that our objects are marked with. A copy of an object under another name does not count."""
    owners = chain(
        _marked(world.products, names.product),
        _marked(world.namespaces, names.namespace),
        _marked(world.projects, names.project),
        ((marker.repository, marker.team) for marker in _backends(world)),
        _tagged(world),
    )
    marked = {team for owner, team in owners if owner == repository}
    return frozenset(marked.union(_subscribed(repository, world)) - {names.CATALOG_TEAM})


def _tagged(world: Snapshot) -> Iterator[tuple[int, str]]:
    for name, found in world.secrets.items():
        owner = owner_of(found.tags)
        if owner is not None and name in names.secrets(owner[1]):
            yield owner


def _subscribed(repository: int, world: Snapshot) -> Iterator[str]:
    for name, found in world.subscriptions.items():
        team = team_displayed(repository, found)
        if team is not None and name == names.subscription(team):
            yield team


class _HasMarker(Protocol):
    @property
    def marker(self) -> Marker | None: ...


def _marked(found: Mapping[str, _HasMarker], name_of: Callable[[str], str]) -> Iterator[tuple[int, str]]:
    for name, each in found.items():
        if each.marker is not None and name == name_of(each.marker.team):
            yield each.marker.repository, each.marker.team


def _backends(world: Snapshot) -> Iterator[Marker]:
    for name, found in world.backends.items():
        if found.marker is not None and name.startswith(f"{names.product(found.marker.team)}--"):
            yield found.marker


def is_in_use(team: str, repository: int, world: Snapshot) -> bool:
    """Whether anything of ours but its product says that the team has access, or had it when its product was
    taken away.
    """
    ours = Marker(repository, team, "", "")
    return (
        _has_active_subscription(team, repository, world)
        or any(ours.owns(marker) and marker.withdrawn is None for marker in _markers(team, world))
        or any(
            owner_of(secret.tags) == (repository, team) and "withdrawn" not in secret.tags
            for secret in _secrets(team, world)
        )
    )


def _has_active_subscription(team: str, repository: int, world: Snapshot) -> bool:
    found = world.subscriptions.get(names.subscription(team))
    return found is not None and found.state == "active" and team_displayed(repository, found) == team


def _markers(team: str, world: Snapshot) -> Iterator[Marker]:
    """The markers of the team's namespace and project, as long as they are not being deleted."""
    namespace = world.namespaces.get(names.namespace(team))
    if namespace is not None and namespace.marker is not None and not namespace.terminating:
        yield namespace.marker
    project = world.projects.get(names.project(team))
    if project is not None and project.marker is not None and project.state != BEING_DELETED:
        yield project.marker


def _ended_namespace(namespace: Namespace | None, times: Times) -> Iterator[str]:
    if namespace is None or namespace.marker is None or namespace.marker.newer or namespace.terminating:
        return
    since = namespace.marker.withdrawn
    if since is None:
        yield "its access has ended and its workspaces are not withdrawn"
    elif times.now >= since + times.workspace_grace:
        yield "its workspaces outlived their grace period"


def _own_backends(team: str, world: Snapshot) -> bool:
    """Backends that a newer version maintains, or another team owns, are not left over."""
    named = (
        found.marker for name, found in world.backends.items() if name.startswith(f"{names.product(team)}--")
    )
    return any(marker is not None and marker.team == team and not marker.newer for marker in named)
