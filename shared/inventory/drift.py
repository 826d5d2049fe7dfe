"""Where the world is not what the branch says, judged from lists alone: no team is read by itself while
nothing differs.

What is ours and differs is handed to the stages, which look again before they write. What is somebody else's
is only told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain

from shared import names
from shared.catalog.catalog import Catalog
from shared.inventory.snapshot import DesiredTeam, Part, Snapshot, Times
from shared.marker import Marker, is_team, owner_of
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.requests.request import AccessRequest
from shared.resources.actual import Limit, Route, Subscription
from shared.resources.backends import Backend
from shared.resources.desired import (
    DesiredWorkspaces,
    Platform,
    compile_catalog,
    compile_gateway,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.resources.key_slots import EXPOSED, Renewal, Slot, is_marked, renewal
from shared.resources.workspaces import Manifest, fixed_fields, says
from shared.secret import SecretValue

#: What also differs when a release makes something else of the same request.
_BY_DIGEST = (
    "its product is not what the request says",
    "its policy is not what was written",
    "backend ",
    "namespace ",
    "workspace ",
)

#: API Management makes this subscription itself; it opens every API and cannot be deleted, only suspended.
BUILT_IN = "master"
#: An open product serves strangers as its team, at its team's expense: also when the team's own keys are
#: suspended.
OPEN = "its product can be used without a key"


def catalog_drift(catalog: Catalog, platform: Platform, world: Snapshot) -> Iterator[str]:
    """What differs in the unified API, what serves the models, and the secrets that this needs."""
    desired = compile_catalog(catalog, platform)
    if world.api is not None and world.api.marker is not None and world.api.marker.newer:
        return
    if world.api is None or not world.api.is_as(desired.digest, desired.api_digest):
        yield "the unified API is not what the catalogue says"
    if world.api is not None and not world.api.asks_for_keys:
        yield "the unified API does not ask for keys as it should"
    if world.api_policy not in (None, digest_of(desired.policy)):
        yield "the policy of the unified API is not what was written"
    if world.fragment not in (None, canonical_digest(desired.fragment)):
        yield "the policy fragment is not what was written"
    yield from _backends(
        desired.backends,
        names.SHARED_PREFIX,
        Marker(platform.repository, names.CATALOGUE_TEAM, "", ""),
        world,
    )
    secrets = {value.name: value.url for value in desired.named_values}
    yield from (
        f"named value {name} is not what it should be"
        for name, url in secrets.items()
        if world.secret_urls.get(name) != url
    )
    if platform.cluster is not None:
        yield from _cluster(
            names.CATALOGUE_TEAM, compile_shared_workspaces(catalog, platform), platform, world
        )
    yield from (
        f"named value {name} is not needed any more"
        for name in sorted(world.secret_urls.keys() - secrets.keys())
    )


def team_drift(
    wanted: DesiredTeam, catalog: Catalog, platform: Platform, world: Snapshot, times: Times
) -> Iterator[str]:
    """What differs for a team that has a request in force."""
    for differences in by_part(wanted, catalog, platform, world, times).values():
        yield from differences


def by_part(
    wanted: DesiredTeam, catalog: Catalog, platform: Platform, world: Snapshot, times: Times
) -> Mapping[Part, Iterator[str]]:
    """The same, by what of the team's access it is about. Without a cluster there are no workspaces; projects
    are `playground`'s.
    """
    marker = Marker(platform.repository, wanted.request.team, wanted.path, "", expires=wanted.request.expires)
    parts: dict[Part, Iterator[str]] = {
        "Gateway": _gateway(wanted, marker, catalog, platform, world),
        "Keys": chain(_keys(wanted.request, marker, platform, world), _exposed(wanted.request, times, world)),
    }
    if platform.cluster is None:
        return parts
    desired = compile_workspaces(wanted.request, catalog, platform)
    return {**parts, "Workspaces": _cluster(wanted.request.team, desired, platform, world)}


def of_limits(limits: Iterable[Manifest], found: Iterable[Limit | None]) -> Iterator[str]:
    """What differs in the quota and the network policy of a namespace, which no list shows."""
    for manifest, limit in zip(limits, found, strict=True):
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if limit is None:
            yield f"{name} is not there"
        elif not limit.managed or not says(limit.spec, manifest):
            yield f"{name} is not what was written"


def unmanaged(repository: int, world: Snapshot) -> Iterator[str]:
    """What is not ours and opens what is ours, or costs money for nobody. A copy of a product carries our
    marker under another name.
    """
    products = ((product.name, product.marker) for product in world.products.values())
    ours = {
        name
        for name, marker in products
        if marker and marker.repository == repository and name == names.product(marker.team)
    }
    for found in world.subscriptions.values():
        if _is_own(repository, found) or found.name == BUILT_IN or found.state != "active":
            continue
        if found.product in ours:
            yield (
                f"subscription {found.name} on product {found.product} is not managed by mergekey: its keys "
                "open the team's models"
            )
        elif not found.product:
            yield f"subscription {found.name} is for an API or for all: no product's limits hold for its keys"
    yield from (
        f"product {name} is linked to the unified API and not managed by mergekey"
        for name in sorted(world.linked - ours)
    )
    # Who opened one is to be asked; and where a stage cannot close it, because the request is not valid, a
    # person must.
    opened = sorted(name for name in ours if not world.products[name].subscription_required)
    yield from (
        f"product {name} can be used without a key: whoever calls is taken for its team" for name in opened
    )
    for secret, readers in sorted(world.readers.items()):
        tags = world.secrets[secret].tags if secret in world.secrets else {}
        owner = owner_of(tags)
        if owner is not None and owner[0] == repository:
            strangers = sorted(
                reader.group for reader in readers if not reader.ours and reader.group != _named(tags, world)
            )
            yield from (
                f"{group} may read the secret {secret} and no request names it" for group in strangers
            )
    standing = {
        (namespace, workspace.name) for namespace, found in world.workspaces.items() for workspace in found
    }
    for node in world.nodes:
        if (node.namespace, node.workspace) not in standing:
            yield (
                f"GPU node {node.name} was made for the workspace {node.namespace}/{node.workspace}, which "
                "is gone: delete its node pool"
            )
    homes = [
        name
        for name, each in world.namespaces.items()
        if each.marker and each.marker.repository == repository
    ]
    theirs = (
        f"{home}/{each.name}"
        for home in homes
        for each in world.workspaces.get(home, ())
        if not (each.managed or each.terminating)
    )
    yield from (
        f"workspace {name} is not managed by mergekey: its GPUs stay until somebody deletes it"
        for name in sorted(theirs)
    )


def _named(tags: Mapping[str, str], world: Snapshot) -> str | None:
    """The group that the request names, by the endpoint's tag: that of a key may still name whoever could
    read it before.
    """
    endpoint = world.secrets.get(names.endpoint_secret(tags.get("team", "")))
    return (tags if endpoint is None else endpoint.tags).get("reader")


def _gateway(
    wanted: DesiredTeam, marker: Marker, catalog: Catalog, platform: Platform, world: Snapshot
) -> Iterator[str]:
    desired = compile_gateway(wanted.request, catalog, platform)
    product = world.products.get(desired.product)
    if product is None:
        yield "its product is not there"
        return
    known = product.marker
    if known is None or not marker.owns(known):
        yield "its product is not managed by mergekey"
        return
    if known.newer:
        return
    if (
        known.digest != desired.digest
        or not product.is_shown_as(*desired.names)
        or not known.stands_as(marker)
    ):
        yield "its product is not what the request says"
    if not product.subscription_required:
        yield OPEN
    if desired.product not in world.linked:
        yield "its product is not linked to the unified API"
    yield from _backends(desired.backends, f"{desired.product}--", marker, world)


def _backends(desired: Iterable[Backend], prefix: str, marker: Marker, world: Snapshot) -> Iterator[str]:
    wanted = {backend.name: backend for backend in desired}
    for name, backend in wanted.items():
        found = world.backends.get(name)
        newer = found is not None and found.marker is not None and found.marker.newer
        if not newer and (found is None or not found.is_as(backend)):
            yield f"backend {name} is not what it should be"
    for name, found in world.backends.items():
        if name.startswith(prefix) and name not in wanted and marker.may_change(found.marker):
            yield f"backend {name} is not needed any more"


def _keys(request: AccessRequest, marker: Marker, platform: Platform, world: Snapshot) -> Iterator[str]:
    subscription = world.subscriptions.get(names.subscription(request.team))
    if (
        subscription is None
        or subscription.state != "active"
        or subscription.product != names.product(request.team)
    ):
        yield "its subscription is not active"
    elif team_displayed(marker.repository, subscription) != request.team:
        yield "its subscription is not managed by mergekey"
    reader = request.entra_group or ""
    endpoint = names.endpoint_secret(request.team)
    address = SecretValue(platform.gateway_url).fingerprint(endpoint)
    for name in names.secrets(request.team):
        found = world.secrets.get(name)
        tags = found.tags if found else {}
        # Of a key that works on although others could read it the tag says who they were, until it is made
        # new.
        known = reader if EXPOSED in tags and name != endpoint else tags.get("reader", "")
        if found is None or not found.enabled or not tags.get("fingerprint") or "withdrawn" in tags:
            yield f"secret {name} is not whole"
        elif (tags.get("repository"), tags.get("team"), known) != (
            str(marker.repository),
            request.team,
            reader,
        ):
            yield f"secret {name} is not tagged as the request says"
        elif name == endpoint and tags["fingerprint"] != address:
            yield f"secret {name} is not the gateway's address"
        readers = world.readers.get(name, frozenset())
        if reader and reader not in {each.group for each in readers}:
            yield f"its group may not read {name}"
        if any(each.ours and each.group != reader for each in readers):
            yield f"another group than its own may read {name}"


def renewal_of(request: AccessRequest, times: Times, world: Snapshot) -> Renewal:
    """Which of the team's keys are to be made new, as far as lists show: now, or when their time is over."""
    found = (world.secrets.get(name) for name in names.key_secrets(request.team))
    slots = [Slot(None if secret is None else secret.tags) for secret in found]
    return renewal(slots, request.entra_group or "", times.now, times.key_overlap)


