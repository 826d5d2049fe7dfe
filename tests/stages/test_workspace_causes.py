"""Each cause that keeps a workspace from serving, through the pipeline to what people see, with the minutes
in which a GPU was paid until the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.kaito.presets import LEAST_READINESS
from shared.kaito.witnesses import Container, NodeClaim, Pod
from shared.messaging.outcomes import Done
from shared.messaging.routes import PROVISION_WORKSPACES
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import GPU, Asked, FakeApp, catalog_text
from tests.fakes.cluster import FakeCluster
from tests.kaito.pods import claim, ended, pod, waits
from tests.stages.asking import condition, record
from tests.stages.road import a_platform, a_team, ask, later, push, run, shown

PHI = {"phi-4": GPU}
HOME, PHI_4 = "team-alpha", "team-alpha/phi-4"
MINUTE = timedelta(minutes=1)
#: The node of a fake comes after six minutes.
NODE = 6
#: The readiness time of phi-4.
_STANDS = LEAST_READINESS // MINUTE


def _cluster(app: FakeApp) -> FakeCluster:
    assert app.cluster is not None
    return app.cluster


Arrange = Callable[[FakeCluster], None]


def _pods(*found: Pod) -> Arrange:
    """From the moment on at which there are nodes."""

    def arrange(cluster: FakeCluster) -> None:
        cluster.shown[PHI_4] = found

    return arrange


def _without_node(reason: str, message: str = "") -> Arrange:
    def arrange(cluster: FakeCluster) -> None:
        cluster.nodes_take = cluster.models_take = timedelta(days=1)
        cluster.claims.append(replace(claim(reason, message), namespace=HOME, workspace="phi-4"))

    return arrange


def _refused(said: str) -> Arrange:
    def arrange(cluster: FakeCluster) -> None:
        cluster.refusals[PHI_4] = said

    return arrange


def _never_loads(cluster: FakeCluster) -> None:
    cluster.never_load.add(PHI_4)


_BUSY = Pod("phi-4-0", "phi-4", "Pending", reason="Unschedulable", message="1 Insufficient nvidia.com/gpu")
_EVICTED = Pod("phi-4-0", "phi-4", "Failed", reason="Evicted", message="low on resource: memory")
#: Cause, what the cluster shows, the reason of the dead letter, paid minutes until then (at most two more:
#: the stage looks once a minute).
CASES: dict[str, tuple[Arrange, str, int]] = {
    "bad argument": (_pods(pod(ended(2, waiting="CrashLoopBackOff"))), "ArgumentsRefused", 0),
    "image name": (_pods(pod(waits("InvalidImageName"))), "ImageNameInvalid", 0),
    "size unknown": (_refused("failed to get GPU config for instance type x"), "NodeSizeUnknown", 0),
    "context too large": (
        _refused("GPU memory 1 bytes is too small, needs at least 2"),
        "ContextDoesNotFit",
        0,
    ),
    "more than three in 0.11": (
        _refused("node count 6 exceeds the maximum allowed 3"),
        "NodeCountRefused",
        0,
    ),
    "secret missing for an id": (_refused("failed to get secret: hf"), "AccessSecretMissing", 0),
    "hub not reached": (_refused("dial tcp: no such host"), "EstimateFailed", 0),
    "no quota": (_without_node("LaunchFailed", "exceeding approved quota"), "GpuQuotaExceeded", 0),
    "launch failed": (_without_node("LaunchFailed", "the subnet is full"), "NodeLaunchFailed", 0),
    "no device plugin": (_without_node("ResourceNotRegistered"), "GpuNotRegistered", 0),
    "no capacity": (_without_node("InsufficientCapacityError"), "WaitedTooLong", 0),
    "out of memory": (_pods(pod(ended(137, "OOMKilled"))), "OutOfMemory", _STANDS),
    "engine died": (_pods(pod(ended(0, "Completed"))), "EngineDied", _STANDS),
    "gated model": (_pods(pod(ended(1, waiting="CrashLoopBackOff"))), "ContainerExits", _STANDS),
    "killed by the probe": (_pods(pod(ended(137))), "StartupNotPassed", _STANDS),
    "benchmark fails every time": (_never_loads, "StartupNotPassed", _STANDS),
    "image": (_pods(pod(waits("ImagePullBackOff"))), "ImageNotPulled", _STANDS),
    "secret": (
        _pods(pod(waits("CreateContainerConfigError", 'secret "hf"'))),
        "AccessSecretMissing",
        _STANDS,
    ),
    "driver": (
        _pods(pod(waits("RunContainerError", "nvidia-container-cli"))),
        "ContainerNotStarted",
        _STANDS,
    ),
    "no room": (_pods(_BUSY), "PodUnschedulable", _STANDS),
    "evicted": (_pods(_EVICTED), "PodEvicted", _STANDS),
    "pod failed": (_pods(replace(_EVICTED, reason="")), "PodFailed", _STANDS),
    "quota of the namespace": (_pods(), "PodNotThere", _STANDS),
    "0.6 gives up": (lambda cluster: cluster.failing.add(PHI_4), "WorkspaceFailed", 6),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_cause_is_told_and_ends_the_wait_in_time(case: str) -> None:
    arrange, reason, paid = CASES[case]
    app = await a_platform()
    arrange(_cluster(app))
    began = app.clock.now()
    await ask(app, Asked(dedicated=PHI))
    waited = list[str]()
    while not (status := shown(app)["workspaces"]).startswith("failure"):
        waited.append(status)
        await later(app, MINUTE)
    minutes = (app.clock.now() - began) // MINUTE
    assert status.startswith(f"failure: {reason}: ")
    [letter] = app.bus.dead_letters()
    assert letter.properties["reason"] == reason
    if _cluster(app).nodes_take < timedelta(hours=1) and not _cluster(app).refusals:
        assert paid <= minutes - NODE <= paid + 2
    else:
        assert minutes <= app.timeouts.wait // MINUTE + 2, "no node was there, and none was paid"
    assert app.bus.next_due() is None
    assert _cluster(app).names(HOME, "Workspace") == ["phi-4"], "nothing is deleted for it"
    told = condition(await record(app), "Workspaces")
    assert told.status == "False"
    assert reason in ("WaitedTooLong", "StartupNotPassed", told.reason)


#: What a catalogue says of the model, and for how many minutes a trouble of it may pass.
READINESS = {
    "one that KAITO gives three hours": ("preset: deepseek-r1-0528\n", "", 180),
    "the same in a release that gives an hour": ("preset: deepseek-r1-0528\n", "kaito: '0.8'\n", 60),
    "between": ("preset: gpt-oss-120b\n", "", 60),
    "unknown preset": ("preset: contoso/unknown\n    maxNodes: 2\n", "", 180),
    "release without a table": ("preset: phi-4\n", "kaito: '0.9'\n", 180),
}


async def _a_platform_with(case: str) -> FakeApp:
    said, release, _ = READINESS[case]
    app = await a_platform()
    _cluster(app).kaito = "0.8" if "0.8" in release else "0.9" if release else "0.12"
    catalog = catalog_text().replace("preset: phi-4\n", said) + release
    await push(app, {DEFAULT_CATALOG_PATH: catalog})
    return app


@pytest.mark.parametrize("case", READINESS)
async def test_a_model_is_given_up_after_the_time_of_its_preset(case: str) -> None:
    app = await _a_platform_with(case)
    _cluster(app).never_load.add(PHI_4)
    began, minutes = app.clock.now(), READINESS[case][2] + NODE
    await ask(app, Asked(dedicated=PHI))
    while shown(app)["workspaces"].startswith("pending") and app.clock.now() - began < timedelta(hours=5):
        await later(app, MINUTE)
    assert shown(app)["workspaces"].startswith("failure: StartupNotPassed")
    assert minutes <= (app.clock.now() - began) // MINUTE <= minutes + 2


@pytest.mark.parametrize("case", [case for case, (*_, minutes) in READINESS.items() if minutes == 180])
async def test_a_large_model_that_loads_for_long_is_waited_for(case: str) -> None:
    app = await _a_platform_with(case)
    _cluster(app).models_take = timedelta(minutes=175)
    await ask(app, Asked(dedicated=PHI))
    await later(app, 170 * MINUTE)
    assert shown(app)["workspaces"] == "pending: waiting: InferenceNotReady"
    await later(app, 10 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert app.bus.dead_letters() == []


@pytest.mark.parametrize(("case", "minutes"), [("unknown preset", 240), ("between", 120)])
async def test_where_pods_may_not_be_read_a_large_model_is_waited_for_too(case: str, minutes: int) -> None:
    app = await _a_platform_with(case)
    _cluster(app).denied |= {"Pod"}
    _cluster(app).models_take = timedelta(days=1)
    await ask(app, Asked(dedicated=PHI))
    await later(app, minutes * MINUTE)
    assert shown(app)["workspaces"] == "pending: waiting: InferenceNotReady"
    await later(app, 10 * MINUTE)
    assert shown(app)["workspaces"].startswith("failure: WaitedTooLong: InferenceNotReady")


@pytest.mark.parametrize(
    ("arrange", "words"),
    [
        (_pods(pod(ended(137, "OOMKilled"))), ("OutOfMemory", "exit code 137", "the platform")),
        (_pods(pod(ended(1, waiting="CrashLoopBackOff"))), ("ContainerExits", "exit code 1", "the platform")),
        (_without_node("LaunchFailed", "exceeding approved quota"), ("GpuQuotaExceeded", "approved quota")),
        (_without_node("InsufficientCapacityError"), ("GpuCapacityMissing", "the platform")),
        (_pods(_BUSY), ("PodUnschedulable", "Insufficient nvidia.com/gpu")),
    ],
)
async def test_status_and_condition_say_the_cause_while_it_is_waited_for(
    arrange: Arrange, words: tuple[str, ...]
) -> None:
    app = await a_platform()
    arrange(_cluster(app))
    await ask(app, Asked(dedicated=PHI))
    await later(app, 10 * MINUTE)
    told = condition(await record(app), "Workspaces")
    for text in (shown(app)["workspaces"], f"{told.reason}: {told.message}"):
        assert [word for word in words if word not in text] == []


async def test_a_trouble_that_passes_within_the_time_is_no_failure() -> None:
    app = await a_platform()
    _pods(pod(ended(137, "OOMKilled")))(_cluster(app))
    await ask(app, Asked(dedicated=PHI))
    await later(app, 40 * MINUTE)
    assert shown(app)["workspaces"].startswith("pending: waiting: OutOfMemory")
    _cluster(app).shown.clear()
    await later(app, 2 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert app.bus.dead_letters() == []


async def test_ready_by_its_conditions_is_not_ready_without_a_ready_pod() -> None:
    app = await a_platform()
    running = Pod("phi-4-0", "phi-4", "Running", containers=(Container("phi-4", running=app.clock.now()),))
    _pods(running)(_cluster(app))
    await ask(app, Asked(dedicated=PHI))
    await later(app, 20 * MINUTE)
    assert shown(app)["workspaces"] == "pending: waiting: InferenceNotReady"
    assert condition(await record(app), "Workspaces").reason == "InferenceNotReady"


async def test_a_ready_workspace_costs_one_list_of_pods() -> None:
    app = await a_team(Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    app.calls.forget()
    assert isinstance(await run(app, PROVISION_WORKSPACES), Done)
    beside = [name for name in app.calls.names("cluster") if name in ("pods", "all_pods", "node_claims")]
    assert beside == ["pods"]


@pytest.mark.parametrize(
    "denied", [{"Pod"}, {"NodeClaim"}, {"Pod", "NodeClaim", "ExternalSecret", "ConfigMap"}]
)
async def test_with_the_rights_of_earlier_versions_conditions_decide_alone(
    denied: set[str], caplog: pytest.LogCaptureFixture
) -> None:
    app = await a_platform()
    _cluster(app).denied |= denied
    _cluster(app).claims.append(NodeClaim("ws", HOME, "phi-4"))
    await ask(app, Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    told = [line for line in caplog.messages if "rbac.yaml" in line]
    for kind in denied & {"Pod", "NodeClaim"}:
        assert [line for line in told if f"resource {kind}" in line]
    assert condition(await record(app), "Workspaces").status == "True"
    assert app.bus.dead_letters() == []


async def test_where_node_claims_are_not_served_nothing_is_missed(caplog: pytest.LogCaptureFixture) -> None:
    app = await a_platform()
    _cluster(app).not_served.add("NodeClaim")
    await ask(app, Asked(dedicated=PHI))
    await later(app, 15 * MINUTE)
    assert shown(app)["workspaces"] == "success: workspaces ready: phi-4"
    assert [line for line in caplog.messages if "NodeClaim" in line and "Workspaces:" in line] == []
