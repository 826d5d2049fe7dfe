"""Why a workspace does not serve: one table from what KAITO and Kubernetes show to what it is, who must act,
and whether waiting on can help.

A workspace is ready when all witnesses say so that were heard: its condition and a ready pod. KAITO 0.6 says
ready without a ready pod. A witness that could not be heard (None) decides nothing.

Only 0.12 writes the cause into the Workspace; of earlier releases the pods and NodeClaims show it. Source:
the conditions, reasons and messages of https://github.com/kaito-project/kaito at the tags v0.6.0, v0.8.1,
v0.11.0 and v0.12.0, and of the kubelet and Karpenter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.errors import Actor
from shared.kaito.log_classes import FINAL, LogClass
from shared.kaito.witnesses import Container, NodeClaim, Pod

#: `now`: waiting on cannot help. `later`: it may pass, and stands after the readiness time of its preset
#: (`shared.kaito.presets`). `limit`: it is waited for as long as any stage waits.
Ends = Literal["now", "later", "limit"]
_MAX_DETAIL = 300


@dataclass(frozen=True, slots=True)
class Cause:
    """`reason` is explained in docs/errors.md. `text` is for people; it is empty while all is as usual.
    `then` is what it has become when the wait ends for it, None for itself.
    """

    reason: str
    actor: Actor = "the platform"
    ends: Ends = "later"
    text: str = ""
    then: Cause | None = None


def _usual(reason: str) -> Cause:
    return Cause(reason, "nobody: it is tried again", "limit")


READY = _usual("Ready")
NODE_CLAIM, NODES, RESOURCE = map(_usual, ("NodeClaimNotReady", "NodesNotReady", "ResourceNotReady"))
INFERENCE, WORKSPACE = map(_usual, ("InferenceNotReady", "WorkspaceNotReady"))
_NOT_PASSED = (
    "the container runs and its startup probe has not passed: the model loads for too long, or KAITO's "
    "benchmark fails every time (it needs a context of more than 2,304 tokens)"
)
STARTUP = Cause("StartupNotPassed", text=_NOT_PASSED)
LOADING = Cause("InferenceNotReady", "nobody: it is tried again", then=STARTUP)
GAVE_UP = Cause("WorkspaceFailed", ends="now", text="KAITO gave up")
BENCHMARK = Cause("BenchmarkFailed", ends="now", text="KAITO's benchmark has no good result")
QUOTA = Cause("GpuQuotaExceeded", text="Azure's quota for this size does not suffice")
CAPACITY = Cause("GpuCapacityMissing", ends="limit", text="Azure has no such machine at the moment")
LAUNCH = Cause("NodeLaunchFailed", text="the cloud did not start the node")
NO_GPU = Cause("GpuNotRegistered", text="the node does not show its GPU: is NVIDIA's device plugin there?")
GPU_PLUGIN = Cause("GpuNotRegistered", "nobody: it is tried again", then=NO_GPU)
SIZE = Cause("NodeSizeUnknown", ends="now", text="KAITO does not know the size, and asks for no node")
CONTEXT = Cause("ContextDoesNotFit", ends="now", text="no node of this size holds the context")
TOO_MANY = Cause("NodeCountRefused", ends="now", text="KAITO refuses to make so many nodes")
SECRET = Cause("AccessSecretMissing", text="the access secret is not in the namespace")
ESTIMATE = Cause("EstimateFailed", text="KAITO cannot count the nodes, and asks for none")
MEMORY = Cause("OutOfMemory", text="the container needs more memory than the node has")
ARGUMENTS = Cause("ArgumentsRefused", ends="now", text="the engine refuses its arguments")
ENGINE = Cause("EngineDied", text="the engine died and its server ended")
EXITS = Cause("ContainerExits", text="the container ends again and again")
IMAGE = Cause("ImageNotPulled", text="the image cannot be pulled")
IMAGE_NAME = Cause("ImageNameInvalid", ends="now", text="the name of the image is not valid")
START = Cause("ContainerNotStarted", text="the container cannot be started")
UNSCHEDULABLE = Cause("PodUnschedulable", text="no node has room for the pod")
EVICTED = Cause("PodEvicted", text="the pod was evicted")
POD_FAILED = Cause("PodFailed", text="the pod failed")
_NO_POD = Cause(
    "PodNotThere",
    text="the nodes are there and paid, and no pod: does a ResourceQuota or an admission policy refuse it?",
)
NO_POD = Cause("PodNotThere", "nobody: it is tried again", then=_NO_POD)


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that was seen. `where`: `estimate`, `node` or `pod`; `of` names the container or the pod,
    `log` is the class of what the container wrote before it ended.
    """

    where: str
    reason: str
    exit_code: int | None = None
    message: str = ""
    of: str = ""
    since: datetime | None = None
    log: LogClass | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """An empty field fits anything. `words` are looked for in the message, in any case; `logs` are the names
    of classes.
    """

    where: str
    reasons: tuple[str, ...]
    exit_codes: tuple[int, ...]
    words: tuple[str, ...]
    cause: Cause
    logs: frozenset[str] = frozenset()

    def fits(self, sign: Sign) -> bool:
        return (
            sign.where == self.where
            and (not self.reasons or sign.reason in self.reasons)
            and (not self.exit_codes or sign.exit_code in self.exit_codes)
            and self._fits_texts(sign)
        )

    def _fits_texts(self, sign: Sign) -> bool:
        message, log = sign.message.lower(), "" if sign.log is None else sign.log.name
        has_word = not self.words or any(word in message for word in self.words)
        return has_word and (not self.logs or log in self.logs)


