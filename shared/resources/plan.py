"""The difference between desired and actual as a value: changes in the order in which they are written.

A plan can be printed and compared; `shared.stages.apply` performs it. Only the changes of a plan are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from shared.errors import NotManaged
from shared.marker import Marker, require_known
from shared.names import API, FRAGMENT
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.resources.actual import ActualBackend, ActualNamedValue, Api, Policy, Product, Route, Workspace
from shared.resources.backends import Backend, NamedValue, senders
from shared.resources.desired import DesiredCatalog, DesiredGateway, DesiredWorkspaces
from shared.resources.workspaces import fixed_fields, spec_matches

Kind = Literal[
    "product", "product policy", "product link", "product marker", "product reservation",
    "administrator subscription", "backend", "named value",
    "api", "api policy", "api marker", "policy fragment", "workspace", "route", "limits",
    "project", "project marker", "project role", "tracing connection",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Create:
    kind: Kind
    name: str
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """`tag` is the ETag or resourceVersion that was read; the write fails if the object has changed since."""

    kind: Kind
    name: str
    tag: str | None
    body: Any = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Replace:
    """Delete an object that cannot be changed in place; the next run finds it gone and creates it."""

    kind: Kind
    name: str
    tag: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Can only be made of an object that carries our marker: see `managed`."""

    kind: Kind
    name: str
    tag: str


Change = Create | Update | Replace | Delete


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps one after the other; the changes of one step side by side."""

    steps: tuple[tuple[Change, ...], ...] = ()

    def __bool__(self) -> bool:
        return any(self.steps)

    def __iter__(self) -> Iterator[Change]:
        return (change for step in self.steps for change in step)

    def after_first(self) -> Plan:
        """The rest of the plan after its first step, with an empty first step."""
        return Plan(((), *self.steps))

    def __str__(self) -> str:
        return "; ".join(f"{type(change).__name__.lower()} {change.kind} {change.name}" for change in self)


@dataclass(frozen=True, slots=True)
class ActualGateway:
    """The existing gateway objects of a team. `backends` and `linked` are None when they were not read: then
    the marker vouches for them.
    """

    product: Product | None
    policy: Policy | None
    backends: tuple[ActualBackend, ...] | None = None
    linked: bool | None = None


def plan_gateway(desired: DesiredGateway, marker: Marker, actual: ActualGateway) -> Plan:
    """The team's product. The link lets its keys open the API, so it comes after the policy; the marker
    vouches for all, so it comes last.

    The policy carries its own digest: a change that was taken back before its marker was written is seen. A
    product that can be used without a key is made to require one before anything else, which may fail.
    """
    product = actual.product
    finished = product is not None and product.marker is not None and product.marker.digest != ""
    # A policy goes with its product: one that was read of a product which is gone is gone, too.
    policy = _policy_change(
        "product policy", desired.product, desired.policy, actual.policy if product else None
    )
    wanted, unwanted = (
        ((), ()) if actual.backends is None else _diff_backends(desired.backends, marker, actual.backends)
    )
    once: tuple[Change, ...] = () if finished else (Create("administrator subscription", desired.product),)
    linked = finished and actual.linked is not False
    link = () if linked else (Create("product link", desired.product, API),)
    return _steps(
        _product_change(desired, marker, product),
        wanted,
        policy,
        (*link, *once),
        unwanted,
        _product_marker_change(desired, marker, product, rewritten=bool(policy)),
    )


def plan_reservation(desired: DesiredGateway, marker: Marker, product: Product | None) -> Plan:
    """The marker at this commit, without a digest: it says, before anything is granted, that a team asks for
    more of what is bounded over all teams.
    """
    first, reserved = _product_change(desired, marker, product), marker.unfinished()
    if product is None or product.marker == reserved:
        return _steps(first)
    return _steps(first, (Update("product reservation", desired.product, product.etag, reserved),))


def _product_change(desired: DesiredGateway, marker: Marker, product: Product | None) -> tuple[Change, ...]:
    """A product that is there, and that requires a subscription."""
    if product is None:
        return (Create("product", desired.product, (desired.shown_as, marker.unfinished())),)
    return () if product.subscription_required else (Update("product", desired.product, product.etag),)


def _product_marker_change(
    desired: DesiredGateway, marker: Marker, product: Product | None, *, rewritten: bool
) -> tuple[Change, ...]:
    """Also of a marker that says so already, when the policy was rewritten: a late handler that wrote the
    policy before has still to write its marker, and the new ETag refuses it.
    """
    known = product.marker if product else None
    marked = known is not None and known.digest == marker.digest and known.stands_as(marker)
    if marked and not rewritten and product is not None and product.is_shown_as(*desired.names):
        return ()
    return (
        Update(
            "product marker", desired.product, product.etag if product else None, (desired.shown_as, marker)
        ),
    )


@dataclass(frozen=True, slots=True)
class ActualCatalog:
    """The existing gateway objects of the catalogue. `fragment` is the digest of the fragment's content,
    empty when there is none.
    """

    api: Api | None
    policy: Policy | None
    backends: tuple[ActualBackend, ...]
    named_values: tuple[ActualNamedValue, ...] = ()
    fragment: str = ""


def plan_catalog(desired: DesiredCatalog, marker: Marker, actual: ActualCatalog) -> Plan:
    """The unified API. Its policy names the fragment and the backends, a pool names backends, a backend named
    values: in that order.
    """
    secrets, _ = _diff_named_values(desired.named_values, actual.named_values)
    detached, changes = _catalog_backend_changes(desired, marker, actual, secrets)
    singles, pools = _singles_and_pools(changes)
    beside, after = ((), singles) if secrets else (singles, ())
    api = actual.api
    current = api is not None and api.is_current(marker.digest, desired.api_digest)
    marking = (Update("api marker", API, None, marker),)
    return _steps(
        marking if current and not (api and api.requires_keys) else (),
        detached,
        (
            *_api_change(desired, marker, api),
            *_fragment_change(desired, actual, current),
            *secrets,
            *beside,
        ),
        after,
        pools,
        _policy_change("api policy", API, desired.policy, actual.policy),
        () if current else marking,
    )


def _catalog_backend_changes(
    desired: DesiredCatalog, marker: Marker, actual: ActualCatalog, secrets: Iterable[Change]
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """The changes that detach backends from their lost secrets, and then all changes of backends.

    A named value can only be deleted when no backend uses it, which lists do not show. So an existing backend
    is first written without its credential, in case of a crash in between.
    """
    changes, _ = _diff_backends(desired.backends, marker, actual.backends)
    lost, changed = (
        {change.name for change in secrets if isinstance(change, Create)},
        {change.name for change in changes},
    )
    losing_credentials = [each for each in senders(desired.backends, lost) if each.name not in changed]
    return (
        tuple(
            Update("backend", each.name, "*", replace(each, credential=None)) for each in losing_credentials
        ),
        (*changes, *(Update("backend", each.name, "*", each) for each in losing_credentials)),
    )


def _api_change(desired: DesiredCatalog, marker: Marker, api: Api | None) -> tuple[Change, ...]:
    if api is not None and api.operations == desired.api_digest:
        return ()
    kept = api.marker if api is not None and api.marker is not None else marker.unfinished()
    return (Update("api", API, api.etag if api else None, (desired, kept)),)


def _fragment_change(desired: DesiredCatalog, actual: ActualCatalog, current: bool) -> tuple[Change, ...]:
    """`current`: the API's marker vouches for the fragment too, unless it was edited."""
    if current and actual.fragment == canonical_digest(desired.fragment):
        return ()
    return (Create("policy fragment", FRAGMENT, desired.fragment),)


