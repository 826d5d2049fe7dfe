"""What the webhook says of a new Workspace (api/v1beta1/workspace_validation.go, `validateCreate`)."""

from __future__ import annotations

from collections.abc import Iterator

from standins.kubernetes.amounts import amount, memory
from standins.kubernetes.kinds import Object
from standins.kubernetes.workspaces import inference_config, tuning
from standins.kubernetes.workspaces.problems import (
    Problem,
    duplicate_names,
    invalid_value,
    missing,
    selector_problem,
)
from standins.kubernetes.workspaces.review import TRANSFORMERS, VLLM, Review, runtime_of
from standins.kubernetes.workspaces.tables import DEPRECATED, Preset, Size

_SIZE = "resource.instanceType"
_BYPASS = "kaito.sh/bypass-resource-checks"
_MODE, _IMAGE, _LOCAL = (
    f"kaito.sh/{name}" for name in ("performance-mode", "node-image-family", "use-local-weights")
)
_RESERVED = frozenset(
    (
        *(
            "kaito.sh/workspace",
            "kaito.sh/ragengine",
            "kaito.sh/workspacenamespace",
            "kaito.sh/ragenginenamespace",
        ),
        *(f"karpenter.kaito.sh/{name}" for name in ("workspace-name", "workspace-namespace")),
        *(f"karpenter.kaito.sh/{name}" for name in ("inferenceset", "inferenceset-namespace")),
    )
)
_MAX_ADAPTERS = 10
_GIB = 2**30


def problems(review: Review) -> Iterator[Problem]:
    """Raises `Panicked`."""
    value = review.value
    if "inference" in value and "tuning" in value:
        yield "Either Inference or Tuning must be specified, but not both", "spec"
    if "inference" not in value and "tuning" not in value:
        yield "Either Inference or Tuning must be specified, not neither", "spec"
    if not review.is_add_on and not review.size:
        yield missing("spec.instanceType is required when node auto-provisioning is enabled")
        yield missing(f"spec.{_SIZE}")
    if review.release.is_newer:
        yield from _annotations(review)
    if "inference" in value:
        yield from _resource(review)
        yield from _inference(review)
        yield from _config(review)
    if "tuning" in value:
        yield from tuning.on_create(review)


def _annotations(review: Review) -> Iterator[Problem]:
    notes = review.annotations
    if notes.get(_IMAGE, "ubuntu").strip().lower() not in ("ubuntu", "azurelinux"):
        text = (
            f"unsupported node image family {_quoted(notes[_IMAGE])}, supported values are azurelinux, ubuntu"
        )
        yield invalid_value(text, f'spec.metadata.annotations["{_IMAGE}"]')
    if notes.get(_MODE, "balanced") not in ("balanced", "interactivity", "throughput"):
        modes = "choose one of: balanced, interactivity, throughput"
        text = f"{_quoted(notes[_MODE])} is not a valid performance mode; {modes}"
        yield invalid_value(text, f"metadata.annotations[{_MODE}]")
    if review.release.name == "0.12" and notes.get(_LOCAL, "true") not in ("true", "false"):
        text = f'{_quoted(notes[_LOCAL])} must be "true" or "false"'
        yield invalid_value(text, f"metadata.annotations[{_LOCAL}]")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'


# Its nodes


def _resource(review: Review) -> Iterator[Problem]:
    preset = review.inference.get("preset")
    name = "" if preset is None else preset["name"].lower()
    if preset is not None and not review.release.is_valid(name):
        if name in DEPRECATED and not review.is_add_on:
            yield f"Model {name} is deprecated and no longer supported", "resource.presetName"
        return
    in_selector = list(_selector(review))
    size = review.release.size(review.size)
    yield from in_selector
    if in_selector and not review.is_add_on:
        return
    if size is None and not review.release.is_family(review.size):
        supported = " ".join(sorted(review.release.sizes))
        yield invalid_value(f"Unsupported instance type {review.size}. Supported SKUs: [{supported}]", _SIZE)
    if size is not None and name:
        yield from _memory(review, size, name)


def _selector(review: Review) -> Iterator[Problem]:
    selector = review.resource.get("labelSelector", {})
    if problem := selector_problem(selector):
        yield invalid_value(problem, "resource.labelSelector")
        return
    labels = selector.get("matchLabels")
    if review.release.is_newer and labels and _RESERVED.issuperset(labels):
        text = "matchLabels must contain at least one non-reserved label"
        yield invalid_value(text, "resource.labelSelector.matchLabels")
    elif review.release.name == "0.12" and review.resource.get("partition") is not None:
        text = "GPU partitioning is only supported with BYO nodes (disableNodeAutoProvisioning=true)"
        yield text, "resource.partition"


def _memory(review: Review, size: Size, name: str) -> Iterator[Problem]:
    """0.6 looks at the memory always, later releases only where no vLLM runs."""
    preset = review.release.preset(name)
    if preset is None or (not review.is_add_on and runtime_of(review.value) == VLLM):
        return
    if _BYPASS not in review.annotations:
        yield from (invalid_value(text, _SIZE) for text in _too_small(review, size, preset, name))
    is_spread = preset.row.get("severalNodes", False) and runtime_of(review.value) == TRANSFORMERS
    if preset.weights and is_spread and amount(preset.weights) > size.gib * _GIB:
        yield "Multi-node distributed inference is not supported with Huggingface Transformers runtime", ""