_CRASHES = ("Error", "Completed", "ContainerCannotRun", "CrashLoopBackOff", "ContainerCrashLoopBackOff")
_EVICTIONS = ("Evicted", "PodEvicted", "NodeDiskPressure", "NodeMemoryPressure", "NodePIDPressure")
_PULLS = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable", "ImageInspectError")
_STARTS = (
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
    "PostStartHookError",
    "ContainerStartError",
)
_CAPACITY_WORDS = ("skunotavailable", "allocationfailed", "overconstrained", "unavailable", "insufficient")
#: The first row that fits decides; of several signs at once, the one with the earlier row. Where pods are
#: known the kubelet's words count, else those that KAITO 0.12 writes into `InferenceReady`.
TABLE = (
    # where, reasons, exit codes, words -> cause
    Row("estimate", (), (), ("exceeds the maximum allowed",), TOO_MANY),
    Row("estimate", (), (), ("failed to get gpu config", "unsupported sku"), SIZE),
    Row("estimate", (), (), ("is too small, needs at least",), CONTEXT),
    Row("estimate", (), (), ("failed to resolve access token", "failed to get secret"), SECRET),
    Row("estimate", (), (), (), ESTIMATE),
    Row("pod", ("OOMKilled", "ContainerOOMKilled"), (), (), MEMORY),
    Row("pod", _CRASHES, (2,), (), ARGUMENTS),
    Row("pod", _CRASHES, (1,), (), ARGUMENTS, FINAL),
    Row("pod", _CRASHES, (0,), (), ENGINE),
    Row("pod", _CRASHES, (137, 143), (), STARTUP),
    Row("pod", _CRASHES, (), (), EXITS),
    Row("pod", (*_STARTS,), (), ("secret ",), SECRET),
    Row("pod", _STARTS, (), (), START),
    Row("pod", ("InvalidImageName",), (), (), IMAGE_NAME),
    Row("pod", ("ImagePullError",), (), ("(invalidimagename)",), IMAGE_NAME),
    Row("pod", (*_PULLS, "ImagePullError"), (), (), IMAGE),
    Row("pod", ("Unschedulable",), (), (), UNSCHEDULABLE),
    Row("pod", _EVICTIONS, (), (), EVICTED),
    Row("pod", ("Failed",), (), (), POD_FAILED),
    Row("node", (), (), ("quota",), QUOTA),
    Row("node", ("InsufficientCapacityError",), (), (), CAPACITY),
    Row("node", ("LaunchFailed",), (), _CAPACITY_WORDS, CAPACITY),
    Row("node", ("LaunchFailed", "NodeClassNotReady"), (), (), LAUNCH),
    Row("node", ("ResourceNotRegistered", "NodePluginsNotReady"), (), (), GPU_PLUGIN),
    # What is only looked at when nothing above was seen and the nodes are there.
    Row("workload", ("NotThere",), (), (), NO_POD),
    Row("workload", ("Running",), (), (), LOADING),
)
#: All that a person can meet, READY left out.
CAUSES = tuple(
    dict.fromkeys(
        (
            *(each for row in TABLE for each in (row.cause, row.cause.then) if each is not None),
            *(NODE_CLAIM, NODES, RESOURCE, INFERENCE, WORKSPACE, GAVE_UP, BENCHMARK),
        )
    )
)
#: The end of a container, as KAITO 0.12 says it.
_EXIT = re.compile(r"exit code (-?\d{1,4})\)?")
_ESTIMATE = "last reconcile error: "
#: The conditions of nodes, in the order in which KAITO sets them; 0.8 spells the first with an s.
_CLAIMS = ("NodeClaimReady", "NodeClaimsReady")
_OF_NODES = {**dict.fromkeys(_CLAIMS, NODE_CLAIM), "NodesReady": NODES}
_OF_WORKLOAD = {"ResourceReady": RESOURCE, "InferenceReady": INFERENCE}
#: KAITO's own words may be shown for these; a container's never are.
_QUOTED = frozenset({QUOTA, CAPACITY, LAUNCH, TOO_MANY, SIZE, CONTEXT, ESTIMATE, UNSCHEDULABLE, GAVE_UP})


