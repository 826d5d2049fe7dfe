"""The stand-in for KAITO against what KAITO's own code printed: every verdict, count, argument line and
condition.

Each test counts what agrees, per file of the facts, and names what does not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from standins.kubernetes.cluster import Deletion
from standins.kubernetes.kinds import CONFIG_MAP, NODE_CLAIM, SERVICE, STORED, Object
from standins.kubernetes.objects import Key
from standins.kubernetes.workspaces import estimate, tables
from standins.kubernetes.workspaces.arguments import Place, arguments
from standins.kubernetes.workspaces.tables import Preset
from standins.tests.reference.kaito_facts import (
    A100,
    HOME,
    KEY,
    NODES,
    READY,
    RELEASES,
    Room,
    claims,
    config_map,
    differences,
    facts,
    options_in,
    shown,
    verdict,
    workload,
    workspace,
)

NEWER = ("0.11", "0.12")
#: Cases that the stand-in answers otherwise, and why.
UNLIKE = {
    ("0.6", "NodeClaim ready, no node yet"): "0.6 orders one node more each time it looks",
    ("0.11", "edit: runtime to transformers"): "its arguments without vLLM are not known apart",
    ("0.12", "edit: runtime to transformers"): "its arguments without vLLM are not known apart",
}


@pytest.fixture(params=list(RELEASES))
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def room(tmp_path: Path, release: str) -> Room:
    return Room(tmp_path, release)


# Verdicts


def test_every_verdict_is_that_of_the_webhook(room: Room, release: str) -> None:
    differing = []
    cases = facts("validation", release)["cases"]
    for case in cases:
        found, wanted = verdict(room, case), _wanted(case)
        if found != wanted:
            differing.append((case["name"], found, wanted))
    assert differing == []
    assert len(cases) == 206


def _wanted(case: Object) -> tuple[str, str]:
    """Hugging Face is taken to know every model that the webhook would ask it about."""
    if case.get("beforeWebhook"):
        return "beforeWebhook", ""
    if case["verdict"] == "needs the network":
        return "accepted", ""
    return case["verdict"], case.get("message", "") if case["verdict"] == "refused" else ""


# Counts of nodes


def test_every_count_of_nodes_is_that_of_the_estimator(room: Room, release: str) -> None:
    printed = facts("nodes", release)
    for context in printed["contexts"][1:]:
        room.put(CONFIG_MAP, config_map(f"c{context}", f"vllm:\n  max-model-len: {context}\n"))
    wrong = [each for each in _counts(printed, release) if _count(room, release, *each[:3]) != each[3]]
    assert wrong == []


def _counts(printed: Object, release: str) -> Iterator[tuple[str, str, int, Any]]:
    for preset, row in printed["presets"].items():
        for size, counts in row["nodes"].items():
            for context, count in zip(printed["contexts"], counts, strict=False):
                is_error = isinstance(count, str)
                yield preset, size, context, printed["errors"][int(count[1:])] if is_error else count
    for size, count in printed["otherSizes"].items() if release != "0.6" else ():
        yield "phi-4", size, printed["contexts"][0], count


def _count(room: Room, release: str, preset: str, size: str, context: int) -> Any:
    if release == "0.6":
        return _least_count(room, preset, size)
    config = {} if context == 2048 else {"config": f"c{context}"}
    value = workspace(preset, size, **config)
    value["metadata"]["namespace"] = HOME
    known = tables.of(release, room.cluster.objects.options)  # type: ignore[arg-type]
    try:
        return estimate.target(room.cluster.objects, known, value)
    except estimate.Uncounted as error:
        return str(error)


def _least_count(room: Room, preset: str, size: str) -> Any:
    """The least `resource.count` up to 60 that 0.6 accepts, or its last refusal."""
    room.put(CONFIG_MAP, config_map("long", "vllm:\n  max-model-len: 2048\n"))
    asks = facts("nodes", "0.6")["presets"][preset]["downloads"]
    more = {"presetOptions": {"modelAccessSecret": "hf"}} if asks else {}
    said: dict[int, tuple[str, str]] = {}
    for count in range(1, 61):
        value = workspace(preset, size, config="long")
        value["inference"]["preset"] |= more
        value["resource"]["count"] = count
        said[count] = verdict(
            room, {"object": value, "configMaps": [config_map("long", "vllm:\n  max-model-len: 2048\n")]}
        )
        if said[count][0] == "accepted":
            return count
    return said[1][1]


# Names and arguments


def test_every_argument_line_is_the_printed_one(room: Room, release: str) -> None:
    known = tables.of(release, room.cluster.objects.options)  # type: ignore[arg-type]
    wrong, compared = [], 0
    for name, row in facts("served", release)["presets"].items():
        for run, wanted in _runs(row):
            place = wanted["place"]
            size = known.size(place["sku"])
            assert size is not None
            found = arguments(
                known, known.preset(name) or Preset(name), Place(size, place["nodes"]), _of_run(run, name)
            )
            compared += 1
            if found != wanted["args"]:
                wrong.append((name, run, sorted(found.items() ^ wanted["args"].items())))
    assert wrong == []
    assert compared > 100


def _runs(row: Object) -> Iterator[tuple[str, Object]]:
    base = row["oneNode"]
    for run in ("oneNode", "severalGpus", "severalNodes", "withAdapter", "withConfig", "underInferenceSet"):
        if not (other := row.get(run)):
            continue
        found = {**base["args"], **other.get("set", {})}
        args = {name: text for name, text in found.items() if name not in (other.get("gone") or ())}
        yield run, {"place": other if "sku" in other else base, "args": args}


def _of_run(run: str, preset: str) -> Object:
    value = workspace(preset)
    value["inference"] |= {"withAdapter": {"adapters": [{}]}, "withConfig": {"config": "c"}}.get(run, {})
    if run == "underInferenceSet":
        value["metadata"]["labels"] = {"inferenceset.kaito.sh/created-by": "my-set"}
    return value


# Conditions

#: By case: what the option `fail` orders, and after how many seconds it is looked at.
FAILING: dict[str, tuple[str, float]] = {
    "created: NodeClaims without conditions": ("", 0),
    "NodeClaim awaiting reconciliation": ("AwaitingReconciliation", NODES),
    "NodeClaim launch failed: quota": ("NoQuota", NODES),
    "NodeClaim launch failed: capacity": ("NoCapacity", NODES),
    "NodeClaim launch failed: all instance types unavailable": ("NoCapacity", 120),
    "NodeClaim launch failed, no message": ("LaunchFailedSilently", NODES),
    "NodeClaim not registered": ("NodeNotRegistered", NODES),
    "NodeClaim not initialized": ("NodeNotInitialized", NODES),
    "NodeClaim ready, no node yet": ("NodeMissing", NODES),
    "node without GPU capacity (no device plugin)": ("NodeNeverReady", NODES),
    "node with DiskPressure": ("NodeDiskPressure", NODES),
    "nodes ready, StatefulSet just made": ("", NODES),
    "nodes ready, workload just made, not ready": ("", NODES),
    "workload stands, no ready replica, controller restarted": ("NeverReady", READY),
    "pod crash loops": ("CrashLoopBackOff", READY),
    "pod: OOMKilled, waiting for the next try": ("OOMKilled", NODES),
    "pod: OOMKilled once, running again": ("OOMKilledOnce", NODES),
    "pod: crash loop, exit code 1, no message": ("CrashLoopBackOff", NODES),
    "pod: crash loop with a termination message": ("CrashLoopBackOff", NODES),
    "pod: exit code 1 once, running again": ("CrashedOnce", NODES),
    "pod: terminated, not yet waiting": ("Terminated", NODES),
    "pod: secret not there (CreateContainerConfigError)": ("CreateContainerConfigError", NODES),
    "pod: CreateContainerError": ("CreateContainerError", NODES),
    "pod: RunContainerError": ("RunContainerError", NODES),
    "pod: ImagePullBackOff": ("ImagePullBackOff", NODES),
    "pod: ErrImagePull": ("ErrImagePull", NODES),
    "pod: InvalidImageName": ("InvalidImageName", NODES),
    "pod: ContainerCreating": ("ContainerCreating", NODES),
    "pod: PodInitializing": ("PodInitializing", NODES),
    "pod: adapter image not found (init container)": ("AdapterImagePullBackOff", NODES),
    "pod: adapter puller crash loop (init container)": ("AdapterCrashLoopBackOff", NODES),
    "pod: unschedulable": ("Unschedulable", NODES),
    "pod: evicted: ephemeral storage": ("EvictedStorage", NODES),
    "pod: evicted: memory": ("EvictedMemory", NODES),
    "pod: evicted: another cause": ("Evicted", NODES),
    "pod: failed without eviction": ("PodFailed", NODES),
    "pod: running, startup probe not passed": ("NeverReady", READY),
    "pod: OOMKilled and an image error in another pod": ("OOMKilled", NODES),
    "pod: long message (400 letters)": ("CreateContainerError", NODES),
    "no pod: refused by a ResourceQuota": ("NoPods", READY),
    "ready, benchmark disabled": ("", READY),
    "ready, no result of the benchmark in the log": ("BenchmarkFailed", READY),
    "was ready, pod lost": ("PodLost", READY),
    "was ready, node lost": ("NodeLost", READY),
}
RESTARTED = ("workload stands, no ready replica, controller restarted", "pod crash loops")
MESSAGES = {
    "pod: crash loop with a termination message": "401 Client Error",
    "pod: long message (400 letters)": "abcdefghij" * 40,
}
_A10, _LLAMA = "Standard_NV36ads_A10_v5", "llama-3.3-70b-instruct"
_LONG = {"config": "long"}
_SECRET = {"presetOptions": {"modelAccessSecret": "hf"}}


def _with_secret(preset: str) -> Object:
    value = workspace(preset)
    value["inference"]["preset"] |= _SECRET
    return value


def _counting(count: int) -> Object:
    value = workspace()
    value["resource"]["count"] = count
    return value


#: By case: another Workspace than phi-4 on an A100.
OTHERS: dict[str, Callable[[], Object]] = {
    "size that the estimator does not know": lambda: workspace(size="Standard_ND96asr_v4"),
    "size that KAITO does not know": lambda: workspace(size="Standard_ND96asr_v4"),
    "size in lower case, its node ready with the label as Azure spells it": lambda: workspace(
        size=A100.lower()
    ),
    "CPU size": lambda: workspace(size="Standard_D8s_v5"),
    "context that no node of this size can hold": lambda: workspace("gemma-3-27b-instruct", _A10, **_LONG),
    "six nodes: llama-3.3-70b-instruct, context 131072": lambda: workspace(_LLAMA, **_LONG),
    "three nodes: llama-3.3-70b-instruct": lambda: workspace(_LLAMA),
    "llama-3.3-70b-instruct on an A100, count 1": lambda: workspace(_LLAMA),
    "eleven nodes: deepseek-r1-0528": lambda: workspace("deepseek-r1-0528"),
    "resource.count 5 under vLLM": lambda: _counting(5),
    "resource.count 5": lambda: _counting(5),
    "config named but its ConfigMap gone": lambda: workspace(config="gone"),
    "Hugging Face id of the catalogue, secret not there": lambda: _with_secret("google/gemma-3-4b-it"),
    "short preset, secret not there": lambda: _with_secret("phi-4"),
}


def test_every_condition_is_that_of_the_reconciler(tmp_path: Path, release: str) -> None:
    wrong, compared = [], 0
    for number, (name, case) in enumerate(facts("conditions", release)["cases"].items()):
        if (name not in FAILING and name not in OTHERS) or (release, name) in UNLIKE:
            continue
        room = _at(tmp_path / str(number), release, name)
        compared += 1
        wrong += [(name, *each) for each in _unlike(room, case)]
    assert wrong == []
    assert compared == {"0.6": 11, "0.8": 12, "0.11": 51, "0.12": 51}[release]


def _at(folder: Path, release: str, name: str) -> Room:
    """A cluster in the state of a case."""
    reason, after = FAILING.get(name, ("", NODES if "lower case" in name else 0))
    wish: dict[str, Any] = {"workspace": "*", "reason": reason} | (
        {"message": MESSAGES[name]} if name in MESSAGES else {}
    )
    if release == "0.6" and "NodeClaim" in name:
        after = min(after, 30)  # it gives up later
    wish |= {"restarted": True} if name in RESTARTED else {}
    fast = {"nodes_ready_after": 120.0} if release == "0.6" and after > 200 else {}
    after = 150 if fast and after == NODES else after
    room = Room(folder, release, fail=wish if reason else None, **fast)
    room.put(CONFIG_MAP, config_map("long", "vllm:\n  max-model-len: 131072\n"))
    value = OTHERS.get(name, workspace)()
    if "benchmark disabled" in name:
        value["metadata"]["annotations"] = {"kaito.sh/disable-benchmark": "true"}
    room.put_workspace(value)
    room.world.clock.advance(after)
    return room


def _unlike(room: Room, case: Object) -> Iterator[tuple[str, Any, Any]]:
    """What differs from a case: of the pods' cases only what is said of the model was printed."""
    found = shown(room)
    wanted = case.get("conditions") or []
    if "nodeClaims" not in case:
        found = [row for row in found if row[0] in ("InferenceReady", "WorkspaceSucceeded")]
    status = room.cluster.get(KEY).get("status") or {}
    pairs = {
        "conditions": (found, wanted),
        "state": (status.get("state"), case.get("state")),
        "nodeClaims": (len(claims(room)), case.get("nodeClaims", len(claims(room)))),
        "workload": (workload(room) is not None, case.get("workload", workload(room) is not None)),
        "workerNodes": (
            len(status.get("workerNodes") or ()),
            len(case.get("workerNodes") or status.get("workerNodes") or ()),
        ),
        "targetNodeCount": (
            status.get("targetNodeCount", 0),
            case.get("targetNodeCount", status.get("targetNodeCount", 0)),
        ),
    }
    yield from ((part, mine, theirs) for part, (mine, theirs) in pairs.items() if mine != theirs)


