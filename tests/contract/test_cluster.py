"""What the fake, the stand-in and a real Kubernetes API server do, with KAITO.

On the real server KAITO is played by `tests/cluster/kaito.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from shared.cluster_ports import Cluster
from shared.errors import AccessDenied, Busy, KindNotServed, Rejected, Unavailable
from shared.gateway_api.causes import judge_route
from shared.gateway_api.controllers import controller_of
from shared.kaito.causes import judge
from shared.kaito.releases import RELEASES
from shared.marker import Marker
from shared.resources.actual import ConfigMap, Limit, Namespace, Workspace
from shared.resources.desired import DesiredWorkspaces, compile_workspaces
from shared.resources.inference_config import Configuration, configuration_of
from shared.resources.served_kinds import NEEDED
from shared.resources.workspaces import (
    GPUS,
    MANAGED_BY,
    MANAGER,
    Manifest,
    namespace_manifest,
    quota_manifest,
    spec_matches,
)
from tests.contract.conftest import BOTH, REAL_SERVER
from tests.contract.sides import Definitions, Watch
from tests.contract.targets import unique
from tests.fakes.app import GPU, LARGER_GPU, REPOSITORY, Asked, FakeApp, a_catalog, catalog_text

GOING = timedelta(minutes=2)
#: A namespace's content begins to go five seconds after the namespace.
BEGUN = timedelta(seconds=6)
#: How often a write is tried that a quota of a moment ago may refuse: a real server knows it some
# milliseconds later.
_TRIES = 200


@pytest.fixture(params=[*BOTH, REAL_SERVER])
def side(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def team() -> str:
    return unique("t")


def _marker(team: str, **changed: Any) -> Marker:
    return replace(Marker(REPOSITORY, team, f"tenant-access/config/{team}/access.yaml", "c" * 40), **changed)


def _desired(team: str, **dedicated: str) -> DesiredWorkspaces:
    asked = {name.replace("_", "-"): gpu for name, gpu in (dedicated or {"phi_4": GPU}).items()}
    return compile_workspaces(Asked(team=team, dedicated=asked).read(), a_catalog(), FakeApp().platform)


@pytest_asyncio.fixture(loop_scope="session")
async def home(cluster: Cluster, team: str, settled: Callable[[], None]) -> str:
    """A namespace with everything that one model needs."""
    await cluster.apply(namespace_manifest(_marker(team)))
    desired = _desired(team)
    for manifest in (*desired.limits, *desired.workspaces.values(), *desired.routes.values()):
        await _made(cluster, manifest)
    settled()
    return f"team-{team}"


async def _made(cluster: Cluster, manifest: Manifest) -> None:
    """Make it as the app does, which may not apply Workspaces, and as soon as a quota that was written just
    before is in force.
    """
    write = cluster.create if manifest["kind"] == "Workspace" else cluster.apply
    for _ in range(_TRIES):
        try:
            return await write(manifest)
        except Busy as refused:
            last = refused
    raise last


async def _namespace(cluster: Cluster, name: str) -> Namespace:
    found = await cluster.namespace(name)
    assert found is not None
    return found


async def _workspace(cluster: Cluster, home: str) -> Workspace:
    [found] = await cluster.workspaces(home)
    return found


async def test_a_namespace_is_read_back_with_its_marker(cluster: Cluster, team: str) -> None:
    assert await cluster.namespace(f"team-{team}") is None
    marker = _marker(team, digest="d" * 64, withdrawn=datetime(2026, 3, 2, 9, tzinfo=UTC))
    await cluster.apply(namespace_manifest(marker))
    found = await _namespace(cluster, f"team-{team}")
    assert (found.name, found.terminating, found.marker) == (f"team-{team}", False, marker)


async def test_a_withdrawal_is_taken_off_a_namespace_again(cluster: Cluster, team: str) -> None:
    await cluster.apply(namespace_manifest(_marker(team, withdrawn=datetime(2026, 3, 2, 9, tzinfo=UTC))))
    await cluster.apply(namespace_manifest(_marker(team, digest="d" * 64)))
    assert (await _namespace(cluster, f"team-{team}")).marker == _marker(team, digest="d" * 64)


async def test_the_release_of_kaito_is_one_that_is_known(cluster: Cluster) -> None:
    assert await cluster.release() in RELEASES


async def test_the_cluster_says_what_enforces_network_policies(cluster: Cluster) -> None:
    assert await cluster.network_policy_engine() in (None, "azure", "calico", "cilium", "none")


async def test_applying_what_is_there_changes_nothing(cluster: Cluster, team: str, home: str) -> None:
    before = await _namespace(cluster, home)
    await cluster.apply(namespace_manifest(_marker(team)))
    assert await _namespace(cluster, home) == before


async def test_there_is_nothing_without_a_namespace(cluster: Cluster, team: str) -> None:
    assert await cluster.workspaces(f"team-{team}") == []
    with pytest.raises(Unavailable) as refused:
        await cluster.create(_desired(team).workspaces["phi-4"])
    assert refused.value.reason == "NotFound"


async def test_a_workspace_is_ours_and_shows_what_cannot_be_changed(cluster: Cluster, home: str) -> None:
    found = await _workspace(cluster, home)
    selector = {"matchLabels": {"apps": f"{home}--phi-4"}}
    assert (found.name, found.managed, found.terminating) == ("phi-4", True, False)
    assert dict(found.fixed) == {
        "instanceType": GPU,
        "labelSelector": selector,
        "preset": "phi-4",
        "accessSecret": None,
    }


async def test_lists_over_all_namespaces_have_what_one_namespace_has(cluster: Cluster, home: str) -> None:
    assert [each for each in await cluster.namespaces() if each.name == home] == [
        await cluster.namespace(home)
    ]
    await _has_the_same(cluster.all_workspaces, cluster.workspaces, home)
    await _has_the_same(cluster.all_routes, cluster.routes, home)
    assert [(route.name, route.managed) for route in await cluster.routes(home)] == [("phi-4", True)]


async def _has_the_same(
    everywhere: Callable[[], Awaitable[Mapping[str, Any]]], here: Callable[[str], Awaitable[Any]], home: str
) -> None:
    """Controllers write conditions meanwhile: what is compared was read between two equal reads."""
    found = await here(home)
    while True:
        listed, before, found = (await everywhere())[home], found, await here(home)
        if found == before:
            break
    assert listed == found


async def test_a_workspace_is_created_once(cluster: Cluster, team: str, home: str) -> None:
    with pytest.raises(Busy):
        await cluster.create(_desired(team).workspaces["phi-4"])


async def test_a_route_that_somebody_made_is_not_ours(cluster: Cluster, team: str, home: str) -> None:
    theirs = _desired(team).routes["phi-4"]
    theirs["metadata"] = {**theirs["metadata"], "name": "theirs", "labels": {"app": "theirs"}}
    await cluster.apply(theirs)
    assert {route.name: route.managed for route in await cluster.routes(home)} == {
        "phi-4": True,
        "theirs": False,
    }
    assert [route.name for route in (await cluster.all_routes())[home]] == ["phi-4"]


async def test_a_node_tells_for_which_workspace_it_was_made(
    cluster: Cluster, home: str, clock: Watch
) -> None:
    clock.advance(timedelta(minutes=7))
    assert [each.workspace for each in await cluster.gpu_nodes() if each.namespace == home] == ["phi-4"]


async def test_a_workspace_that_somebody_made_is_not_ours(cluster: Cluster, team: str) -> None:
    await cluster.apply(namespace_manifest(_marker(team)))
    theirs = _desired(team).workspaces["phi-4"]
    theirs["metadata"]["labels"] = {"app": "theirs"}
    await cluster.create(theirs)
    assert not (await _workspace(cluster, f"team-{team}")).managed


async def _limit(cluster: Cluster, manifest: Manifest) -> Limit:
    """The limit of that kind, as the namespace and as the list of all namespaces shows it."""
    kind, home = manifest["kind"], manifest["metadata"]["namespace"]
    [found] = [each for each in await cluster.limits(home) if each.kind == kind]
    listed = await (cluster.all_quotas() if kind == "ResourceQuota" else cluster.all_network_policies())
    assert listed[home] == [found]
    return found


async def test_limits_are_listed_while_they_carry_our_label(cluster: Cluster, team: str, home: str) -> None:
    desired = _desired(team)
    for manifest in desired.limits:
        assert (await _limit(cluster, manifest)).managed
        await cluster.apply(without_our_labels(manifest))
    assert [(each.name, each.managed) for each in await cluster.limits(home)] == [
        (manifest["metadata"]["name"], False) for manifest in desired.limits
    ]
    assert home not in await cluster.all_quotas()
    assert home not in await cluster.all_network_policies()


async def test_what_has_another_name_is_no_limit_of_a_team(cluster: Cluster, team: str) -> None:
    await cluster.apply(namespace_manifest(_marker(team)))
    assert await cluster.limits(f"team-{team}") == []
    for manifest in _desired(team).limits:
        await cluster.apply(replaced_labels(manifest, "theirs"))
    assert await cluster.limits(f"team-{team}") == []


async def test_what_was_applied_is_read_back_unless_another_hand_changed_it(
    cluster: Cluster, team: str, home: str
) -> None:
    desired, more = _desired(team), _desired(team, phi_4=GPU, mistral_7b=GPU)
    quota, network = desired.limits
    assert spec_matches((await _limit(cluster, quota)).spec, quota)
    assert spec_matches((await _limit(cluster, network)).spec, network)
    assert [spec_matches(route.spec, desired.routes["phi-4"]) for route in await cluster.routes(home)] == [
        True
    ]
    opened = {**network["spec"], "podSelector": {"matchLabels": {"app": "none"}}, "ingress": [{}]}
    moved = {**desired.routes["phi-4"]["spec"], "parentRefs": [{"name": "public", "namespace": "elsewhere"}]}
    for edited in (more.limits[0], {**network, "spec": opened}, {**desired.routes["phi-4"], "spec": moved}):
        await cluster.apply(edited)
    assert not spec_matches((await _limit(cluster, quota)).spec, quota)
    assert not spec_matches((await _limit(cluster, network)).spec, network)
    assert [spec_matches(route.spec, desired.routes["phi-4"]) for route in await cluster.routes(home)] == [
        False
    ]
    for manifest in (quota, network, desired.routes["phi-4"]):
        await cluster.apply(manifest)
    assert spec_matches((await _limit(cluster, quota)).spec, quota)
    assert spec_matches((await _limit(cluster, network)).spec, network)
    assert [spec_matches(route.spec, desired.routes["phi-4"]) for route in await cluster.routes(home)] == [
        True
    ]


def without_our_labels(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "labels": {"app": "theirs"}}}


def replaced_labels(manifest: Manifest, name: str) -> Manifest:
    """The same of somebody else's, under another name."""
    return {
        **manifest,
        "metadata": {
            "name": name,
            "namespace": manifest["metadata"]["namespace"],
            "labels": {"app": "theirs"},
        },
    }