def plan_cleaning(desired: DesiredCatalog, marker: Marker, actual: ActualCatalog) -> Plan:
    """Delete the objects that the catalogue does not need any more, in reverse order. An object that policies
    of teams still name is deleted later.
    """
    _, unwanted = _diff_backends(desired.backends, marker, actual.backends)
    _, secrets = _diff_named_values(desired.named_values, actual.named_values)
    pools = {backend.name for backend in actual.backends if backend.members}
    first, then = (
        tuple(change for change in unwanted if (change.name in pools) is pooled) for pooled in (True, False)
    )
    return _steps(first, then, secrets)


def _singles_and_pools(changes: Iterable[Change]) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    listed = tuple(changes)
    pools = tuple(change for change in listed if _is_pool(change))
    return tuple(change for change in listed if not _is_pool(change)), pools


def _is_pool(change: Change) -> bool:
    return (
        isinstance(change, Create | Update) and isinstance(change.body, Backend) and bool(change.body.members)
    )


def _diff_named_values(
    desired: Iterable[NamedValue], actual: Iterable[ActualNamedValue]
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    existing = {value.name: value for value in actual}
    wanted: list[Change] = []
    for value in desired:
        known = existing.pop(value.name, None)
        if known is None:
            wanted.append(Create("named value", value.name, value))
        elif not known.ours:
            raise NotManaged(
                f"there is a named value {value.name} that is not managed by mergekey: rename or remove it"
            )
        elif known.url != value.url:
            wanted.append(Update("named value", value.name, known.etag, value))
    return tuple(wanted), tuple(
        Delete("named value", known.name, known.etag) for known in existing.values() if known.ours
    )


def _policy_change(kind: Kind, name: str, text: str, actual: Policy | None) -> tuple[Change, ...]:
    if actual is not None and actual.digest == digest_of(text):
        return ()
    return (Update(kind, name, actual.etag if actual else None, text),)


def _steps(*steps: tuple[Change, ...]) -> Plan:
    return Plan(tuple(step for step in steps if step))


def plan_workspaces(
    desired: DesiredWorkspaces, actual: Iterable[Workspace], routes: Iterable[Route], marked: bool
) -> Plan:
    """The team's workspaces. `marked` says that the namespace carries the digest of this desired state and
    that its limits exist: then only missing and edited objects are written.

    Limits come first: a raised quota must exist before the workspace that needs it. A route is written after
    its workspace and deleted before it. The quota counts a workspace until it is gone: workspaces that exceed
    it meanwhile are planned later.
    """
    existing = {workspace.name: workspace for workspace in actual}
    limits = [] if marked else [Create("limits", "", manifest) for manifest in desired.limits]
    changes, absent = _within_quota(
        list(_workspace_changes(desired, existing)), existing, len(desired.workspaces)
    )
    created, deleted = _diff_routes(
        {name: each for name, each in desired.routes.items() if name not in absent}, routes, marked
    )
    return _steps((*limits, *deleted), tuple(changes), created)


def _workspace_changes(desired: DesiredWorkspaces, existing: Mapping[str, Workspace]) -> Iterator[Change]:
    for name, manifest in desired.workspaces.items():
        yield from _workspace_change(name, manifest, existing.get(name))
    for name, workspace in existing.items():
        if name not in desired.workspaces and workspace.managed and not workspace.terminating:
            yield Delete("workspace", name, workspace.resource_version)


def _within_quota(
    changes: list[Change], existing: Mapping[str, Workspace], quota: int
) -> tuple[list[Change], set[str]]:
    """The changes that fit into the quota now, and the workspaces that are leaving or postponed."""
    leaving = {each.name for each in changes if not isinstance(each, Create)}
    leaving |= {name for name, workspace in existing.items() if workspace.terminating}
    if not leaving:
        return changes, leaving
    created = [each.name for each in changes if isinstance(each, Create)]
    late = set(created[max(quota - len(existing), 0) :])
    return [change for change in changes if change.name not in late], leaving | late


def _diff_routes(
    desired: Mapping[str, Any], actual: Iterable[Route], marked: bool
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """The routes to write, and those to delete."""
    existing = {route.name: route for route in actual}
    for name in desired:
        _require_managed(existing.get(name))
    created = tuple(
        Create("route", name, manifest)
        for name, manifest in desired.items()
        if not (marked and name in existing and spec_matches(existing[name].spec, manifest))
    )
    deleted = tuple(
        Delete("route", name, "") for name, route in existing.items() if name not in desired and route.managed
    )
    return created, deleted


def _require_managed(route: Route | None) -> None:
    if route is not None and not route.managed:
        raise NotManaged(
            f"there is a route {route.name} in the team's namespace that is not managed by mergekey: rename "
            "or remove it"
        )


def _workspace_change(name: str, manifest: Mapping[str, Any], actual: Workspace | None) -> list[Change]:
    if actual is None:
        return [Create("workspace", name, manifest)]
    if not actual.managed:
        raise NotManaged(
            f"there is a workspace {name} in the team's namespace that is not managed by mergekey: rename or "
            "remove it"
        )
    if actual.terminating or dict(actual.fixed) == fixed_fields(manifest):
        return []
    return [Replace("workspace", name, actual.resource_version)]


def _diff_backends(
    desired: Iterable[Backend], marker: Marker, actual: Iterable[ActualBackend]
) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    existing = {backend.name: backend for backend in actual}
    wanted: list[Change] = []
    for backend in desired:
        known = existing.pop(backend.name, None)
        if known is None:
            wanted.append(Create("backend", backend.name, backend))
            continue
        if not marker.owns(known.marker):
            raise NotManaged(
                f"there is a backend {backend.name} that is not managed by mergekey for {marker.team}: "
                "rename or remove it"
            )
        require_known(known.marker, f"the backend {backend.name}")
        if not known.equivalent_to(backend):
            wanted.append(Update("backend", backend.name, known.etag, backend))
    unwanted = tuple(
        Delete("backend", known.name, known.etag)
        for known in existing.values()
        if marker.may_change(known.marker)
    )
    return tuple(wanted), unwanted