# Contexts, edits, and what is done by hand

LLAMA = "llama-3.1-8b-instruct"
_ADAPTERS = [
    {"source": {"name": f"adapter-{name}", "image": f"reg.example.com/adapters/{name}:1.0"}}
    for name in ("one", "two")
]


def test_the_context_counts_only_as_it_is_written(tmp_path: Path, release: str) -> None:
    wrong = []
    cases = {
        name: case
        for name, case in facts("conditions", release)["cases"].items()
        if name.startswith("context as")
    }
    room = Room(tmp_path, release)
    for name, case in cases.items():
        room.clear()
        room.put(CONFIG_MAP, config_map("conf", case["config"]))
        room.put_workspace(
            workspace("gemma-3-27b-instruct", **({"config": "conf"} if case["config"] else {}))
        )
        status = room.cluster.get(KEY)["status"]
        if status["targetNodeCount"] != case["targetNodeCount"]:
            wrong.append((name, status["targetNodeCount"], case["targetNodeCount"]))
    assert wrong == []
    assert len(cases) == (16 if release in NEWER else 0)


#: By case: the Workspace before and after.
EDITS: dict[str, tuple[Object, Object]] = {
    "edit: config added": ({}, {"config": "one"}),
    "edit: another config name": ({"config": "one"}, {"config": "two"}),
    "edit: config removed": ({"config": "one"}, {}),
    "edit: first adapter added": ({}, {"adapters": _ADAPTERS[:1]}),
    "edit: second adapter added": ({"adapters": _ADAPTERS[:1]}, {"adapters": _ADAPTERS}),
    "edit: adapters removed": ({"adapters": _ADAPTERS}, {}),
    "edit: disable-benchmark removed": ({}, {}),
    "edit: performance-mode": ({}, {}),
}
_NOTES = {
    "edit: disable-benchmark removed": ({"kaito.sh/disable-benchmark": "true"}, {}),
    "edit: performance-mode": ({}, {"kaito.sh/performance-mode": "throughput"}),
}


