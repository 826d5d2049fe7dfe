"""Every case in which KAITO's own reconciler printed conditions, beside the table of causes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.kaito.causes import Verdict, judge
from shared.kaito.witnesses import NodeClaim, Pod
from standins.tests.reference.descriptions import DIRECTORY
from tests.kaito.pods import LOADING_POD, PODS, READY_POD, claim, ended, pod
from tests.kaito.test_causes import fact_conditions

FACTS = DIRECTORY / "kaito" / "facts"
pytestmark = pytest.mark.skipif(
    not FACTS.is_dir(), reason=f"what KAITO's own code printed is not on this machine (looked in {FACTS})"
)

_QUOTA = "results in exceeding approved standardNCADSA100v4Family Cores quota"
#: What Karpenter's NodeClaims say in the cases about them.
CLAIMS: dict[str, NodeClaim] = {
    "NodeClaim awaiting reconciliation": claim("AwaitingReconciliation"),
    "NodeClaim launch failed: quota": claim("LaunchFailed", _QUOTA),
    "NodeClaim launch failed: capacity": claim("InsufficientCapacityError", "SkuNotAvailable: swedencentral"),
    "NodeClaim launch failed: all instance types unavailable": claim(
        "LaunchFailed", "all requested instance types were unavailable during launch"
    ),
    "NodeClaim launch failed, no message": claim("LaunchFailed"),
    "NodeClaim not registered": claim("NodeNotFound", "Node not registered with cluster", "Registered"),
    "NodeClaim not initialized": claim(
        "ResourceNotRegistered", 'Resource "nvidia.com/gpu" was requested but not registered', "Initialized"
    ),
}
_CRASHES = (pod(ended(1, waiting="CrashLoopBackOff")),)
#: What the kubelet says in the others that have a workload.
OTHER_PODS: dict[str, tuple[Pod, ...]] = {
    "node with DiskPressure": (LOADING_POD,),
    "nodes ready, StatefulSet just made": (),
    "nodes ready, workload just made, not ready": (LOADING_POD,),
    "workload stands, no ready replica, controller restarted": (LOADING_POD,),
    "pod crash loops": _CRASHES,
    "no pod: refused by a ResourceQuota": (),
    "ready, benchmark disabled": (READY_POD,),
    "ready, no result of the benchmark in the log": (READY_POD,),
    "was ready, pod lost": (),
}
#: Beginning of the case -> the cause; where several fit, the first. All else is on its way to a node.
EXPECTED = {
    "NodeClaim launch failed: quota": "GpuQuotaExceeded",
    "NodeClaim launch failed: capacity": "GpuCapacityMissing",
    "NodeClaim launch failed: all": "GpuCapacityMissing",
    "NodeClaim launch failed, no": "NodeLaunchFailed",
    "NodeClaim not initialized": "GpuNotRegistered",
    "node without GPU": "GpuNotRegistered",
    "node with DiskPressure": "InferenceNotReady",
    "nodes ready, StatefulSet": "PodNotThere",
    "nodes ready, workload": "InferenceNotReady",
    "workload stands": "InferenceNotReady",
    "size that the estimator": "NodeSizeUnknown",
    "size in lower case": "NodesNotReady",
    "CPU size": "NodeSizeUnknown",
    "context that no node": "ContextDoesNotFit",
    "Hugging Face id": "AccessSecretMissing",
    "pod crash loops": "ContainerExits",
    "pod: OOMKilled": "OutOfMemory",
    "pod: crash loop": "ContainerExits",
    "pod: exit code": "ContainerExits",
    "pod: terminated": "ContainerExits",
    "pod: secret": "AccessSecretMissing",
    "pod: CreateContainerError": "ContainerNotStarted",
    "pod: RunContainerError": "ContainerNotStarted",
    "pod: long message": "ContainerNotStarted",
    "pod: InvalidImageName": "ImageNameInvalid",
    "pod: ImagePullBackOff": "ImageNotPulled",
    "pod: ErrImagePull": "ImageNotPulled",
    "pod: adapter image": "ImageNotPulled",
    "pod: adapter puller": "ContainerExits",
    "pod: unschedulable": "PodUnschedulable",
    "pod: evicted": "PodEvicted",
    "pod: failed": "PodFailed",
    "pod: ": "InferenceNotReady",
    "no pod": "PodNotThere",
    "ready, benchmark disabled": "Ready",
    "ready, no result": "BenchmarkFailed",
    "was ready, pod lost": "PodNotThere",
    "was ready, node lost": "NodesNotReady",
}
#: Where a release differs. 0.11 halts above three nodes. 0.6 takes any size and writes "ready" over a pod
#: that is not; it says nothing of nodes that it waits for. 0.8 writes nothing of a size that it does not
#: know.
BY_RELEASE = {
    ("v0.11.0", "six nodes: llama-3.3-70b-instruct, context 131072"): "NodeCountRefused",
    ("v0.11.0", "eleven nodes: deepseek-r1-0528"): "NodeCountRefused",
    ("v0.8.1", "size that KAITO does not know"): "WorkspaceNotReady",
    ("v0.6.0", "node without GPU capacity (no device plugin)"): "NodeClaimNotReady",
    ("v0.8.1", "NodeClaim ready, no node yet"): "GpuNotRegistered",
}


def cases() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in sorted(FACTS.glob("conditions-*.json")):
        document = json.loads(path.read_text())
        for name, case in document["cases"].items():
            if "conditions" in case:
                yield document["release"], name, case


def verdict(name: str, case: dict[str, Any], *, looks: bool = True) -> Verdict:
    """Of a case, with pods and NodeClaims where one `looks`."""
    pods = PODS.get(name.removeprefix("pod: "), OTHER_PODS.get(name)) if looks else None
    claims = [CLAIMS[name]] if looks and name in CLAIMS else None
    # The cases of a pod show the two conditions of the model alone.
    with_nodes = [[kind, "True", "", ""] for kind in ("NodeClaimReady", "NodesReady", "ResourceReady")]
    rows = [*(with_nodes if name.startswith("pod: ") else ()), *(case["conditions"] or ())]
    return judge(fact_conditions(rows), case.get("targetNodeCount") or 0, pods, claims)


@pytest.mark.parametrize(("release", "name", "case"), list(cases()), ids=lambda each: str(each)[:60])
def test_every_printed_case_is_what_it_is(release: str, name: str, case: dict[str, Any]) -> None:
    usual = next((why for begin, why in EXPECTED.items() if name.startswith(begin)), "NodeClaimNotReady")
    if name == "NodeClaim ready, no node yet" and release in ("v0.11.0", "v0.12.0"):
        usual = "NodesNotReady"
    found = verdict(name, case)
    assert found.cause.reason == BY_RELEASE.get((release, name), usual)
    assert found.is_ready == name.startswith("ready")


def test_0_12_tells_by_itself_what_pods_tell_of_the_others() -> None:
    """Its conditions give the same cause without a look at pods, or none yet."""
    usual = {"InferenceNotReady", "WorkspaceNotReady"}
    alone = {
        name: verdict(name, case, looks=False).cause.reason
        for release, name, case in cases()
        if release == "v0.12.0" and name.startswith("pod: ")
    }
    known = {name: why for name, why in alone.items() if why not in usual}
    assert len(known) > 12
    assert known == {
        name: verdict(name, case).cause.reason
        for release, name, case in cases()
        if release == "v0.12.0" and name in known
    }


def test_0_6_is_not_believed_without_a_pod() -> None:
    name = "workload stands, no ready replica, controller restarted"
    [case] = [case for release, each, case in cases() if (release, each) == ("v0.6.0", name)]
    assert verdict(name, case, looks=False).is_ready
    assert not verdict(name, case).is_ready
