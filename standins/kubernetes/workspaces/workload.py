"""What KAITO makes for a Workspace's model: Services, a StatefulSet (0.6: a Deployment), and the pods of it.

Of an edit, environment, volumes, mounts and init containers reach a workload that stands, its command never
does (pkg/workspace/controllers/workspace_controller.go, `applyInference`).
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from standins.kubernetes.kaito import REVISION, stamp
from standins.kubernetes.kinds import Object
from standins.kubernetes.workspaces.arguments import Place, arguments, command
from standins.kubernetes.workspaces.conditions import WRITTEN
from standins.kubernetes.workspaces.course import Course
from standins.kubernetes.workspaces.problems import selected
from standins.kubernetes.workspaces.review import VLLM, runtime_of
from standins.kubernetes.workspaces.tables import Preset, Size

_IMAGES = {"0.6": "0.0.5", "0.8": "0.0.8", "0.11": "0.4.0", "0.12": "0.5.0"}
_CONFIG, _ADAPTERS, _WEIGHTS = "config-volume", "adapter-volume", "model-weights-volume"
_DEFAULT_CONFIG = "inference-params-template"
_NO_BENCHMARK = "kaito.sh/disable-benchmark"
_REACHING = ("env", "volumeMounts")


def services(course: Course, workspace: Object) -> list[Object]:
    """One of the Workspace's name, which leads to pod 0 (0.6: to all), ready or not, and one for its pods."""
    metadata, is_add_on = workspace["metadata"], course.release.name == "0.6"
    mine = {"kaito.sh/workspace": metadata["name"]}
    first = {} if is_add_on else {"statefulset.kubernetes.io/pod-name": f"{metadata['name']}-0"}
    ports = [
        port for port in WRITTEN["ports"] if course.release.name == "0.12" or port["name"] != "kv-events"
    ]
    front = {"type": "ClusterIP", "ports": ports, "selector": {**mine, **first}}
    rows = (
        {"": front}
        if is_add_on and len(course.nodes) < 2
        else {"": front, "-headless": {"clusterIP": "None", "selector": mine}}
    )
    return [
        {
            "metadata": {"name": f"{metadata['name']}{ending}", **_home(workspace)},
            "spec": {**deepcopy(spec), "publishNotReadyAddresses": True},
        }
        for ending, spec in rows.items()
    ]


def is_measured(workspace: Object) -> bool:
    """Whether a benchmark is run: by vLLM with a preset, unless the annotation says no."""
    wishes = workspace["metadata"].get("annotations") or {}
    has_preset = "preset" in (workspace.get("inference") or {})
    return has_preset and runtime_of(workspace) == VLLM and wishes.get(_NO_BENCHMARK) != "true"