async def test_a_workspace_walks_to_ready_as_time_passes(cluster: Cluster, home: str, clock: Watch) -> None:
    seen = []
    for minutes in (0, 7, 7):
        clock.advance(timedelta(minutes=minutes))
        seen.append(judge((await _workspace(cluster, home)).conditions).cause.reason)
    assert seen[0] in ("NodeClaimNotReady", "NodesNotReady")
    assert seen[1:] == ["InferenceNotReady", "Ready"]


async def test_only_kaito_refuses_another_instance_type(
    cluster: Cluster, side: str, team: str, home: str
) -> None:
    """The app's role lets it patch Workspaces. The refusal is that of KAITO's webhook, which is not there on
    the real server: a cluster without it takes the change.
    """
    larger = _desired(team, phi_4=LARGER_GPU).workspaces["phi-4"]
    with nullcontext() if side == REAL_SERVER else pytest.raises(Rejected, match="instanceType"):
        await cluster.apply(larger)
    after = LARGER_GPU if side == REAL_SERVER else GPU
    assert (await _workspace(cluster, home)).fixed["instanceType"] == after


async def test_a_quota_holds_until_it_is_raised(cluster: Cluster, team: str, home: str) -> None:
    desired = _desired(team, phi_4=GPU, mistral_7b=GPU)
    with pytest.raises(Busy, match=r"QuotaExceeded: .*exceeded quota"):
        await cluster.create(desired.workspaces["mistral-7b"])
    await cluster.apply(desired.limits[0])
    await _made(cluster, desired.workspaces["mistral-7b"])
    assert sorted(found.name for found in await cluster.workspaces(home)) == ["mistral-7b", "phi-4"]


