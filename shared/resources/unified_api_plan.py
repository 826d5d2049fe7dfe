"""The plan of the unified API: its fragment and policy, the shared backends, and the secrets they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shared.marker import Marker
from shared.names import API, FRAGMENT
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.resources.actual import ActualBackend, ActualNamedValue, Api, Policy
from shared.resources.backend_changes import backend_changes, named_value_changes
from shared.resources.backends import Backend, senders
from shared.resources.desired import DesiredCatalog
from shared.resources.plan import Change, Create, Kind, Plan, Refused, Unread, Update, in_steps, refusal


@dataclass(frozen=True, slots=True)
class ActualCatalog:
    """The existing gateway objects of the catalogue. `fragment` is the digest of the fragment's content,
    empty when there is none.
    """

    api: Api | None
    policy: Policy | Unread | None
    backends: Sequence[ActualBackend]
    named_values: Sequence[ActualNamedValue] = ()
    fragment: str | Unread = ""


def plan_catalog(desired: DesiredCatalog, marker: Marker, actual: ActualCatalog) -> Plan:
    """The unified API. Its policy names the fragment and the backends, a pool names backends, a backend named
    values: in that order.
    """
    api = actual.api
    if refused := _refused(marker, api):
        return Plan(refused=refused)
    secrets = named_value_changes(desired.named_values, actual.named_values)
    backends = backend_changes(desired.backends, marker, actual.backends)
    if backends.left_to_newer:
        return Plan(refused=(*secrets.refused, *backends.refused))
    detached, attached = _credential_changes(desired, backends.wanted, secrets.wanted, actual.backends)
    singles, pools = _singles_and_pools((*backends.wanted, *attached))
    beside, after = ((), singles) if secrets.wanted else (singles, ())
    current = api is not None and api.is_current(marker.digest, desired.api_digest)
    marking = (Update("api marker", API, None, marker),)
    return Plan(
        in_steps(
            marking if current and not (api and api.requires_keys) else (),
            detached,
            (
                *_api_change(desired, marker, api),
                *_fragment_change(desired, actual, current),
                *secrets.wanted,
                *beside,
            ),
            after,
            pools,
            _policy_change(desired, actual.policy),
            () if current else marking,
        ),
        refused=(*secrets.refused, *backends.refused),
        unread=frozenset() if current else _unread(actual),
    )


def _refused(marker: Marker, api: Api | None) -> tuple[Refused, ...]:
    return () if api is None else refusal("api", API, f"API {API!r}", marker, api.marker)


def _unread(actual: ActualCatalog) -> frozenset[Kind]:
    parts: dict[Kind, object] = {"api policy": actual.policy, "policy fragment": actual.fragment}
    return frozenset(kind for kind, part in parts.items() if isinstance(part, Unread))


def _credential_changes(
    desired: DesiredCatalog,
    changes: Iterable[Change],
    secrets: Iterable[Change],
    actual: Iterable[ActualBackend],
) -> tuple[list[Change], list[Change]]:
    """The changes that detach backends from their lost secrets, and those that attach them again.

    A named value can only be deleted when no backend uses it, which lists do not show. So an existing backend
    is first written without its credential, in case of a crash in between.
    """
    lost, changed = (
        {change.name for change in secrets if isinstance(change, Create)},
        {change.name for change in changes},
    )
    tags = {backend.name: backend.etag for backend in actual}
    losing = [each for each in senders(desired.backends, lost) if each.name in tags.keys() - changed]
    return (
        [Update("backend", each.name, tags[each.name], replace(each, credential=None)) for each in losing],
        [Update("backend", each.name, tags[each.name], each) for each in losing],
    )


def _api_change(desired: DesiredCatalog, marker: Marker, api: Api | None) -> tuple[Change, ...]:
    if api is not None and api.operations == desired.api_digest:
        return ()
    kept = api.marker if api is not None and api.marker is not None else marker.unfinished()
    return (Update("api", API, api.etag if api else None, (desired, kept)),)


def _fragment_change(desired: DesiredCatalog, actual: ActualCatalog, current: bool) -> tuple[Change, ...]:
    """`current`: the API's marker vouches for the fragment too, unless it was edited."""
    if isinstance(actual.fragment, Unread):
        return ()
    if current and actual.fragment == canonical_digest(desired.fragment):
        return ()
    return (Create("policy fragment", FRAGMENT, desired.fragment),)


def _policy_change(desired: DesiredCatalog, actual: Policy | Unread | None) -> tuple[Change, ...]:
    if isinstance(actual, Unread):
        return ()
    if actual is not None and actual.digest == digest_of(desired.policy):
        return ()
    return (Update("api policy", API, actual.etag if actual else None, desired.policy),)


def plan_cleaning(desired: DesiredCatalog, marker: Marker, actual: ActualCatalog) -> Plan:
    """Delete the objects that the catalogue does not need any more, in reverse order. An object that policies
    of teams still name is deleted later. Nothing is deleted where a newer version maintains the API.
    """
    if _refused(marker, actual.api):
        return Plan()
    unwanted = backend_changes(desired.backends, marker, actual.backends).unwanted
    secrets = named_value_changes(desired.named_values, actual.named_values).unwanted
    pools = {backend.name for backend in actual.backends if backend.members}
    first, then = (
        tuple(change for change in unwanted if (change.name in pools) is pooled) for pooled in (True, False)
    )
    return Plan(in_steps(first, then, secrets))


def _singles_and_pools(changes: Iterable[Change]) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    listed = tuple(changes)
    pools = tuple(change for change in listed if _is_pool(change))
    return tuple(change for change in listed if not _is_pool(change)), pools


def _is_pool(change: Change) -> bool:
    return (
        isinstance(change, Create | Update) and isinstance(change.body, Backend) and bool(change.body.members)
    )