@dataclass(frozen=True, slots=True)
class Verdict:
    """`is_ready` with another cause than READY is ready with a finding. `since` is since when it is so, None
    where the cluster does not say. `gave_up`: KAITO itself has given up.
    """

    cause: Cause
    is_ready: bool = False
    detail: str = ""
    since: datetime | None = None
    gave_up: bool = False

    @property
    def text(self) -> str:
        """For people; empty while all is as usual."""
        return f"{self.cause.text}{self.detail}" if self.cause.text else ""

    @property
    def at_end(self) -> Verdict:
        """The same when the wait has ended for it."""
        return self if self.cause.then is None else replace(self, cause=self.cause.then)

    def has_ended(self, stood: timedelta, readiness: timedelta) -> bool:
        """Whether waiting ends, of a cause that has `stood` for so long, with a preset of this readiness
        time.
        """
        if self.gave_up or self.cause.ends == "now":
            return True
        return self.cause.ends == "later" and stood >= readiness


Conditions = Iterable[Mapping[str, Any]]


def judge(
    conditions: Conditions,
    nodes: int = 0,
    pods: Sequence[Pod] | None = None,
    claims: Sequence[NodeClaim] | None = None,
) -> Verdict:
    """What a workspace's conditions, KAITO's count of its nodes (0 for none yet), its pods and its NodeClaims
    say; None for what is not known.
    """
    found = _Conditions.of(conditions)
    standing = _staying(pods)
    if (ready := _ready(found, standing)) is not None:
        return ready
    strong = _of_signs([*_estimates(found, nodes), *_pod_signs(found, standing)])
    if found.has_failed and not _has_ready_pod(standing):
        return _given_up(found, strong)
    return strong or _of_signs(_node_signs(found, claims)) or _on_the_way(found, standing)


def _staying(pods: Sequence[Pod] | None) -> Sequence[Pod] | None:
    return None if pods is None else [pod for pod in pods if not pod.going]