async def test_a_bound_of_gpus_goes_with_the_next_quota_that_has_none(
    cluster: Cluster, team: str, home: str
) -> None:
    without = _desired(team).limits[0]
    bounded = quota_manifest(_marker(team), 1, 16)
    for manifest, expected in ((bounded, "16"), (without, None)):
        await cluster.apply(manifest)
        assert (await _limit(cluster, manifest)).spec["hard"].get(GPUS) == expected


async def test_a_workspace_that_changed_meanwhile_is_not_deleted(
    cluster: Cluster, home: str, clock: Watch
) -> None:
    before = await _workspace(cluster, home)
    clock.advance(timedelta(minutes=7))
    with pytest.raises(Busy):
        await cluster.delete_workspace(home, "phi-4", before.resource_version)
    assert not (await _workspace(cluster, home)).terminating


CONFIGURED = a_catalog(
    catalog_text().replace("preset: phi-4\n", "preset: phi-4\n    servedName: written\n    context: 8192\n")
)


def _configured(team: str) -> DesiredWorkspaces:
    return compile_workspaces(
        Asked(team=team, dedicated={"phi-4": GPU}).read(), CONFIGURED, FakeApp().platform
    )


async def test_a_configuration_is_read_back_as_it_was_created(cluster: Cluster, team: str, home: str) -> None:
    manifest = _configured(team).configs["phi-4"]
    name = manifest["metadata"]["name"]
    assert await cluster.config_map(home, name) is None
    await cluster.create(manifest)
    assert await cluster.config_map(home, name) == ConfigMap(name, True, True, manifest["data"])
    with pytest.raises(Busy):
        await cluster.create(manifest)


