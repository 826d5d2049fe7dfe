"""Teams without a request: who they are, what of their access still works, and what is left of it. Judged
from lists alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Protocol

from shared import names
from shared.inventory.drift import OPEN, team_displayed
from shared.inventory.snapshot import Snapshot, Times
from shared.marker import Marker, owner_of
from shared.resources.actual import Namespace
from shared.resources.project import GOING


def of_access_that_ended(team: str, times: Times, world: Snapshot) -> Iterator[str]:
    """What is still there of a team whose access was withdrawn or is over by its date."""
    product, subscription = (
        world.products.get(names.product(team)),
        world.subscriptions.get(names.subscription(team)),
    )
    since = product.marker.withdrawn if product and product.marker else None
    newer = product is not None and product.marker is not None and product.marker.newer
    if product is not None and since is None and not newer:
        yield "its access has ended and its product is not withdrawn"
    if product is not None and product.marker is not None and not newer and not product.subscription_required:
        yield OPEN
    if since is not None and times.now >= since + times.grace and not newer:
        yield "its grace period has ended"
    if subscription is not None and subscription.state == "active":
        yield "its access has ended and its keys are active"
    secrets = [world.secrets[name] for name in names.secrets(team) if name in world.secrets]
    if any(secret.enabled for secret in secrets):
        yield "its access has ended and its secrets are enabled"
    let_in = any(reader.ours for name in names.secrets(team) for reader in world.readers.get(name, ()))
    if product is None and (secrets or let_in or subscription is not None or _own_backends(team, world)):
        yield "its product is gone and other objects are left"
    yield from _ended_namespace(world.namespaces.get(names.namespace(team)), times)


def of_held(team: str, world: Snapshot) -> Iterator[str]:
    """A team that the guard holds: its product says so, and no later look lets it go."""
    product = world.products.get(names.product(team))
    if (
        product is not None
        and product.marker is not None
        and product.is_finished
        and not (product.marker.held or product.marker.newer)
    ):
        yield "its withdrawal is held and its product does not say so"


def teams_with_objects(repository: int, world: Snapshot) -> frozenset[str]:
    """Every team that something of ours is marked with, under the name that we give it: a copy under another
    name is nobody's.
    """
    marked = chain(
        _marked(world.products, names.product),
        _marked(world.namespaces, names.namespace),
        _marked(world.projects, names.project),
        ((marker.repository, marker.team) for marker in _backends(world)),
    )
    tagged = ((name, owner_of(found.tags)) for name, found in world.secrets.items())
    secrets = (owner for name, owner in tagged if owner is not None and name in names.secrets(owner[1]))
    displayed = ((name, team_displayed(repository, found)) for name, found in world.subscriptions.items())
    subscribed = {team for name, team in displayed if team is not None and name == names.subscription(team)}
    owners = {team for whose, team in chain(marked, secrets) if whose == repository}
    return frozenset((owners | subscribed) - {names.CATALOGUE_TEAM})


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
    subscription, namespace = (
        world.subscriptions.get(names.subscription(team)),
        world.namespaces.get(names.namespace(team)),
    )
    project = world.projects.get(names.project(team))
    marked = [
        namespace.marker if namespace is not None and not namespace.terminating else None,
        project.marker if project is not None and project.state != GOING else None,
    ]
    secrets = [world.secrets[name].tags for name in names.secrets(team) if name in world.secrets]
    return (
        (
            subscription is not None
            and team_displayed(repository, subscription) == team
            and subscription.state == "active"
        )
        or any(marker is not None and ours.owns(marker) and marker.withdrawn is None for marker in marked)
        or any(owner_of(tags) == (repository, team) and "withdrawn" not in tags for tags in secrets)
    )


def _ended_namespace(namespace: Namespace | None, times: Times) -> Iterator[str]:
    if namespace is None or namespace.marker is None or namespace.marker.newer or namespace.terminating:
        return
    since = namespace.marker.withdrawn
    if since is None:
        yield "its access has ended and its workspaces are not withdrawn"
    elif times.now >= since + times.workspace_grace:
        yield "its workspaces outlived their grace period"


def _own_backends(team: str, world: Snapshot) -> bool:
    """What a newer version looks after, or another team owns, is not left over."""
    named = (
        found.marker for name, found in world.backends.items() if name.startswith(f"{names.product(team)}--")
    )
    return any(marker is not None and marker.team == team and not marker.newer for marker in named)