def test_every_edit_reaches_what_stands_as_with_kaito(tmp_path: Path, release: str) -> None:
    wrong, compared = [], 0
    for number, (name, case) in enumerate(facts("conditions", release)["cases"].items()):
        if name not in EDITS:
            continue
        compared += 1
        found = _edited(Room(tmp_path / str(number), release), name)
        for part, mine in found.items():
            if (mine or None) != (case[part] or None):
                wrong.append((name, part, mine, case[part]))
    assert wrong == []
    assert compared == (8 if release in NEWER else 2)


def _edited(room: Room, name: str) -> Object:
    """What an edit writes into the standing workload, and the arguments that it and a new one have alone."""
    for config in ("one", "two"):
        room.put(CONFIG_MAP, config_map(config, "vllm: {}\n"))
    (before, after), notes = EDITS[name], _NOTES.get(name, ({}, {}))
    room.put_workspace(_noted(workspace(LLAMA, **before), notes[0]))
    room.world.clock.advance(NODES)
    room.cluster.get(KEY)
    standing = workload(room)
    edited = _noted(workspace(LLAMA, **after), notes[1])
    room.cluster.patch(
        KEY,
        lambda live: {**live, "inference": edited["inference"], "metadata": _with_notes(live, edited)},
        room.writer(),
    )
    room.cluster.get(KEY)
    changed = workload(room)
    fresh = Room(room.world.folder / "new", room.cluster.objects.options["kaito"])
    fresh.put_workspace(edited)
    fresh.world.clock.advance(NODES)
    fresh.cluster.get(KEY)
    new = workload(fresh)
    assert standing is not None
    assert changed is not None
    assert new is not None
    lines = [
        options_in(each["spec"]["template"]["spec"]["containers"][0]["command"]) for each in (changed, new)
    ]
    place = "" if room.cluster.objects.options["kaito"] in NEWER else "template.spec."
    paths = [each.removeprefix(place) for each in differences(standing["spec"], changed["spec"])]
    return {
        "changedInStanding": paths,
        "argumentsOnlyInNew": {key: text for key, text in lines[1].items() if key not in lines[0]},
        "argumentsOnlyInStanding": sorted(lines[0].keys() - lines[1].keys()),
    }