async def test_a_workspace_takes_another_configuration_at_the_version_read(
    cluster: Cluster, team: str, home: str
) -> None:
    before, desired = await _workspace(cluster, home), _configured(team)
    assert before.configuration == Configuration()
    await cluster.create(desired.configs["phi-4"])
    await cluster.change_workspace(desired.workspaces["phi-4"], before.resource_version)
    after = await _workspace(cluster, home)
    assert after.configuration == configuration_of(desired.workspaces["phi-4"])
    assert (after.fixed, after.configuration.is_edited) == (before.fixed, False)
    with pytest.raises(Busy):
        await cluster.change_workspace(desired.workspaces["phi-4"], before.resource_version)


async def test_a_workspace_that_is_gone_is_not_made_by_a_change(
    cluster: Cluster, team: str, home: str, clock: Watch
) -> None:
    found = await _workspace(cluster, home)
    await cluster.delete_workspace(home, "phi-4", found.resource_version)
    clock.advance(GOING)
    assert await cluster.workspaces(home) == []
    with pytest.raises(Unavailable):
        await cluster.change_workspace(_configured(team).workspaces["phi-4"], found.resource_version)
    assert await cluster.workspaces(home) == []


async def test_a_deleted_workspace_takes_its_time_to_go(cluster: Cluster, home: str, clock: Watch) -> None:
    found = await _workspace(cluster, home)
    assert found.deleted is None
    await cluster.delete_workspace(home, "phi-4", found.resource_version)
    going = await _workspace(cluster, home)
    assert going.terminating
    assert going.deleted is not None
    clock.advance(GOING)
    assert await cluster.workspaces(home) == []
    await cluster.delete_workspace(home, "phi-4", found.resource_version)


async def test_a_route_is_deleted_as_often_as_one_likes(cluster: Cluster, home: str) -> None:
    for _ in range(2):
        await cluster.delete_route(home, "phi-4")


