"""The difference between the branch and the existing objects: the plans that stages would write.

Sweeps find teams by it, answers render it, and each stage makes its part of it again, of what it has read
itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from shared import names
from shared.catalog.catalog import Catalog
from shared.inventory.snapshot import ActualTeam, DesiredTeam, Part, Snapshot, Times
from shared.marker import Marker
from shared.names import CATALOG_TEAM
from shared.resources.bearer import plan_bearer, plan_probe
from shared.resources.desired import (
    Platform,
    compile_catalog,
    compile_gateway,
    compile_probe,
    compile_project,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.resources.keys import plan_keys, plan_withdrawn_keys
from shared.resources.plan import Create, Finding, Kind, Pending, Plan, Refused, Unread, describe, known
from shared.resources.product import plan_closing, plan_hold, plan_product, plan_withdrawal
from shared.resources.project import plan_project, plan_withdrawn_project
from shared.resources.unified_api_plan import plan_catalog, plan_cleaning
from shared.resources.workspace_plan import (
    ActualWorkspaces,
    plan_withdrawn_workspaces,
    plan_workspaces,
)

Plans = Mapping[Part, Plan]
#: The kinds of changes that a new release can cause by compiling the same request differently. A product
#: that needs no key, keys and readers are never among them.
_BY_RELEASE: frozenset[Kind] = frozenset(
    {"product policy", "product marker", "backend", "namespace", "workspace", "route", "limits"}
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference of a team or of the catalogue."""

    team: str
    finding: Finding

    @property
    def message(self) -> str:
        return describe(self.finding)

    @property
    def is_by_release(self) -> bool:
        """Whether another version of Mergekey alone may have caused it."""
        second_link = Create("product link", names.product(self.team), names.BEARER_API)
        return self.finding == second_link or self.finding.kind in _BY_RELEASE


def repaired_teams(findings: Iterable[Difference], snapshot: Snapshot) -> frozenset[str]:
    """The teams in whose namespaces something differs that is mended with one attempt: limits, or anything
    where the namespace's marker vouches for the whole. A namespace that is not complete is written again at
    each attempt.
    """
    whole = _vouched_for(snapshot)
    kinds: dict[str, set[Kind]] = {}
    for each in findings:
        if not isinstance(each.finding, Pending | Refused):
            kinds.setdefault(each.team, set()).add(each.finding.kind)
    return frozenset(
        team
        for team, found in kinds.items()
        if "limits" in found
        or (names.namespace(team) in whole and "namespace" not in found and found & {"workspace", "route"})
    )


def _vouched_for(snapshot: Snapshot) -> frozenset[str]:
    """The namespaces whose markers say that the whole was written once."""
    namespaces = known(snapshot.namespaces, {}).items()
    return frozenset(name for name, each in namespaces if each.marker is not None and each.marker.digest)


def differences(team: str, plans: Iterable[Plan]) -> Iterator[Difference]:
    return (Difference(team, finding) for plan in plans for finding in plan.findings)


def plans_to_grant(
    wanted: DesiredTeam, catalog: Catalog, platform: Platform, actual: ActualTeam, times: Times
) -> Plans:
    """The plans for a team that has a request in force. Without a cluster there are no workspaces."""
    request, team = wanted.request, wanted.request.team
    ours = Marker(platform.repository, team, wanted.path, "")
    gateway = compile_gateway(request, catalog, platform)
    marker = Marker(platform.repository, team, wanted.path, "", gateway.digest, expires=request.expires)
    plans: dict[Part, Plan] = {
        "Gateway": plan_product(gateway, marker, actual.product),
        "Keys": plan_keys(
            request,
            ours,
            platform.gateway_url,
            actual.keys,
            times.now,
            times.key_overlap,
            mirrored=catalog.bearer_way == "mirrored",
        ),
        "Projects": _plan_project(wanted, platform, actual, times),
    }
    if platform.cluster is None:
        return plans
    namespace = known(actual.workspaces.namespace, None)
    workspaces = compile_workspaces(request, catalog, platform).as_in(namespace)
    digest = workspaces.digest_in(namespace) if workspaces.workspaces else ""
    sealed = Marker(platform.repository, team, wanted.path, "", digest)
    return {**plans, "Workspaces": plan_workspaces(workspaces, sealed, actual.workspaces)}


def _plan_project(wanted: DesiredTeam, platform: Platform, actual: ActualTeam, times: Times) -> Plan:
    """A playground that is not asked for (any more) is withdrawn, by itself."""
    request, playground = wanted.request, platform.playground
    if not request.playground_access:
        owner = Marker(platform.repository, request.team, "", "")
        return plan_withdrawn_project(owner, actual.project, times.now, times.grace, in_doubt=False)
    if playground is None:
        return Plan()
    desired = compile_project(request, playground)
    marker = Marker(platform.repository, request.team, wanted.path, "", desired.digest)
    return plan_project(desired, marker, actual.project, request.entra_group)


def plans_to_hold(team: str, repository: int, actual: ActualTeam, times: Times) -> Plans:
    """The plans for a team whose withdrawal the guard holds: its product says so."""
    return {"Gateway": plan_hold(Marker(repository, team, "", ""), actual.product.product, times.now)}


def plans_to_withdraw(
    team: str, repository: int, actual: ActualTeam, times: Times, *, in_doubt: bool
) -> Plans:
    """The plans for a team whose access was withdrawn or is over by its date.

    `in_doubt`: the branch cannot be read; nothing is deleted.
    """
    owner, product = Marker(repository, team, "", ""), actual.product.product
    closing = plan_closing(owner, actual.product)
    gateway = plan_withdrawal(owner, actual.product, times.now, times.grace, in_doubt=in_doubt)
    return {
        "Gateway": replace(gateway, steps=(*closing.steps, *gateway.steps)),
        "Keys": plan_withdrawn_keys(
            owner, actual.keys, times.now, times.grace, has_product=product is not None, in_doubt=in_doubt
        ),
        "Workspaces": plan_withdrawn_workspaces(
            owner, actual.workspaces, times.now, times.workspace_grace, in_doubt=in_doubt
        ),
        "Projects": plan_withdrawn_project(owner, actual.project, times.now, times.grace, in_doubt=in_doubt),
    }


def plans_for_catalog(
    catalog: Catalog, platform: Platform, snapshot: Snapshot, actual: ActualWorkspaces | None = None
) -> Iterator[Plan]:
    """The unified API with all that it needs, and the workspaces that the platform runs for all teams: as the
    lists show them, or `actual` where more was read.
    """
    desired = compile_catalog(catalog, platform)
    marker = Marker(platform.repository, CATALOG_TEAM, "", "", desired.digest)
    yield plan_catalog(desired, marker, snapshot.catalog)
    yield plan_cleaning(desired, marker, snapshot.catalog)
    if not isinstance(snapshot.bearer, Unread):
        yield plan_bearer(desired, marker, snapshot.bearer)
        probe = None if desired.bearer is None else compile_probe(catalog)
        yield plan_probe(probe, marker, snapshot.probe, mirrored=desired.bearer == "mirrored")
    if platform.cluster is not None:
        workspaces = actual or snapshot.team(CATALOG_TEAM).workspaces
        namespace = known(workspaces.namespace, None)
        shared = compile_shared_workspaces(catalog, platform).as_in(namespace)
        digest = shared.digest_in(namespace)
        sealed = Marker(platform.repository, CATALOG_TEAM, "", "", digest)
        yield plan_workspaces(shared, sealed, workspaces)