def _noted(value: Object, notes: dict[str, str]) -> Object:
    return {**value, "metadata": {**value["metadata"], "annotations": dict(notes)}}


def _with_notes(live: Object, edited: Object) -> Object:
    kept = {
        name: text
        for name, text in live["metadata"]["annotations"].items()
        if not name.startswith("kaito.sh/")
    }
    return {**live["metadata"], "annotations": {**kept, **edited["metadata"]["annotations"]}}


_SERVICE, _SET = Key(SERVICE, HOME, "w"), Key(STORED["statefulsets.apps"], HOME, "w")


def _without_ports(room: Room) -> None:
    service = room.cluster.objects.find(_SERVICE)
    assert service is not None
    ports = [{"name": "http", "port": 8080, "targetPort": 5000}]
    room.cluster.objects.save(_SERVICE, {**service, "spec": {**service["spec"], "ports": ports}})


def _scaled(room: Room) -> None:
    there = room.cluster.objects.find(_SET)
    assert there is not None
    room.cluster.objects.save(_SET, {**there, "spec": {**there["spec"], "replicas": 0}})


def _five(room: Room) -> None:
    there = room.cluster.objects.find(KEY)
    assert there is not None
    room.cluster.objects.save(KEY, {**there, "status": {**there["status"], "targetNodeCount": 5}})