async def test_an_annotation_of_a_route_stays_when_the_route_is_applied(
    cluster: Cluster, team: str, home: str
) -> None:
    [before] = await cluster.routes(home)
    await cluster.annotate_route(home, "phi-4", {"mergekey.dev/road": "one", "mergekey.dev/route": "two"})
    await cluster.apply(_desired(team).routes["phi-4"])
    await cluster.annotate_route(home, "phi-4", {"mergekey.dev/route": None})
    [after] = await cluster.routes(home)
    assert (before.annotations, after.annotations) == ({}, {"mergekey.dev/road": "one"})
    assert (after.generation, after.created, after.spec) == (before.generation, before.created, before.spec)
    with pytest.raises(Unavailable):
        await cluster.annotate_route(home, "none", {"mergekey.dev/road": "one"})
    assert [each.name for each in await cluster.routes(home)] == ["phi-4"]


@pytest.mark.parametrize("side", BOTH)
async def test_a_gateway_that_is_not_there_is_none(cluster: Cluster) -> None:
    assert await cluster.gateway("gateway-system/none") is None


@pytest.mark.parametrize("side", BOTH)
async def test_a_gateway_tells_its_controller(cluster: Cluster) -> None:
    facts = FakeApp().platform.cluster
    assert facts is not None
    assert await cluster.gateway_controller(facts.gateway) == "istio"


@pytest.mark.parametrize("side", BOTH)
async def test_a_gateway_that_is_not_there_tells_no_controller(cluster: Cluster) -> None:
    assert await cluster.gateway_controller("gateway-system/none") is None


@pytest.mark.parametrize("side", BOTH)
async def test_a_controller_takes_a_route_that_names_its_gateway(
    cluster: Cluster, home: str, clock: Watch
) -> None:
    facts = FakeApp().platform.cluster
    assert facts is not None
    seen = await cluster.gateway(facts.gateway)
    assert seen is not None
    clock.advance(timedelta(minutes=20))
    [route] = await cluster.routes(home)
    verdict = judge_route(route.parents, route.generation, seen.name, timedelta(minutes=1), seen)
    assert (verdict.cause.reason, controller_of(seen, route.parents)) == ("Ready", "istio")
    assert [(each.allowed, each.selector) for each in seen.listeners] == [
        ("Selector", {"matchLabels": {MANAGED_BY: MANAGER}})
    ]
    assert seen.addresses


async def test_another_spec_of_a_route_is_another_generation(cluster: Cluster, team: str, home: str) -> None:
    [before] = await cluster.routes(home)
    manifest = _desired(team).routes["phi-4"]
    await cluster.apply({**manifest, "spec": {**manifest["spec"], "hostnames": ["models.contoso.com"]}})
    [after] = await cluster.routes(home)
    assert (before.generation, after.generation) == (1, 2)
    assert before.created is not None


async def test_a_namespace_is_gone_when_its_workspaces_are(
    cluster: Cluster, team: str, home: str, clock: Watch
) -> None:
    with pytest.raises(Busy):
        await cluster.delete_namespace(home, "1")
    await cluster.delete_namespace(home, (await _namespace(cluster, home)).resource_version)
    assert (await _namespace(cluster, home)).terminating
    with pytest.raises(AccessDenied):
        await cluster.create(_desired(team, mistral_7b=GPU).workspaces["mistral-7b"])
    clock.advance(BEGUN)
    assert (await _workspace(cluster, home)).terminating
    clock.advance(GOING)
    assert await cluster.namespace(home) is None
    await cluster.delete_namespace(home, "1")


async def test_an_empty_namespace_goes_within_seconds(cluster: Cluster, team: str, clock: Watch) -> None:
    await cluster.apply(namespace_manifest(_marker(team)))
    await cluster.delete_namespace(
        f"team-{team}", (await _namespace(cluster, f"team-{team}")).resource_version
    )
    clock.advance(BEGUN)
    assert await cluster.namespace(f"team-{team}") is None


