"""Teams without a request: who they are, what of their access still works, and what is left of it. Judged from lists alone."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain import names
from shared.domain.actual import Namespace
from shared.domain.drift import OPEN, is_of
from shared.domain.marker import Marker
from shared.domain.playground import GOING
from shared.domain.world import Times, World


def of_access_that_ended(team: str, times: Times, world: World) -> Iterator[str]:
    """What is still there of a team whose access was withdrawn or is over by its date."""
    product, subscription = world.products.get(names.product(team)), world.subscriptions.get(names.subscription(team))
    since = product.marker.withdrawn if product and product.marker else None
    if product is not None and since is None:
        yield "its access has ended and its product is not withdrawn"
    if product is not None and product.marker is not None and not product.subscription_required:
        yield OPEN
    if since is not None and times.now >= since + times.grace:
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


def of_held(team: str, world: World) -> Iterator[str]:
    """A team that the guard holds: its product says so, and no later look lets it go."""
    product = world.products.get(names.product(team))
    if product is not None and product.marker is not None and product.is_finished and product.marker.held is None:
        yield "its withdrawal is held and its product does not say so"


def teams_with_objects(repository: int, world: World) -> frozenset[str]:
    """Every team that something of ours is marked with."""
    markers: list[Marker | None] = [product.marker for product in world.products.values()]
    markers += [found.marker for found in world.backends.values()] + [found.marker for found in world.namespaces.values()]
    markers += [found.marker for found in world.projects.values()]
    marked = {marker.team for marker in markers if marker is not None and marker.repository == repository}
    tagged = {found.tags.get("team", "") for found in world.secrets.values() if found.tags.get("repository") == str(repository)}
    named = {found.display_name.rpartition("/")[2] for found in world.subscriptions.values() if is_of(repository, found)}
    return frozenset((marked | tagged | named) - {names.CATALOGUE_TEAM, ""})


def is_in_use(team: str, repository: int, world: World) -> bool:
    """Whether anything of ours but its product says that the team has access, or had it when its product was taken away."""
    ours = Marker(repository, team, "", "")
    subscription, namespace = world.subscriptions.get(names.subscription(team)), world.namespaces.get(names.namespace(team))
    project = world.projects.get(names.project(team))
    marked = [
        namespace.marker if namespace is not None and not namespace.terminating else None,
        project.marker if project is not None and project.state != GOING else None,
    ]
    secrets = [world.secrets[name].tags for name in names.secrets(team) if name in world.secrets]
    return (
        (subscription is not None and is_of(repository, subscription) and subscription.state == "active")
        or any(marker is not None and ours.owns(marker) and marker.withdrawn is None for marker in marked)
        or any(tags.get("repository") == str(repository) and "withdrawn" not in tags for tags in secrets)
    )


def _ended_namespace(namespace: Namespace | None, times: Times) -> Iterator[str]:
    if namespace is None or namespace.marker is None or namespace.terminating:
        return
    since = namespace.marker.withdrawn
    if since is None:
        yield "its access has ended and its workspaces are not withdrawn"
    elif times.now >= since + times.workspace_grace:
        yield "its workspaces outlived their grace period"


def _own_backends(team: str, world: World) -> bool:
    return any(name.startswith(f"{names.product(team)}--") and found.marker for name, found in world.backends.items())