def _exposed(request: AccessRequest, times: Times, world: Snapshot) -> Iterator[str]:
    """Keys that are marked as open to others, and whose time is over. While it runs nothing is to be done."""
    renewed = renewal_of(request, times, world)
    for which, name in enumerate(names.key_secrets(request.team)):
        tags = world.secrets[name].tags if name in world.secrets else {}
        since = renewed.waiting.get(which)
        if EXPOSED in tags and (since is None or not is_marked(tags, since)):
            yield f"secret {name} holds a key that another group could read"


def _cluster(team: str, desired: DesiredWorkspaces, platform: Platform, world: Snapshot) -> Iterator[str]:
    name = names.namespace(team)
    namespace = world.namespaces.get(name)
    known = namespace.marker if namespace else None
    marker = Marker(platform.repository, team, "", "")
    if known is not None and known.newer:
        return
    if not desired.workspaces:
        if marker.owns(known):
            yield f"namespace {name} is not needed any more"
        return
    if known is None or known.digest != desired.digest or known.withdrawn is not None:
        yield f"namespace {name} is not what the request says"
    standing = {
        workspace.name: workspace for workspace in world.workspaces.get(name, ()) if not workspace.terminating
    }
    yield from (f"workspace {each} is not there" for each in sorted(desired.workspaces.keys() - standing))
    for each in sorted(desired.workspaces.keys() & standing):
        if not standing[each].managed or dict(standing[each].fixed) != fixed_fields(desired.workspaces[each]):
            yield f"workspace {each} is not the one that was made"
    surplus = sorted(standing.keys() - desired.workspaces.keys())
    yield from (f"workspace {each} is not needed any more" for each in surplus if standing[each].managed)
    yield from _routes(desired, standing.keys(), {route.name: route for route in world.routes.get(name, ())})


def _routes(desired: DesiredWorkspaces, standing: Set[str], routes: Mapping[str, Route]) -> Iterator[str]:
    """A route waits for its workspace. `routes` are ours alone."""
    for each in sorted(desired.routes.keys() & standing):
        if each not in routes:
            yield f"the route to {each} is not there"
        elif not says(routes[each].spec, desired.routes[each]):
            yield f"the route to {each} is not what was written"
    yield from (
        f"the route to {each} is not needed any more"
        for each in sorted(routes.keys() - desired.routes.keys())
    )


def team_displayed(repository: int, subscription: Subscription) -> str | None:
    """The team of this repository that the subscription was made for; None for one of others. Its display
    name is its marker.
    """
    ours, _, team = subscription.display_name.rpartition("/")
    return team if ours == f"mergekey/{repository}" and is_team(team) else None


def _is_own(repository: int, subscription: Subscription) -> bool:
    team = team_displayed(repository, subscription)
    return team is not None and subscription.name == names.subscription(team)


def is_by_digest(what: str) -> bool:
    """Whether a difference may come from another version of ours alone. Open doors, keys and who may read
    them never do.
    """
    return what.startswith(_BY_DIGEST)
