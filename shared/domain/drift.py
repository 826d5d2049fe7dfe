"""Where the world is not what the branch says, judged from lists alone: no team is read by itself while nothing differs.

What is ours and differs is handed to the stages, which look again before they write. What is somebody else's is only told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from shared.domain import names
from shared.domain.actual import Namespace, Subscription
from shared.domain.backends import Backend
from shared.domain.catalog import Catalog
from shared.domain.desired import (
    DesiredWorkspaces,
    Platform,
    compile_catalog,
    compile_gateway,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.domain.guard import Absence
from shared.domain.marker import Marker
from shared.domain.playground import GOING
from shared.domain.policy_xml import digest_of
from shared.domain.request import AccessRequest
from shared.domain.world import Finding, Part, Times, Wanted, World

#: API Management makes this subscription itself; it opens every API and cannot be deleted, only suspended.
BUILT_IN = "master"
#: An open product serves strangers as its team, at its team's expense: also when the team's own keys are suspended.
OPEN = "its product can be used without a key"


def of_catalog(catalog: Catalog, platform: Platform, world: World) -> Iterator[str]:
    """What differs in the unified API, what serves the models, and the secrets that this needs."""
    desired = compile_catalog(catalog, platform)
    if world.api is None or not world.api.is_as(desired.digest, desired.api_digest):
        yield "the unified API is not what the catalogue says"
    if world.api is not None and not world.api.asks_for_keys:
        yield "the unified API does not ask for keys as it should"
    if world.api_policy not in (None, digest_of(desired.policy)):
        yield "the policy of the unified API is not what was written"
    yield from _backends(desired.backends, names.SHARED_PREFIX, Marker(platform.repository, names.CATALOGUE_TEAM, "", ""), world)
    secrets = {value.name: value.url for value in desired.named_values}
    yield from (f"named value {name} is not what it should be" for name, url in secrets.items() if world.secret_urls.get(name) != url)
    if platform.cluster is not None:
        yield from _cluster(names.CATALOGUE_TEAM, compile_shared_workspaces(catalog, platform), platform, world)
    yield from (f"named value {name} is not needed any more" for name in sorted(world.secret_urls.keys() - secrets.keys()))


def of_team(wanted: Wanted, catalog: Catalog, platform: Platform, world: World) -> Iterator[str]:
    """What differs for a team that has a request in force."""
    for differences in by_part(wanted, catalog, platform, world).values():
        yield from differences


def by_part(wanted: Wanted, catalog: Catalog, platform: Platform, world: World) -> Mapping[Part, Iterator[str]]:
    """The same, by what of the team's access it is about. Without a cluster there are no workspaces; projects are `playground`'s."""
    marker = Marker(platform.repository, wanted.request.team, wanted.path, "", expires=wanted.request.expires)
    parts: dict[Part, Iterator[str]] = {
        "Gateway": _gateway(wanted, marker, catalog, platform, world),
        "Keys": _keys(wanted.request, marker, world),
    }
    if platform.cluster is None:
        return parts
    desired = compile_workspaces(wanted.request, catalog, platform)
    return {**parts, "Workspaces": _cluster(wanted.request.team, desired, platform, world)}


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


def teams_with_objects(repository: int, world: World) -> frozenset[str]:
    """Every team that something of ours is marked with."""
    markers: list[Marker | None] = [product.marker for product in world.products.values()]
    markers += [found.marker for found in world.backends.values()] + [found.marker for found in world.namespaces.values()]
    markers += [found.marker for found in world.projects.values()]
    marked = {marker.team for marker in markers if marker is not None and marker.repository == repository}
    tagged = {found.tags.get("team", "") for found in world.secrets.values() if found.tags.get("repository") == str(repository)}
    named = {found.display_name.rpartition("/")[2] for found in world.subscriptions.values() if _is_of(repository, found)}
    return frozenset((marked | tagged | named) - {names.CATALOGUE_TEAM, ""})


def of_held(team: str, world: World) -> Iterator[str]:
    """A team that the guard holds: its product says so, and no later look lets it go."""
    product = world.products.get(names.product(team))
    if product is not None and product.marker is not None and product.marker.held is None:
        yield "its withdrawal is held and its product does not say so"


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
        (subscription is not None and _is_of(repository, subscription) and subscription.state == "active")
        or any(marker is not None and ours.owns(marker) and marker.withdrawn is None for marker in marked)
        or any(tags.get("repository") == str(repository) and "withdrawn" not in tags for tags in secrets)
    )


def of_others(repository: int, world: World) -> Iterator[str]:
    """What is not ours and opens what is ours, or costs money for nobody. A copy of a product carries our marker under another name."""
    marked = ((product.name, product.marker) for product in world.products.values())
    ours = {name for name, marker in marked if marker and marker.repository == repository and name == names.product(marker.team)}
    for found in world.subscriptions.values():
        if _is_of(repository, found) or found.name == BUILT_IN or found.state != "active":
            continue
        if found.product in ours:
            yield f"subscription {found.name} on product {found.product} is not managed by mergekey: its keys open the team's models"
        elif not found.product:
            yield f"subscription {found.name} is for an API or for all: no product's limits hold for its keys"
    yield from (f"product {name} is linked to the unified API and not managed by mergekey" for name in sorted(world.linked - ours))
    # Who opened one is to be asked; and where a stage cannot close it, because the request is not valid, a person must.
    opened = sorted(name for name in ours if not world.products[name].subscription_required)
    yield from (f"product {name} can be used without a key: whoever calls is taken for its team" for name in opened)
    for secret, readers in sorted(world.readers.items()):
        tags = world.secrets[secret].tags if secret in world.secrets else {}
        if tags.get("repository") == str(repository):
            strangers = sorted(reader.group for reader in readers if not reader.ours and reader.group != tags.get("reader"))
            yield from (f"{group} may read the secret {secret} and no request names it" for group in strangers)
    standing = {(namespace, workspace.name) for namespace, found in world.workspaces.items() for workspace in found}
    for node in world.nodes:
        if (node.namespace, node.workspace) not in standing:
            yield f"GPU node {node.name} was made for the workspace {node.namespace}/{node.workspace}, which is gone: delete its node pool"


def withheld(findings: Iterable[Finding], judged: Absence) -> list[Finding]:
    """Without the teams that the guard holds."""
    held = {each.team for each in judged.held}
    return [finding for finding in findings if finding.team not in held]


def _gateway(wanted: Wanted, marker: Marker, catalog: Catalog, platform: Platform, world: World) -> Iterator[str]:
    desired = compile_gateway(wanted.request, catalog, platform)
    product = world.products.get(desired.product)
    if product is None:
        yield "its product is not there"
        return
    known = product.marker
    if known is None or not marker.owns(known):
        yield "its product is not managed by mergekey"
        return
    if known.digest != desired.digest or not product.published or not known.stands_as(marker):
        yield "its product is not what the request says"
    if not product.subscription_required:
        yield OPEN
    if desired.product not in world.linked:
        yield "its product is not linked to the unified API"
    yield from _backends(desired.backends, f"{desired.product}--", marker, world)


def _backends(desired: Iterable[Backend], prefix: str, marker: Marker, world: World) -> Iterator[str]:
    wanted = {backend.name: backend for backend in desired}
    for name, backend in wanted.items():
        if name not in world.backends or not world.backends[name].is_as(backend):
            yield f"backend {name} is not what it should be"
    for name, found in world.backends.items():
        if name.startswith(prefix) and name not in wanted and marker.owns(found.marker):
            yield f"backend {name} is not needed any more"


def _keys(request: AccessRequest, marker: Marker, world: World) -> Iterator[str]:
    subscription = world.subscriptions.get(names.subscription(request.team))
    if subscription is None or subscription.state != "active" or subscription.product != names.product(request.team):
        yield "its subscription is not active"
    elif not _is_of(marker.repository, subscription):
        yield "its subscription is not managed by mergekey"
    reader = request.entra_group or ""
    for name in names.secrets(request.team):
        found = world.secrets.get(name)
        tags = found.tags if found else {}
        if found is None or not found.enabled or not tags.get("fingerprint") or "withdrawn" in tags:
            yield f"secret {name} is not whole"
        elif (tags.get("repository"), tags.get("team"), tags.get("reader", "")) != (str(marker.repository), request.team, reader):
            yield f"secret {name} is not tagged as the request says"
        readers = world.readers.get(name, frozenset())
        if reader and reader not in {each.group for each in readers}:
            yield f"its group may not read {name}"
        if any(each.ours and each.group != reader for each in readers):
            yield f"another group than its own may read {name}"


def _cluster(team: str, desired: DesiredWorkspaces, platform: Platform, world: World) -> Iterator[str]:
    name = names.namespace(team)
    namespace = world.namespaces.get(name)
    known = namespace.marker if namespace else None
    marker = Marker(platform.repository, team, "", "")
    if not desired.workspaces:
        if marker.owns(known):
            yield f"namespace {name} is not needed any more"
        return
    if known is None or known.digest != desired.digest or known.withdrawn is not None:
        yield f"namespace {name} is not what the request says"
    standing = {workspace.name for workspace in world.workspaces.get(name, ()) if not workspace.terminating}
    yield from (f"workspace {each} is not there" for each in sorted(desired.workspaces.keys() - standing))
    routes = world.routes.get(name, frozenset())
    yield from (f"the route to {each} is not there" for each in sorted((desired.routes.keys() & standing) - routes))
    yield from (f"the route to {each} is not needed any more" for each in sorted(routes - desired.routes.keys()))


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


def _is_of(repository: int, subscription: Subscription) -> bool:
    return subscription.display_name.startswith(f"mergekey/{repository}/")
