"""Pods and NodeClaims as the kubelet and Karpenter show them, for tests of causes."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.kaito.witnesses import Container, NodeClaim, Pod

STARTED = datetime(2026, 3, 2, 9, tzinfo=UTC)


def pod(*containers: Container, phase: str = "Running", reason: str = "", message: str = "") -> Pod:
    return Pod("w-0", "w", phase, reason=reason, message=message, containers=containers)


def ended(code: int, reason: str = "Error", waiting: str = "", is_init: bool = False) -> Container:
    """It has ended with this code; without `waiting` it runs again."""
    running = None if waiting else STARTED
    name = "puller-adapter-0" if is_init else "w"
    return Container(
        name, is_init, waiting=waiting, end=reason, exit_code=code, running=None if is_init else running
    )


def waits(reason: str, message: str = "", is_init: bool = False) -> Container:
    return Container("puller-adapter-0" if is_init else "w", is_init, waiting=reason, message=message)


def claim(reason: str, message: str = "", kind: str = "Launched") -> NodeClaim:
    row = {"type": kind, "status": "False", "reason": reason, "message": message}
    return NodeClaim("ws1", "team-a", "w", conditions=(row,))


READY_POD = Pod("w-0", "w", "Running", ready=True, containers=(Container("w", running=STARTED),))
LOADING_POD = pod(Container("w", running=STARTED))
#: What the cluster shows in the cases of a pod that KAITO's own tests build, by their names.
PODS: dict[str, tuple[Pod, ...]] = {
    "OOMKilled, waiting for the next try": (pod(ended(137, "OOMKilled", "CrashLoopBackOff")),),
    "OOMKilled once, running again": (pod(ended(137, "OOMKilled")),),
    "crash loop, exit code 1, no message": (pod(ended(1, waiting="CrashLoopBackOff")),),
    "crash loop with a termination message": (pod(ended(1, waiting="CrashLoopBackOff")),),
    "exit code 1 once, running again": (pod(ended(1)),),
    "terminated, not yet waiting": (pod(ended(1)),),
    "secret not there (CreateContainerConfigError)": (
        pod(waits("CreateContainerConfigError", 'secret "hf" not found'), phase="Pending"),
    ),
    "CreateContainerError": (pod(waits("CreateContainerError", "context deadline exceeded")),),
    "RunContainerError": (pod(waits("RunContainerError", "failed to create containerd task")),),
    "ImagePullBackOff": (pod(waits("ImagePullBackOff"), phase="Pending"),),
    "ErrImagePull": (pod(waits("ErrImagePull"), phase="Pending"),),
    "InvalidImageName": (pod(waits("InvalidImageName"), phase="Pending"),),
    "ContainerCreating": (pod(waits("ContainerCreating"), phase="Pending"),),
    "PodInitializing": (pod(waits("PodInitializing"), phase="Pending"),),
    "adapter image not found (init container)": (
        pod(waits("ImagePullBackOff", is_init=True), waits("PodInitializing"), phase="Pending"),
    ),
    "adapter puller crash loop (init container)": (
        pod(ended(1, waiting="CrashLoopBackOff", is_init=True), waits("PodInitializing"), phase="Pending"),
    ),
    "unschedulable": (
        pod(phase="Pending", reason="Unschedulable", message="0/3 nodes are available: 1 Insufficient gpu"),
    ),
    "evicted: ephemeral storage": (pod(phase="Failed", reason="Evicted", message="ephemeral-storage"),),
    "evicted: memory": (pod(phase="Failed", reason="Evicted", message="low on resource: memory"),),
    "evicted: another cause": (pod(phase="Failed", reason="Evicted", message="Pod was preempted"),),
    "failed without eviction": (pod(phase="Failed"),),
    "running, startup probe not passed": (LOADING_POD,),
    "OOMKilled and an image error in another pod": (
        pod(waits("ImagePullBackOff"), phase="Pending"),
        pod(ended(137, "OOMKilled")),
    ),
    "long message (400 letters)": (pod(waits("CreateContainerError", "abcdefghij" * 40)),),
}