def new(course: Course, workspace: Object) -> Object:
    """The workload as it would be made now."""
    metadata, mine = workspace["metadata"], {"kaito.sh/workspace": workspace["metadata"]["name"]}
    template = workspace["inference"].get("template")
    pod = deepcopy(template.get("spec") or {}) if template is not None else _pod_spec(course, workspace)
    marks = {**((template or {}).get("metadata") or {}).get("labels", {}), **mine}
    spec: Object = {
        "replicas": max(1, len(course.nodes)),
        "selector": {"matchLabels": mine},
        "template": {"metadata": {"labels": marks}, "spec": pod},
    }
    if course.release.name == "0.6":
        spec["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}}
    else:
        spec |= {"serviceName": f"{metadata['name']}-headless", "podManagementPolicy": "Parallel"}
    notes = {REVISION: (metadata.get("annotations") or {}).get(REVISION, "1")}
    return {"metadata": {"name": metadata["name"], "annotations": notes, **_home(workspace)}, "spec": spec}


def updated(standing: Object, wanted: Object) -> Object:
    """The standing workload after an edit of its Workspace."""
    revision = wanted["metadata"]["annotations"][REVISION]
    before = standing["metadata"].get("annotations") or {}
    if before.get(REVISION) == revision or not wanted["spec"]["template"]["spec"].get("containers"):
        return standing
    changed = deepcopy(standing)
    changed["metadata"]["annotations"] = {**before, REVISION: revision}
    pod, wish = (each["spec"]["template"]["spec"] for each in (changed, wanted))
    for part, place, source in (
        *((part, pod["containers"][0], wish["containers"][0]) for part in _REACHING),
        *((part, pod, wish) for part in ("initContainers", "volumes")),
    ):
        place.pop(part, None)
        place |= {part: source[part]} if part in source else {}
    return changed


def pods(course: Course, workload: Object, now: float) -> list[Object]:
    """The pods of a workload: their names, and their states by now."""
    if course.failure is not None and not course.failure.has_pods:
        return []
    name, metadata = workload["metadata"]["name"], workload["metadata"]
    ends = [str(number) for number in range(int(workload["spec"].get("replicas", 1)))]
    names = [
        f"{name}-{end}" if workload["kind"] == "StatefulSet" else f"{name}-{metadata['uid'][:8]}-{end}"
        for end in ends
    ]
    return [_pod(course, workload, pod, end, now) for pod, end in zip(names, ends, strict=True)]


def is_ready(pod: Object) -> bool:
    rows = pod["status"].get("conditions") or []
    return any(row["type"] == "Ready" and row["status"] == "True" for row in rows)


def _pod(course: Course, workload: Object, name: str, end: str, now: float) -> Object:
    about = workload["metadata"]
    owner = {"apiVersion": "apps/v1", "kind": workload["kind"], "name": about["name"], "uid": about["uid"]}
    template = workload["spec"]["template"]
    numbered = {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": end}
    labels = {**template["metadata"]["labels"], **(numbered if workload["kind"] == "StatefulSet" else {})}
    status = _status(course, about["name"], now)
    node = (
        {}
        if _is_unscheduled(status) or not course.nodes
        else {"nodeName": course.nodes[min(int(end), len(course.nodes) - 1)]}
    )
    return {
        "metadata": {
            "name": name,
            "namespace": about["namespace"],
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": {**deepcopy(template["spec"]), **node},
        "status": status,
    }


def _is_unscheduled(status: Object) -> bool:
    return any(row.get("reason") == "Unschedulable" for row in status["conditions"])


def _status(course: Course, container: str, now: float) -> Object:
    """It runs as soon as there is a node, and is ready when the model is loaded and the benchmark has
    passed.
    """
    serves = course.is_serving(now)
    since = stamp(course.ready_at if serves else course.nodes_at)
    state = "True" if serves else "False"
    rows = [
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(course.nodes_at)},
        {"type": "Ready", "status": state, "lastTransitionTime": since},
        {"type": "ContainersReady", "status": state, "lastTransitionTime": since},
    ]
    row = {"name": container, "ready": serves, "started": serves, "restartCount": 0}
    row |= {"image": "", "imageID": "", "state": {"running": {"startedAt": stamp(course.nodes_at)}}}
    usual: Object = {"phase": "Running", "conditions": rows, "containerStatuses": [row]}
    is_due = course.failure is not None and (not course.failure.is_late or now >= course.ready_at)
    other = course.failure.pod_status(container) if course.failure and is_due else {}
    named = {change["type"] for change in other.get("conditions", ())}
    kept = [each for each in rows if each["type"] not in named]
    return {**usual, **other, "conditions": [*kept, *other.get("conditions", ())]}


def _home(workspace: Object) -> Object:
    metadata = workspace["metadata"]
    owner = {
        "apiVersion": "kaito.sh/v1beta1",
        "kind": "Workspace",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    owners = [{**owner, "controller": True, "blockOwnerDeletion": True}]
    return {"namespace": metadata["namespace"], "ownerReferences": owners}


# The pod of a preset


def _pod_spec(course: Course, workspace: Object) -> Object:
    inference, metadata = workspace["inference"], workspace["metadata"]
    preset = course.release.preset(inference["preset"]["name"]) or Preset(inference["preset"]["name"])
    size = course.release.size(workspace["resource"].get("instanceType", ""))
    size = size or Size(workspace["resource"].get("instanceType", ""), 1, 80, "")
    config, adapters = _config_of(course, inference), inference.get("adapters") or []
    mounts = {
        _CONFIG: "/mnt/config",
        _WEIGHTS: "/workspace/weights",
        "dshm": "/dev/shm",
        _ADAPTERS: "/mnt/adapter",
    }
    volumes: list[Object] = [{"name": _CONFIG, "configMap": {"name": config}}] if config else []
    volumes += [{"name": "dshm", "emptyDir": {"medium": "Memory"}}]
    volumes += [{"name": _ADAPTERS, "emptyDir": {}}] if adapters else []
    volumes += [{"name": _WEIGHTS, "emptyDir": {}}]
    named = {volume["name"] for volume in volumes}
    gpus = {"nvidia.com/gpu": str(size.gpus)}
    found = arguments(course.release, preset, Place(size, max(1, len(course.nodes))), workspace)
    container: dict[str, Any] = {
        "name": metadata["name"],
        "image": f"mcr.microsoft.com/aks/kaito/kaito-base:{_IMAGES[course.release.name]}",
        "command": command(course.release, found, workspace),
        "ports": [{"containerPort": 5000}],
        "env": _environment(course, inference["preset"]),
        "resources": {"limits": gpus, "requests": gpus},
        "volumeMounts": [{"name": name, "mountPath": path} for name, path in mounts.items() if name in named],
        **_probes(course, workspace),
    }
    spec: Object = {"containers": [container], "volumes": volumes, "tolerations": _tolerations(course)}
    spec |= {"affinity": _affinity(course, workspace)}
    return spec | ({"initContainers": _pullers(adapters)} if adapters else {})


def _config_of(course: Course, inference: Object) -> str:
    """Before 0.11 a default configuration is mounted where none is named."""
    return inference.get("config") or ("" if course.release.is_newer else _DEFAULT_CONFIG)


def _environment(course: Course, preset: Object) -> list[Object]:
    """A missing secret stops no container from 0.11 on."""
    secret = (preset.get("presetOptions") or {}).get("modelAccessSecret")
    if not secret:
        return []
    optional = {"optional": True} if course.release.is_newer else {}
    return [
        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": secret, "key": "HF_TOKEN", **optional}}}
    ]


def _probes(course: Course, workspace: Object) -> Object:
    health = {"httpGet": {"path": "/health", "port": 5000}, "periodSeconds": 10}
    found: Object = {"livenessProbe": health, "readinessProbe": {**health, "initialDelaySeconds": 30}}
    if course.release.is_newer and is_measured(workspace):
        benchmark = {"command": ["python3", "/workspace/vllm/benchmark_entrypoint.py"]}
        found["startupProbe"] = {
            "exec": benchmark,
            "timeoutSeconds": 600,
            "periodSeconds": 10,
            "failureThreshold": 180,
        }
    return found


def _tolerations(course: Course) -> list[Object]:
    rows: list[Object] = deepcopy(WRITTEN["tolerations"])
    return rows if course.release.is_newer else rows[:2]


def _affinity(course: Course, workspace: Object) -> Object:
    metadata = workspace["metadata"]
    wanted = selected(workspace["resource"].get("labelSelector") or {})
    if course.release.is_newer:
        wanted |= {
            "kaito.sh/workspace": metadata["name"],
            "kaito.sh/workspacenamespace": metadata["namespace"],
        }
    terms = [{"key": key, "operator": "In", "values": [text]} for key, text in wanted.items()]
    required = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}} if terms else {}


def _pullers(adapters: list[Object]) -> list[Object]:
    mount = [{"name": _ADAPTERS, "mountPath": "/mnt/adapter"}]
    return [
        {
            "name": f"puller-adapter-{number}",
            "image": "mcr.microsoft.com/aks/skopeo:1.14.4-6",
            "args": [(adapter.get("source") or {}).get("image", "")],
            "volumeMounts": mount,
        }
        for number, adapter in enumerate(adapters)
    ]
