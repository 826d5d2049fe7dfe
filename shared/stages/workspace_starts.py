"""Which workspaces must not be created or changed yet, or not at all, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import timedelta

from shared import telemetry
from shared.app import App
from shared.branch.decision import Decision
from shared.catalog.catalog import Catalog
from shared.catalog.workspace_checks import faults_on
from shared.cluster_ports import Cluster
from shared.errors import AccessDenied, KindNotServed, Rejected
from shared.kaito.causes import SECRET
from shared.kaito.releases import Release, difference, start_problem
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event, Waiting
from shared.names import namespace as namespace_name
from shared.names import workspace as workspace_name
from shared.resources.actual import ExternalSecret, Namespace
from shared.resources.desired import DesiredWorkspaces, compile_gateway
from shared.resources.plan import Plan, known, refusal
from shared.resources.workspace_plan import ActualWorkspaces, begun, changed_for_all, started
from shared.resources.workspaces import fixed_fields
from shared.stages.open_ways import way_that_stops
from shared.stages.ownership import own_marker
from shared.stages.workspace_bounds import TOO_MANY_NODES, refused_before
from shared.stages.workspace_turns import workspaces_before

#: The team's product is written at the same time, within seconds.
GRANT_WAIT = timedelta(seconds=5)
#: The cluster's answer about its release is kept for as long.
RELEASE_WAIT = timedelta(minutes=5)
#: An operator that makes the access secret needs some seconds; its ExternalSecret is there soon after the
#: namespace.
SECRET_WAIT, SECRET_COMES = timedelta(seconds=30), timedelta(minutes=2)
#: A model takes minutes to start.
TURN_WAIT = timedelta(minutes=1)
ANOTHER_IS_REPLACED = "AnotherIsReplaced"
PRODUCT_NOT_THERE, KAITO_RELEASE_UNKNOWN = "ProductNotThere", "KaitoReleaseUnknown"
WORKSPACE_IMPOSSIBLE = "WorkspaceImpossible"
GATEWAY_IS_PUBLIC = "GatewayIsPublic"


@dataclass(frozen=True, slots=True)
class Postponed:
    """The workspaces that must not be created or changed yet, each with the reason; `note` is for people."""

    workspaces: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    is_first_look: bool = False


async def postponed_workspaces(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    desired: DesiredWorkspaces,
    marker: Marker,
    actual: ActualWorkspaces,
) -> Postponed:
    """The workspaces that must wait; what exists stays. Those that the catalogue changes are changed one at a
    time. A namespace whose marker vouches for all that is desired had its turn: there something is put right
    that people did.
    """
    if actual.unread:
        return Postponed()
    not_yet = await _postponed_starts(app, event, decision, desired, actual)
    if not_yet.workspaces:
        return not_yet
    changed, state = changed_for_all(desired, actual), begun(marker, actual)
    if not changed or state == "vouched":
        return Postponed()
    if state == "not yet":
        return Postponed(dict.fromkeys(changed, ANOTHER_IS_REPLACED), is_first_look=True)
    wanted = {name: desired.workspaces[name] for name in changed}
    before = await workspaces_before(app, event, decision, wanted)
    note = f"after {', '.join(sorted(set(before.values())))}" if before else ""
    return Postponed(dict.fromkeys(before, ANOTHER_IS_REPLACED), note)


async def _postponed_starts(
    app: App,
    event: Event[TeamMessage],
    decision: Decision,
    desired: DesiredWorkspaces,
    actual: ActualWorkspaces,
) -> Postponed:
    """New workspaces as long as the team's product does not grant them, the release of KAITO in the cluster
    is not the one by which they were judged, anybody could call them past API Management, or their access
    secret is under way; and those for which KAITO took too many nodes before. The platform's own workspaces
    need no product.
    """
    new = started(desired, actual)
    if not new:
        return Postponed()
    missing = new - actual.by_name.keys()
    if missing and decision.request is not None and not await _is_granted(app, decision):
        return Postponed(dict.fromkeys(missing, PRODUCT_NOT_THERE))
    assert decision.catalog is not None
    assert app.cluster is not None
    if impossible := _impossible(decision.catalog, desired, new):
        return Postponed(dict.fromkeys(impossible, WORKSPACE_IMPOSSIBLE), "; ".join(impossible.values()))
    release = await app.cluster.release()
    held = dict(_held_by_release(decision.catalog, new, release))
    if held:
        return Postponed(held, difference(decision.catalog.kaito, release))
    if (way := await way_that_stops(app, event.message.team)) is not None:
        return Postponed(dict.fromkeys(new, GATEWAY_IS_PUBLIC), way.text)
    return await _postponed_in_namespace(
        app, event, decision.catalog, desired, new, known(actual.namespace, None)
    )


async def _postponed_in_namespace(
    app: App,
    event: Event[TeamMessage],
    catalog: Catalog,
    desired: DesiredWorkspaces,
    new: Set[str],
    namespace: Namespace | None,
) -> Postponed:
    assert app.cluster is not None
    home = namespace_name(event.message.team)
    refused = frozenset[str]()
    if namespace is not None:
        refused = await refused_before(app.cluster, home, desired, new, catalog)
    secrets = _secrets(desired, new - refused)
    awaited, note = await _awaited(app, event, home, namespace, secrets) if secrets else (frozenset(), "")
    reasons = {name: SECRET.reason for name, secret in secrets.items() if secret in awaited}
    return Postponed(dict.fromkeys(refused, TOO_MANY_NODES) | reasons, note)


def _secrets(desired: DesiredWorkspaces, names: Set[str]) -> dict[str, str]:
    """The access secrets of workspaces, by their names."""
    found = {name: fixed_fields(desired.workspaces[name])["accessSecret"] for name in names}
    return {name: str(secret) for name, secret in found.items() if secret}


async def _awaited(
    app: App, event: Event[TeamMessage], home: str, namespace: Namespace | None, secrets: Mapping[str, str]
) -> tuple[frozenset[str], str]:
    """The access secrets that are under way, and what their ExternalSecrets say. The Secrets themselves are
    not looked at: nothing may read them.
    """
    assert app.cluster is not None
    found = await _external_secrets(app.cluster, event.message.team, home)
    if found is None:
        return frozenset(), ""
    made = namespace.created if namespace is not None else event.now
    is_new = made is not None and event.now - made < SECRET_COMES
    missing = dict(_missing(frozenset(secrets.values()), found))
    awaited = frozenset(name for name, orders in missing.items() if orders or is_new)
    for secret in sorted(missing.keys() - awaited):
        telemetry.noted(event.message.team, f"no ExternalSecret makes the access secret {secret} in {home}")
    return awaited, "; ".join(f"{secret}: {_why(missing[secret])}" for secret in sorted(awaited))


def _missing(
    secrets: Set[str], found: Sequence[ExternalSecret]
) -> Iterator[tuple[str, Sequence[ExternalSecret]]]:
    """The secrets that no ExternalSecret has made yet, each with those that shall make it."""
    for secret in secrets:
        orders = [each for each in found if each.target == secret]
        if not any(each.ready for each in orders):
            yield secret, orders


def _why(orders: Sequence[ExternalSecret]) -> str:
    said = ", ".join(f"ExternalSecret {each.name} {each.reason or 'says nothing yet'}" for each in orders)
    return said or "no ExternalSecret yet"


async def _external_secrets(cluster: Cluster, team: str, home: str) -> Sequence[ExternalSecret] | None:
    """None where nothing is to be waited for: no such operator, or nobody may see what it does."""
    try:
        return await cluster.external_secrets(home)
    except KindNotServed:
        return None
    except AccessDenied as error:
        telemetry.noted(team, f"{error}: apply infra/kubernetes/rbac.yaml; no access secret is waited for")
        return None


def _held_by_release(catalog: Catalog, new: Set[str], release: Release | None) -> Iterator[tuple[str, str]]:
    """The new workspaces, by name, that may not be created in a cluster with this release of KAITO."""
    for model in catalog.models:
        is_bounded = model.max_nodes is not None
        reason = start_problem(catalog.kaito, release, is_bounded=is_bounded)
        if workspace_name(model.name) in new and reason is not None:
            yield workspace_name(model.name), reason


def _impossible(catalog: Catalog, desired: DesiredWorkspaces, new: Set[str]) -> dict[str, str]:
    """The new workspaces that KAITO does not make as the catalogue has them, each with the first reason. The
    review says the same; what was merged all the same ends here, before it costs anything.
    """
    found = dict[str, str]()
    for model in catalog.models:
        name, setup = workspace_name(model.name), catalog.setup(model)
        if setup is not None and name in new:
            size = str(desired.workspaces[name]["resource"]["instanceType"])
            for _, _, message in faults_on(setup, size):
                found.setdefault(name, message)
    return found


def waiting_to_start(postponed: Postponed) -> Waiting:
    """Raises Rejected for workspaces that KAITO does not make, and for those that are not made again: to wait
    would not help.
    """
    reasons = set(postponed.workspaces.values())
    if WORKSPACE_IMPOSSIBLE in reasons:
        raise Rejected(postponed.note, reason="WorkspaceImpossible")
    if TOO_MANY_NODES in reasons:
        refused = sorted(name for name, why in postponed.workspaces.items() if why == TOO_MANY_NODES)
        message = (
            f"KAITO took more nodes for {', '.join(refused)} than the catalogue allows, so it was deleted"
        )
        raise Rejected(message, reason="TooManyNodes")
    if SECRET.reason in reasons:
        return Waiting(SECRET_WAIT, SECRET.reason, note=postponed.note)
    if PRODUCT_NOT_THERE in reasons:
        return Waiting(GRANT_WAIT, "ProductNotThere")
    if ANOTHER_IS_REPLACED in reasons:
        # A catalogue-wide change takes as long as all teams' models need to start.
        wait = GRANT_WAIT if postponed.is_first_look else TURN_WAIT
        return Waiting(wait, "AnotherIsReplaced", patient=True, note=postponed.note)
    return _waiting_for_the_cluster(postponed, reasons)


def _waiting_for_the_cluster(postponed: Postponed, reasons: Set[str]) -> Waiting:
    """Until the platform's people have put the cluster right."""
    if GATEWAY_IS_PUBLIC in reasons:
        return Waiting(RELEASE_WAIT, "GatewayIsPublic", note=postponed.note)
    if KAITO_RELEASE_UNKNOWN in reasons:
        return Waiting(RELEASE_WAIT, "KaitoReleaseUnknown", note=postponed.note)
    return Waiting(RELEASE_WAIT, "KaitoReleaseDiffers", note=postponed.note)


async def _is_granted(app: App, decision: Decision) -> bool:
    """Whether the team's product was written as the request says, so that its workspaces count as granted."""
    assert decision.request is not None
    assert decision.catalog is not None
    desired = compile_gateway(decision.request, decision.catalog, app.platform)
    found = await app.gateway.product(desired.product)
    if found is None:
        return False
    owner = own_marker(app, decision.request.team)
    Plan(
        refused=refusal("product", found.name, f"product {found.name}", owner, found.marker)
    ).require_allowed()
    marker = found.marker
    return marker is not None and marker.withdrawn is None and marker.digest == desired.digest