def needed(conditions: Conditions, nodes: int = 0) -> frozenset[Literal["pods", "claims"]]:
    """What must be read beside the conditions to judge: pods where nodes are there, NodeClaims where not."""
    found = _Conditions.of(conditions)
    if any(_estimates(found, nodes)):
        return frozenset()
    if found.is_true("WorkspaceSucceeded") or found.has_nodes:
        return frozenset({"pods"})
    return frozenset() if found.has_claims else frozenset({"claims"})


def was_never_ready(conditions: Conditions, state: str) -> bool:
    """Whether a workspace surely has never served. KAITO says `Pending` in `state` until it did once, from
    0.9 on; before, the conditions of the model are not there until it did.
    """
    found = _Conditions.of(conditions)
    if any(found.is_true(kind) for kind in ("InferenceReady", "WorkspaceSucceeded")):
        return False
    return state == "Pending" if state else not {"InferenceReady", "WorkspaceSucceeded"} & found.rows.keys()


@dataclass(frozen=True, slots=True)
class _Conditions:
    rows: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, conditions: Conditions) -> _Conditions:
        return cls({str(each.get("type", "")): each for each in conditions})

    def is_true(self, kind: str) -> bool:
        return self.rows.get(kind, {}).get("status") == "True"

    def reason(self, kind: str) -> str:
        return str(self.rows.get(kind, {}).get("reason") or "")

    def message(self, kind: str) -> str:
        return str(self.rows.get(kind, {}).get("message") or "")

    def first_missing(self, causes: Mapping[str, Cause]) -> Cause | None:
        """The cause of the first of these conditions that is there and not true."""
        missing = (kind for kind in causes if kind in self.rows and not self.is_true(kind))
        return next((causes[kind] for kind in missing), None)

    @property
    def has_claims(self) -> bool:
        return any(map(self.is_true, _CLAIMS))

    @property
    def has_nodes(self) -> bool:
        """0.6 has no `NodesReady`; in 0.8 `ResourceReady` may be from before."""
        last = "NodesReady" if "NodesReady" in self.rows else "ResourceReady"
        return self.has_claims and self.is_true(last)

    @property
    def has_failed(self) -> bool:
        """0.6 says `workspaceFailed` when a node takes longer than four minutes, goes on waiting, and takes
        it back: while there is no node it means nothing.
        """
        hopeless = self.reason("WorkspaceSucceeded") in ("workspaceFailed", BENCHMARK.reason)
        return hopeless and self.is_true("ResourceReady") and not self.is_true("WorkspaceSucceeded")


def _has_ready_pod(pods: Sequence[Pod] | None) -> bool:
    return any(pod.ready for pod in pods or ())


def _ready(found: _Conditions, pods: Sequence[Pod] | None) -> Verdict | None:
    """The verdict where every witness that was heard says ready, else None."""
    has_pod = pods is None or _has_ready_pod(pods)
    if found.is_true("WorkspaceSucceeded"):
        return Verdict(READY, is_ready=True) if has_pod else None
    is_unmeasured = found.reason("WorkspaceSucceeded") == BENCHMARK.reason
    if is_unmeasured and found.is_true("InferenceReady") and pods is not None and has_pod:
        return Verdict(BENCHMARK, is_ready=True)
    return None


def _given_up(found: _Conditions, strong: Verdict | None) -> Verdict:
    if strong is not None:
        return Verdict(strong.cause, detail=strong.detail, gave_up=True)
    if found.reason("WorkspaceSucceeded") == BENCHMARK.reason:
        return Verdict(BENCHMARK, gave_up=True)
    said = found.message("WorkspaceSucceeded") or found.reason("WorkspaceSucceeded")
    return Verdict(GAVE_UP, detail=_quoted(said), gave_up=True)