def _too_small(review: Review, size: Size, preset: Preset, name: str) -> Iterator[str]:
    gpus, gib = review.count * size.gpus, review.count * size.gib
    wanted = int(preset.row.get("gpus", _GPUS_BEFORE_0_11.get(preset.name, 1)))
    if not review.release.is_newer and gpus < wanted:
        yield (
            f"Insufficient number of GPUs: Instance type {review.size} provides {gpus}, but preset {name} "
            f"requires at least {wanted}"
        )
    per_gpu = str(preset.row.get("perGpuMemory") or "0Gi")
    if review.is_add_on and size.gib // size.gpus * _GIB < amount(per_gpu):
        yield (
            f"Insufficient per GPU memory: Instance type {review.size} provides {size.gib // size.gpus}Gi "
            f"per GPU, but preset {name} requires at least {memory(per_gpu)} per GPU"
        )
    if preset.weights and gib * _GIB < amount(preset.weights):
        total = memory(f"{gib}Gi")
        yield (
            f"Insufficient total GPU memory: Instance type {review.size} has a total of {total}, but preset "
            f"{name} requires at least {memory(preset.weights)}"
        )


#: GPUs that 0.8 demands of a node without vLLM, where it is more than one.
_GPUS_BEFORE_0_11 = {"falcon-40b": 2, "falcon-40b-instruct": 2}


# Its model


def _inference(review: Review) -> Iterator[Problem]:
    inference = review.inference
    preset, adapters = inference.get("preset"), inference.get("adapters") or []
    if preset is None and inference.get("template") is None:
        yield missing("inference.Preset or Template must be specified")
    if preset is not None and inference.get("template") is not None:
        yield "Preset and Template cannot be set at the same time", ""
    if preset is not None:
        if not review.release.is_valid(preset["name"]):
            yield invalid_value(f"Unsupported inference preset name {preset['name']}", "inference.presetName")
            return
        yield from _running(review, adapters)
        yield from _access(review, preset)
    if len(adapters) > _MAX_ADAPTERS:
        yield f"Number of Adapters exceeds the maximum limit, maximum of {_MAX_ADAPTERS} allowed", ""
    yield from duplicate_names(adapters)


def _running(review: Review, adapters: list[Object]) -> Iterator[Problem]:
    preset = review.preset
    said = []
    if runtime_of(review.value) == TRANSFORMERS:
        if review.release.is_newer and not (preset and preset.has_transformers):
            name = _model_name(preset) if preset else review.inference["preset"]["name"].lower()
            said.append(f"model {name} does not support inference with Huggingface Transformers runtime")
    else:
        if adapters and preset and preset.name.startswith("falcon-7b"):
            said.append(f"vLLM does not support LoRA adapters for this model: {preset.name}")
        if any(adapter.get("strength") is not None for adapter in adapters):
            said.append("vLLM does not support adapter strength")
    if said:
        yield f"Runtime validation: {'; '.join(said)}", ""


def _model_name(preset: Preset) -> str:
    """The name under which a model is served, which is that of its metadata."""
    return str(preset.row.get("served") or preset.name.rpartition("/")[2].lower())


def _access(review: Review, preset: Object) -> Iterator[Problem]:
    """From 0.11 every model may have a secret, and none that is in the tables needs one."""
    known = review.release.preset(preset["name"])
    if not review.knows_secrets or review.release.is_newer or known is None:
        return
    has_secret = bool((preset.get("presetOptions") or {}).get("modelAccessSecret"))
    with_key = "modelAccessSecret with HF_TOKEN key under presetOptions"
    if has_secret and not known.downloads:
        yield f"This preset does not require a {with_key}", ""
    if not has_secret and known.downloads and review.is_add_on:
        yield f"This preset requires a {with_key} to download the model", ""
    if not has_secret and known.name.startswith("llama-") and not review.is_add_on:
        yield f"This preset requires authentication and needs a {with_key} to download the model", ""


# Its configuration


def _config(review: Review) -> Iterator[Problem]:
    """Only vLLM's is looked at. Before 0.11 a default one, which sets no context, is there always."""
    if runtime_of(review.value) != VLLM:
        return
    name, namespace = review.inference.get("config"), review.namespace
    settings: dict[str, str] = {}
    if name:
        there = review.config_map(namespace, name)
        if there is None:
            yield f"ConfigMap '{name}' specified in 'config' not found in namespace '{namespace}'", "config"
            return
        content = (there.get("data") or {}).get(inference_config.FILE)
        if content is None:
            yield missing(f"{inference_config.FILE} in ConfigMap")
            return
        try:
            settings = inference_config.settings(content)
        except inference_config.Unreadable as error:
            yield f"Failed to parse {inference_config.FILE}: {error}", inference_config.FILE
            return
    yield from _context(review, settings.get("max-model-len", ""))


def _context(review: Review, written: str) -> Iterator[Problem]:
    if review.is_add_on:
        if not written and _needs_context(review):
            yield missing(
                "max-model-len is required in the vllm section of inference_config.yaml when using multi-GPU "
                "instances with <20GB of memory per GPU or distributed inference"
            )
        return
    preset = review.preset
    if not written.strip() or preset is None or not preset.limit:
        return
    if problem := inference_config.integer_problem(written.strip()):
        yield invalid_value(f"max-model-len must be an integer: {problem}", "max-model-len")
    elif int(written) > preset.limit:
        text = f"max-model-len {int(written)} exceeds model's maximum supported context window {preset.limit}"
        yield invalid_value(f"{text} (ModelTokenLimit)", "max-model-len")


def _needs_context(review: Review) -> bool:
    size = review.release.size(review.size)
    return review.count > 1 or (size is not None and size.gpus > 1 and size.gib // size.gpus < 20)