BY_HAND: dict[str, Callable[[Room], None]] = {
    "by hand: Service deleted": lambda room: room.cluster.objects.remove(_SERVICE),
    "by hand: Service ports changed": _without_ports,
    "by hand: StatefulSet deleted": lambda room: room.cluster.objects.remove(_SET),
    "by hand: StatefulSet scaled to 0": _scaled,
    "by hand: NodeClaim deleted": lambda room: room.cluster.objects.remove(
        Key(NODE_CLAIM, "", claims(room)[0]["metadata"]["name"])
    ),
    "by hand: status.targetNodeCount set to 5": _five,
}


@pytest.mark.parametrize("release", NEWER, indirect=True)
def test_what_is_changed_by_hand_is_repaired_as_by_kaito(tmp_path: Path, release: str) -> None:
    wrong = []
    for number, (name, change) in enumerate(BY_HAND.items()):
        case = facts("conditions", release)["cases"][name]
        room = Room(tmp_path / str(number), release)
        room.put_workspace(workspace())
        room.world.clock.advance(READY)
        room.cluster.get(KEY)
        change(room)
        room.cluster.get(KEY)
        service, made = room.cluster.objects.find(_SERVICE), workload(room)
        ports = [
            f"{each['name']} {each['port']}->{each['targetPort']}"
            for each in (service or {})["spec"]["ports"]
        ]
        found = {
            "nodeClaims": len(claims(room)),
            "ports": ports,
            "replicas": made["spec"]["replicas"] if made else None,
            "service": service is not None,
            "workload": made is not None,
        }
        wrong += [(name, found, case)] if found != case else []
    assert wrong == []


