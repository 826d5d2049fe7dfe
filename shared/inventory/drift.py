"""The differences between the branch and the existing objects, found from lists alone: no team is read by
itself while nothing differs.

Differences of our own objects are queued for the stages, which read again before they write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain

from shared import names
from shared.catalog.catalog import Catalog
from shared.inventory.snapshot import DesiredTeam, Part, Snapshot, Times
from shared.marker import Marker, is_team
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.requests.request import AccessRequest
from shared.resources.actual import (
    ActualBackend,
    Limit,
    Route,
    SecretVersion,
    Subscription,
    Workspace,
)
from shared.resources.backends import Backend
from shared.resources.desired import (
    DesiredCatalog,
    DesiredWorkspaces,
    Platform,
    compile_catalog,
    compile_gateway,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.resources.key_slots import EXPOSED, Renewal, Slot, is_marked, renewal
from shared.resources.workspaces import Manifest, fixed_fields, spec_matches
from shared.secret import SecretValue

#: The beginnings of differences that a new release can cause by compiling the same request differently.
_BY_DIGEST = (
    "its product is not what the request says",
    "its policy is not what was written",
    "backend ",
    "namespace ",
    "workspace ",
)

#: A product that requires no subscription serves any caller at its team's expense, even when the team's own
#: keys are suspended.
KEY_NOT_REQUIRED = "its product can be used without a key"


def catalog_drift(catalog: Catalog, platform: Platform, world: Snapshot) -> Iterator[str]:
    """The differences of the unified API, the shared backends, and the named values that these need."""
    if world.api is not None and world.api.marker is not None and world.api.marker.newer:
        return
    desired = compile_catalog(catalog, platform)
    yield from _unified_api(desired, world)
    marker = Marker(platform.repository, names.CATALOG_TEAM, "", "")
    yield from _backends(desired.backends, names.SHARED_PREFIX, marker, world)
    secrets = {value.name: value.url for value in desired.named_values}
    yield from (
        f"named value {name} is not what it should be"
        for name, url in secrets.items()
        if world.secret_urls.get(name) != url
    )
    if platform.cluster is not None:
        shared = compile_shared_workspaces(catalog, platform)
        yield from _cluster(names.CATALOG_TEAM, shared, platform, world)
    yield from (
        f"named value {name} is not needed any more"
        for name in sorted(world.secret_urls.keys() - secrets.keys())
    )


def _unified_api(desired: DesiredCatalog, world: Snapshot) -> Iterator[str]:
    if world.api is None or not world.api.is_current(desired.digest, desired.api_digest):
        yield "the unified API is not what the catalogue says"
    if world.api is not None and not world.api.requires_keys:
        yield "the unified API does not ask for keys as it should"
    if world.api_policy not in (None, digest_of(desired.policy)):
        yield "the policy of the unified API is not what was written"
    if world.fragment not in (None, canonical_digest(desired.fragment)):
        yield "the policy fragment is not what was written"


def team_drift(
    wanted: DesiredTeam, catalog: Catalog, platform: Platform, world: Snapshot, times: Times
) -> Iterator[str]:
    """The differences of a team that has a request in force."""
    for differences in by_part(wanted, catalog, platform, world, times).values():
        yield from differences


def by_part(
    wanted: DesiredTeam, catalog: Catalog, platform: Platform, world: Snapshot, times: Times
) -> Mapping[Part, Iterator[str]]:
    """The same by part of the team's access. Without a cluster there are no workspaces; `project_drift`
    compares projects.
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


def limit_drift(limits: Iterable[Manifest], found: Iterable[Limit | None]) -> Iterator[str]:
    """The differences of a namespace's quota and network policy, which no list shows."""
    for manifest, limit in zip(limits, found, strict=True):
        name = f"{manifest['kind']} {manifest['metadata']['name']}"
        if limit is None:
            yield f"{name} is not there"
        elif not limit.managed or not spec_matches(limit.spec, manifest):
            yield f"{name} is not what was written"


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
        yield KEY_NOT_REQUIRED
    if desired.product not in world.linked:
        yield "its product is not linked to the unified API"
    yield from _backends(desired.backends, f"{desired.product}--", marker, world)


def _backends(desired: Iterable[Backend], prefix: str, marker: Marker, world: Snapshot) -> Iterator[str]:
    wanted = {backend.name: backend for backend in desired}
    yield from (
        f"backend {name} is not what it should be"
        for name, backend in wanted.items()
        if not _is_backend(world.backends.get(name), backend)
    )
    yield from (
        f"backend {name} is not needed any more"
        for name, found in world.backends.items()
        if name.startswith(prefix) and name not in wanted and marker.may_change(found.marker)
    )


def _is_backend(found: ActualBackend | None, desired: Backend) -> bool:
    """Whether it is as desired, or a newer version maintains it."""
    if found is None:
        return False
    return found.equivalent_to(desired) or (found.marker is not None and found.marker.newer)


