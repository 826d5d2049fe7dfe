"""The teams that have objects or roles of ours, and those whose access works, found from lists alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Protocol

from shared import names
from shared.inventory.snapshot import Snapshot
from shared.marker import Marker, owner_of
from shared.resources.actual import SecretVersion
from shared.resources.plan import known
from shared.resources.project import BEING_DELETED
from shared.resources.subscription import team_displayed


def _secrets(team: str, world: Snapshot) -> list[SecretVersion]:
    return [world.secrets[name] for name in names.secrets(team) if name in world.secrets]


def teams_with_objects(repository: int, world: Snapshot) -> frozenset[str]:
    """All teams that our objects are marked with. A copy of an object under another name does not count."""
    owners = chain(
        _marked(world.products, names.product),
        _marked(known(world.namespaces, {}), names.namespace),
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
        if team is not None and name in _own(team):
            yield team


def _own(team: str) -> tuple[str, str]:
    """The names of a team's subscriptions."""
    own = names.subscription(team)
    return own, names.mirror(own)


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
    own = (each for name in _own(team) if (each := world.subscriptions.get(name)) is not None)
    return any(each.state == "active" and team_displayed(repository, each) == team for each in own)


def _markers(team: str, world: Snapshot) -> Iterator[Marker]:
    """The markers of the team's namespace and project, as long as they are not being deleted."""
    namespace = known(world.namespaces, {}).get(names.namespace(team))
    if namespace is not None and namespace.marker is not None and not namespace.terminating:
        yield namespace.marker
    project = world.projects.get(names.project(team))
    if project is not None and project.marker is not None and project.state != BEING_DELETED:
        yield project.marker


def teams_with_roles(world: Snapshot) -> frozenset[str]:
    """Teams whose groups still have a role on a project that is gone, so that no marker names the team any
    more.
    """
    names_left = (
        name
        for name, users in world.users.items()
        if name not in world.projects and any(user.ours for user in users)
    )
    return frozenset(team for name in names_left if (team := names.team_of_project(name)) is not None)