def _estimates(found: _Conditions, nodes: int) -> Iterator[Sign]:
    """Why KAITO asks for no node. Errors that it meets later pass by themselves."""
    for row in found.rows.values():
        _, is_there, said = str(row.get("message") or "").partition(_ESTIMATE)
        if is_there and (not nodes or TABLE[0].words[0] in said):
            yield Sign("estimate", "", message=said.removesuffix(")"))


def _pod_signs(found: _Conditions, pods: Sequence[Pod] | None) -> Iterator[Sign]:
    if pods is None:
        reason, said = found.reason("InferenceReady"), found.message("InferenceReady")
        code = _EXIT.search(said)
        if not found.is_true("InferenceReady"):
            yield Sign("pod", reason, int(code.group(1)) if code else None, said)
        return
    for pod in pods:
        if not pod.ready:
            yield Sign("pod", pod.reason or pod.phase, message=pod.message, of=pod.name)
            for container in pod.containers:
                yield from _container_signs(pod, container)


def _container_signs(pod: Pod, container: Container) -> Iterator[Sign]:
    """Its last end counts until its pod is ready: a container that crashes runs in between."""
    of = f"{pod.name}/{container.name}"
    if container.waiting and container.waiting != "CrashLoopBackOff":
        yield Sign("pod", container.waiting, message=container.message, of=of)
    is_done = container.is_init and container.exit_code == 0
    if container.exit_code is not None and not is_done:
        yield Sign("pod", container.end, container.exit_code, of=of, log=container.log)
    elif container.waiting == "CrashLoopBackOff":
        yield Sign("pod", container.waiting, of=of)


def _node_signs(found: _Conditions, claims: Sequence[NodeClaim] | None) -> Iterator[Sign]:
    for claim in () if found.has_claims else claims or ():
        shown = _Conditions.of(claim.conditions)
        for kind in shown.rows:
            if not shown.is_true(kind):
                yield Sign("node", shown.reason(kind), message=shown.message(kind), of=claim.name)
    for kind in (*_CLAIMS, "NodesReady"):
        if kind in found.rows and not found.is_true(kind):
            yield Sign("node", found.reason(kind), message=found.message(kind))


def _on_the_way(found: _Conditions, pods: Sequence[Pod] | None) -> Verdict:
    """It waits for the first condition that is not true; once nodes are there, for its pod."""
    if (cause := found.first_missing(_OF_NODES)) is not None:
        return Verdict(cause)
    seen = _of_signs(_workload_signs(pods)) if pods is not None and found.has_nodes else None
    if seen is not None:
        return seen
    return Verdict(found.first_missing(_OF_WORKLOAD) or (INFERENCE if pods else WORKSPACE))


def _workload_signs(pods: Sequence[Pod]) -> Iterator[Sign]:
    if not pods:
        yield Sign("workload", "NotThere")
    for pod in pods:
        since = [each.running for each in pod.containers if each.running is not None and not each.is_init]
        if not pod.ready and since:
            yield Sign("workload", "Running", of=pod.name, since=max(since))


def _of_signs(signs: Iterable[Sign]) -> Verdict | None:
    """The sign with the earliest row in the table; None where no row fits any."""
    fitting = ((number, sign) for sign in signs for number, row in enumerate(TABLE) if row.fits(sign))
    number, sign = min(fitting, key=lambda pair: pair[0], default=(0, None))
    if sign is None:
        return None
    return Verdict(TABLE[number].cause, detail=_detail(TABLE[number].cause, sign), since=sign.since)


def _detail(cause: Cause, sign: Sign) -> str:
    of = f" ({sign.of})" if sign.of else ""
    code = "" if sign.exit_code is None else f", exit code {sign.exit_code}"
    if cause in _QUOTED:
        return f"{of}{_quoted(sign.message)}"
    log = "" if sign.log is None else f"; {sign.log.name}: {sign.log.text}"
    return f"{of}{code}{log}"


def _quoted(said: str) -> str:
    text = " ".join(said.split())[:_MAX_DETAIL]
    return f": {text}" if text else ""
