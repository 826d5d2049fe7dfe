"""The argument line of a model's server (pkg/model/interface.go, `buildVLLMInferenceCommand`): what was
printed of the model on one size, changed for the size, the nodes, the configuration and the adapters of a
Workspace.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from standins.kubernetes.amounts import amount
from standins.kubernetes.kinds import Object
from standins.kubernetes.workspaces.review import TRANSFORMERS, runtime_of
from standins.kubernetes.workspaces.tables import Preset, Release, Size

CONFIG_FILE = "/mnt/config/inference_config.yaml"
_MODE = "kaito.sh/performance-mode"
_SET = "inferenceset.kaito.sh/created-by"
_NO_OFFLOAD = "kaito-kv-cache-cpu-memory-utilization"
_GIB = 2**30
#: What 0.6 keeps of each GPU for other things than the cache, in GiB, and the most that it gives vLLM.
_RESERVED, _MOST = 1.5, 0.95


@dataclass(frozen=True)
class Place:
    """Where a model runs."""

    size: Size
    nodes: int


def arguments(release: Release, preset: Preset, place: Place, workspace: Object) -> dict[str, str]:
    """The arguments by name; a switch has an empty text."""
    if runtime_of(workspace) == TRANSFORMERS:
        return {"served_model_name": _name(preset)} if release.is_newer else {}
    found = _printed(preset)
    found["served-model-name"] = found.get("served-model-name", preset.name)
    _spread(found, release, preset, place)
    if release.name == "0.8":
        found.pop("max-model-len", None)
        context = _planned_context(preset, place)
        found |= {"max-model-len": str(context)} if context else {}
    inference = workspace["inference"]
    if inference.get("adapters") and not preset.name.startswith("falcon-7b"):
        found["enable-lora"] = ""
    if inference.get("config") or not release.is_newer:
        found["kaito-config-file"] = CONFIG_FILE
    if release.is_newer:
        _wishes(found, workspace)
    return found


def command(release: Release, found: dict[str, str], workspace: Object) -> list[str]:
    """The command of the container; on several nodes only the first one of them serves."""
    is_vllm = runtime_of(workspace) != TRANSFORMERS
    program = (
        "python3 /workspace/vllm/inference_api.py"
        if is_vllm
        else "accelerate launch /workspace/tfs/inference_api.py"
    )
    prefix = "VLLM_ATTENTION_BACKEND=TRITON_ATTN " if release.name == "0.8" and is_vllm else ""
    words = [f"--{name}={text}" if text else f"--{name}" for name, text in found.items()]
    line = " ".join([f"{prefix}{program}", *words])
    nodes = found.get("pipeline-parallel-size")
    if nodes:
        metadata = workspace["metadata"]
        leader = f"{metadata['name']}-0.{metadata['name']}-headless.{metadata['namespace']}.svc.cluster.local"
        script = "/workspace/vllm/multi-node-serving.sh"
        line = (
            f'if [ "${{POD_INDEX}}" = "0" ]; then {script} leader --ray_cluster_size={nodes} '
            f"--ray_port=6379; {line}; else {script} worker --ray_address={leader} --ray_port=6379; fi"
        )
    return ["/bin/sh", "-c", line]


def _printed(preset: Preset) -> dict[str, str]:
    """The arguments on one node, without those that depend on it."""
    found = dict((preset.served.get("oneNode") or {}).get("args") or {})
    if "data-parallel-size" in found:
        found.pop(_NO_OFFLOAD, None)
    for name in ("data-parallel-size", "pipeline-parallel-size", "distributed-executor-backend"):
        found.pop(name, None)
    return found


def _name(preset: Preset) -> str:
    return str(preset.row.get("served") or preset.name)


def _spread(found: dict[str, str], release: Release, preset: Preset, place: Place) -> None:
    gpus, nodes = place.size.gpus, place.nodes
    is_spread = nodes > 1 and bool(preset.row.get("severalNodes", True))
    found["gpu-memory-utilization"] = _utilization(release, place.size)
    if "tensor-parallel-size" in found or not preset.served:
        found["tensor-parallel-size"] = str(gpus)
    if release.is_newer and not is_spread and _fits_on_one_gpu(preset, place.size):
        found |= {"data-parallel-size": str(gpus), "tensor-parallel-size": "1", _NO_OFFLOAD: "0"}
    if not is_spread:
        return
    found["pipeline-parallel-size"] = str(nodes)
    if release.name != "0.6":
        found["distributed-executor-backend"] = "ray"
    if release.is_newer:
        found[_NO_OFFLOAD] = "0"


def _planned_context(preset: Preset, place: Place) -> int:
    """The context that 0.8 plans, 0 without one: of 84 % of a GPU's memory what the weights and a fixed part
    leave, in whole blocks of 256 tokens.
    """
    gpus, per_token = place.size.gpus, float(preset.row.get("bytesPerToken", 0))
    if not preset.weights or not per_token or not preset.limit:
        return 0
    is_split = "tensor-parallel-size" in _printed(preset)
    parts, share = (place.nodes * gpus, place.nodes / gpus) if is_split else (1, 1.0)
    free = place.size.gib * 0.84 / gpus - float(amount(preset.weights)) / _GIB * 1.02 / parts - 2.3
    return max(0, min(int(free * _GIB / (per_token * share)), preset.limit)) // 256 * 256


def _utilization(release: Release, size: Size) -> str:
    if release.name == "0.6":
        return f"{min(math.floor((1 - _RESERVED / (size.gib / size.gpus)) * 100) / 100, _MOST):.2f}"
    return "0.82" if release.name == "0.12" and size.model == "NVIDIA A10" else "0.84"


def _fits_on_one_gpu(preset: Preset, size: Size) -> bool:
    return size.gpus > 1 and bool(preset.weights) and amount(preset.weights) * 2 < size.gib * _GIB / size.gpus


def _wishes(found: dict[str, str], workspace: Object) -> None:
    metadata = workspace["metadata"]
    if set_name := (metadata.get("labels") or {}).get(_SET):
        found["served-model-name"] = set_name
    mode = (metadata.get("annotations") or {}).get(_MODE, "")
    if mode and mode != "balanced":
        found["performance-mode"] = mode