def _keys(request: AccessRequest, marker: Marker, platform: Platform, world: Snapshot) -> Iterator[str]:
    yield from _subscription(request.team, marker, world)
    endpoint = names.endpoint_secret(request.team)
    reader = request.entra_group or ""
    for name in names.secrets(request.team):
        address = SecretValue(platform.gateway_url).fingerprint(endpoint) if name == endpoint else None
        yield from _secret(name, world.secrets.get(name), marker, reader, address)
        yield from _readers(name, reader, world)


def _subscription(team: str, marker: Marker, world: Snapshot) -> Iterator[str]:
    found = world.subscriptions.get(names.subscription(team))
    if found is None or found.state != "active" or found.product != names.product(team):
        yield "its subscription is not active"
    elif team_displayed(marker.repository, found) != team:
        yield "its subscription is not managed by mergekey"


def _secret(
    name: str, found: SecretVersion | None, marker: Marker, reader: str, address: str | None
) -> Iterator[str]:
    """`address`: the fingerprint of the gateway's address, None for a secret that holds a key."""
    tags = found.tags if found else {}
    # The tag of an exposed key names the former reader until the key is renewed.
    known = reader if EXPOSED in tags and address is None else tags.get("reader", "")
    owner = (tags.get("repository"), tags.get("team"), known)
    if not _is_usable(found):
        yield f"secret {name} is not whole"
    elif owner != (str(marker.repository), marker.team, reader):
        yield f"secret {name} is not tagged as the request says"
    elif address is not None and tags["fingerprint"] != address:
        yield f"secret {name} is not the gateway's address"


def _is_usable(found: SecretVersion | None) -> bool:
    return (
        found is not None
        and found.enabled
        and bool(found.tags.get("fingerprint"))
        and "withdrawn" not in found.tags
    )


def _readers(name: str, reader: str, world: Snapshot) -> Iterator[str]:
    readers = world.readers.get(name, frozenset())
    if reader and reader not in {each.group for each in readers}:
        yield f"its group may not read {name}"
    if any(each.ours and each.group != reader for each in readers):
        yield f"another group than its own may read {name}"


def renewal_of(request: AccessRequest, times: Times, world: Snapshot) -> Renewal:
    """Which of the team's keys are to be renewed now or after the overlap, as far as lists show."""
    found = (world.secrets.get(name) for name in names.key_secrets(request.team))
    slots = [Slot(None if secret is None else secret.tags) for secret in found]
    return renewal(slots, request.entra_group or "", times.now, times.key_overlap)


def _exposed(request: AccessRequest, times: Times, world: Snapshot) -> Iterator[str]:
    """Keys that are marked as exposed and whose overlap is over. During it there is no difference."""
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
    if known is not None and known.newer:
        return
    if desired.workspaces:
        yield from _namespace(name, desired, known, world)
    elif Marker(platform.repository, team, "", "").owns(known):
        yield f"namespace {name} is not needed any more"


def _namespace(name: str, desired: DesiredWorkspaces, known: Marker | None, world: Snapshot) -> Iterator[str]:
    if known is None or known.digest != desired.digest or known.withdrawn is not None:
        yield f"namespace {name} is not what the request says"
    existing = {each.name: each for each in world.workspaces.get(name, ()) if not each.terminating}
    yield from _workspaces(desired.workspaces, existing)
    yield from _routes(desired, existing.keys(), {route.name: route for route in world.routes.get(name, ())})


def _workspaces(desired: Mapping[str, Manifest], existing: Mapping[str, Workspace]) -> Iterator[str]:
    yield from (f"workspace {each} is not there" for each in sorted(desired.keys() - existing.keys()))
    for each in sorted(desired.keys() & existing.keys()):
        if not existing[each].managed or dict(existing[each].fixed) != fixed_fields(desired[each]):
            yield f"workspace {each} is not the one that was made"
    surplus = sorted(existing.keys() - desired.keys())
    yield from (f"workspace {each} is not needed any more" for each in surplus if existing[each].managed)


def _routes(desired: DesiredWorkspaces, existing: Set[str], routes: Mapping[str, Route]) -> Iterator[str]:
    """A route is written after its workspace. `routes` are only our own."""
    for each in sorted(desired.routes.keys() & existing):
        if each not in routes:
            yield f"the route to {each} is not there"
        elif not spec_matches(routes[each].spec, desired.routes[each]):
            yield f"the route to {each} is not what was written"
    yield from (
        f"the route to {each} is not needed any more"
        for each in sorted(routes.keys() - desired.routes.keys())
    )


def team_displayed(repository: int, subscription: Subscription) -> str | None:
    """The team of this repository that the subscription was made for; None for any other. Its display name is
    its marker.
    """
    ours, _, team = subscription.display_name.rpartition("/")
    return team if ours == f"mergekey/{repository}" and is_team(team) else None


def is_by_digest(what: str) -> bool:
    """Whether a difference may be caused by another version of Mergekey alone. Differences of required
    subscriptions, keys and their readers never are.
    """
    return what.startswith(_BY_DIGEST)