@pytest.mark.parametrize("release", NEWER, indirect=True)
def test_the_objects_made_for_a_workspace_say_whose_they_are(room: Room, release: str) -> None:
    made = facts("conditions", release)["cases"]["objects made for a Workspace"]
    room.put_workspace(workspace())
    room.world.clock.advance(NODES)
    value = room.cluster.get(KEY)
    [claim] = claims(room)
    wanted = made["nodeClaim"]
    assert value["metadata"]["finalizers"] == made["finalizers"]
    assert claim["metadata"]["labels"] == wanted["labels"]
    assert claim["metadata"]["annotations"] == wanted["annotations"]
    assert {row["key"]: row["values"] for row in claim["spec"]["requirements"]} == wanted["requirements"]
    assert claim["spec"]["nodeClassRef"] == wanted["nodeClass"]
    assert claim["spec"]["taints"] == wanted["taints"]
    pod = (workload(room) or {})["spec"]["template"]["spec"]
    assert pod["tolerations"] == made["tolerations"]
    assert json.dumps(pod["affinity"], sort_keys=True) == json.dumps(made["affinity"], sort_keys=True)
    names = [each["metadata"]["name"] for each in room.cluster.objects.all(SERVICE, HOME)]
    assert names == made["services"]


def test_a_workspace_goes_before_its_nodes(room: Room, release: str) -> None:
    """All releases ask for the deletion of the NodeClaims, and wait for nothing."""
    case = facts("conditions", release)["cases"]["delete: NodeClaim holds its finalizer"]
    room.put_workspace(workspace())
    room.world.clock.advance(READY)
    room.cluster.get(KEY)
    room.world.options["kubernetes"].change({"deleted_after": 0, "nodes_deleted_after": 300})
    room.cluster.delete(KEY, Deletion(), room.writer())
    there = room.cluster.objects.find(KEY)
    assert (there is not None) == case["thereAfterReconcile"]
    assert len(claims(room)) == case["nodeClaims"]
    going = [each for each in claims(room) if "deletionTimestamp" in each["metadata"]]
    assert len(going) == case["nodeClaimsDeleting"]
    room.world.clock.advance(301)
    room.cluster.look(NODE_CLAIM, None)
    assert claims(room) == []