#: Every call about a kind that a cluster may not know.
CALLS: dict[str, dict[str, Any]] = {
    "Workspace": {
        "all": lambda at, home, _: at.all_workspaces(),
        "list": lambda at, home, _: at.workspaces(home),
        "create": lambda at, home, desired: at.create(desired.workspaces["phi-4"]),
        "delete": lambda at, home, _: at.delete_workspace(home, "phi-4", "1"),
    },
    "HTTPRoute": {
        "all": lambda at, home, _: at.all_routes(),
        "list": lambda at, home, _: at.routes(home),
        "apply": lambda at, home, desired: at.apply(desired.routes["phi-4"]),
        "annotate": lambda at, home, _: at.annotate_route(home, "phi-4", {"mergekey.dev/road": "one"}),
        "delete": lambda at, home, _: at.delete_route(home, "phi-4"),
    },
}
VERSIONS = {"Workspace": ("kaito.sh", "v1beta1"), "HTTPRoute": ("gateway.networking.k8s.io", "v1")}


@pytest.mark.parametrize(("kind", "call"), [(kind, call) for kind, calls in CALLS.items() for call in calls])
async def test_a_kind_that_is_not_served_is_not_an_empty_list(
    cluster: Cluster, team: str, home: str, definitions: Definitions, kind: str, call: str
) -> None:
    definitions.remove(kind)
    with pytest.raises(KindNotServed) as raised:
        await CALLS[kind][call](cluster, home, _desired(team))
    error = raised.value
    assert (error.group, error.version, error.kind) == (*VERSIONS[kind], kind)
    assert (error.reason, error.actor) == ("KindNotServed", "the platform")
    assert error.cluster in ("gpu", "real")
    definitions.install_all()
    assert [each.name for each in await cluster.workspaces(home)] == ["phi-4"]
    assert [each.name for each in await cluster.routes(home)] == ["phi-4"]


@pytest.mark.parametrize("side", BOTH)
async def test_a_release_is_not_told_of_workspaces_that_are_not_served(
    cluster: Cluster, definitions: Definitions
) -> None:
    """A real server describes a kind of which it serves no version, until the definition is deleted."""
    definitions.remove("Workspace")
    with pytest.raises(KindNotServed):
        await cluster.release()


@pytest.mark.parametrize("kind", VERSIONS)
async def test_what_is_served_is_told_anew_when_something_was_missing(
    cluster: Cluster, definitions: Definitions, kind: str
) -> None:
    assert (await cluster.served()).first_missing(NEEDED) is None
    definitions.remove(kind)
    with pytest.raises(KindNotServed):
        await CALLS[kind]["all"](cluster, "", None)
    missing = (await cluster.served()).first_missing(NEEDED)
    assert missing is not None
    assert (missing.group, missing.version, missing.kind) == (*VERSIONS[kind], kind)
    definitions.install_all()
    assert (await cluster.served()).first_missing(NEEDED) is None


@pytest.mark.parametrize("side", BOTH)
async def test_pods_are_listed_by_workspace_in_one_namespace_and_in_all(
    cluster: Cluster, home: str, clock: Watch
) -> None:
    assert await cluster.pods(home) == []
    clock.advance(timedelta(minutes=7))
    [loading] = await cluster.pods(home)
    assert (loading.workspace, loading.ready, loading.going) == ("phi-4", False, False)
    assert [each.running is not None for each in loading.containers if not each.is_init] == [True]
    assert (await cluster.all_pods())[home] == [loading]
    clock.advance(timedelta(minutes=7))
    assert [each.ready for each in await cluster.pods(home)] == [True]


@pytest.mark.parametrize("side", BOTH)
async def test_there_are_no_external_secrets_where_nobody_made_any(cluster: Cluster, home: str) -> None:
    assert await cluster.external_secrets(home) == []


@pytest.mark.parametrize("side", BOTH)
async def test_a_kind_that_few_clusters_know_does_not_make_others_unknown(
    cluster: Cluster, home: str, definitions: Definitions
) -> None:
    definitions.remove("NodeClaim")
    with pytest.raises(KindNotServed):
        await cluster.node_claims()
    definitions.remove("ExternalSecret")
    with pytest.raises(KindNotServed):
        await cluster.external_secrets(home)
    assert (await cluster.served()).first_missing(NEEDED) is None
