"""What is refused at the door: the schema of a Workspace, KAITO's admission webhook, and quotas on the number of workspaces.

The texts are those of https://github.com/kaito-project/kaito (api/v1beta1/workspace_validation.go), joined as knative joins them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from standins.kubernetes.errors import Refused, bad_request, forbidden, invalid
from standins.kubernetes.kinds import ADD_ON_WORKSPACE, Kind, Object

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-',"
    " and must start and end with an alphanumeric character"
)
_ADD_ON_PRESETS = frozenset(
    (
        "llama-3.1-8b-instruct",
        "llama-3.3-70b-instruct",
        "deepseek-r1-0528",
        "deepseek-v3-0324",
        "deepseek-r1-distill-qwen-14b",
        "deepseek-r1-distill-llama-8b",
        "falcon-7b",
        "falcon-7b-instruct",
        "falcon-40b",
        "falcon-40b-instruct",
        "mistral-7b",
        "mistral-7b-instruct",
        "phi-2",
        "phi-3-mini-4k-instruct",
        "phi-3-mini-128k-instruct",
        "phi-3-medium-4k-instruct",
        "phi-3-medium-128k-instruct",
        "phi-3.5-mini-instruct",
        "phi-4-mini-instruct",
        "phi-4",
        "qwen2.5-coder-7b-instruct",
        "qwen2.5-coder-32b-instruct",
    )
)
#: From 0.12 on these short names are kept for old manifests; any `organisation/model` of Hugging Face is a preset too.
_PRESETS = (_ADD_ON_PRESETS - {"falcon-7b", "falcon-7b-instruct", "falcon-40b", "falcon-40b-instruct", "phi-2"}) | frozenset(
    (
        "gpt-oss-20b",
        "gpt-oss-120b",
        "gemma-3-4b-instruct",
        "gemma-3-27b-instruct",
        "ministral-3-3b-instruct",
        "ministral-3-8b-instruct",
        "ministral-3-14b-instruct",
        "mistral-large-3-675b-instruct",
    )
)
#: Behind a licence at Hugging Face.
_NEED_SECRET = ("llama-", "meta-llama/")
_SKUS = (
    "Standard_NV36ads_A10_v5",
    "Standard_NV72ads_A10_v5",
    "Standard_NC24ads_A100_v4",
    "Standard_NC48ads_A100_v4",
    "Standard_NC96ads_A100_v4",
    "Standard_ND96asr_A100_v4",
    "Standard_ND96amsr_A100_v4",
    "Standard_NC40ads_H100_v5",
    "Standard_NC80adis_H100_v5",
    "Standard_ND96isr_H100_v5",
    "Standard_NCC40ads_H100_v5",
    "Standard_ND96isr_H200_v5",
    "Standard_NG32ads_V620_v1",
    "Standard_NG32adms_V620_v1",
)
#: On Azure any other size of these families is let through.
_FAMILIES = ("Standard_N", "Standard_D")


def admit_workspace(kind: Kind, value: Object, old: Object | None) -> None:
    """Raises `Refused`: 422 when the schema does not fit, 400 when KAITO's webhook denies it."""
    name = value["metadata"]["name"]
    if "resource" in value and "labelSelector" not in value["resource"]:
        raise invalid(kind, name, "resource.labelSelector: Required value")
    if "preset" in value.get("inference", {}) and not value["inference"]["preset"].get("name"):
        raise invalid(kind, name, "inference.preset.name: Required value")
    errors = list(_name_errors(value))
    errors += _creation_errors(kind, value) if old is None else _update_errors(value, old)
    if errors:
        texts = "\n".join(sorted(errors))
        raise bad_request(f'admission webhook "validation.workspace.kaito.sh" denied the request: validation failed: {texts}')


def check_quotas(kind: Kind, name: str, quotas: list[Object], used: int) -> None:
    """Raises `Refused` (403) when one more object would exceed `count/<resource>` of a quota. `used` objects are there."""
    counted = f"count/{kind.resource}"
    for quota in quotas:
        hard = quota.get("spec", {}).get("hard", {}).get(counted)
        if hard is not None and used + 1 > int(hard):
            raise forbidden(
                kind,
                name,
                f"exceeded quota: {quota['metadata']['name']}, requested: {counted}=1, used: {counted}={used}, limited: {counted}={hard}",
            )


def check_namespace(kind: Kind, name: str, namespace: Object | None, namespace_name: str) -> None:
    """Raises `Refused` when nothing can be created in the namespace: 404 without it, 403 while it is going away."""
    if namespace is None:
        raise Refused(404, "NotFound", f'namespaces "{namespace_name}" not found')
    if namespace["metadata"].get("deletionTimestamp"):
        why = f"unable to create new content in namespace {namespace_name} because it is being terminated"
        refusal = forbidden(kind, name, why)
        refusal.causes = [{"reason": "NamespaceTerminating", "message": f"namespace {namespace_name} is being terminated"}]
        raise refusal


def check_name(kind: Kind, name: str) -> None:
    """Raises `Refused` (422) unless the name fits DNS. A workspace's name must be a label; that KAITO checks."""
    subdomain = all(_LABEL.fullmatch(part) for part in name.split(".")) and len(name) <= 253
    if not (_LABEL.fullmatch(name) or (subdomain and kind.plural not in ("namespaces", "services"))):
        raise invalid(kind, name, f'metadata.name: Invalid value: "{name}": {_RULE}')


def _name_errors(value: Object) -> Iterator[str]:
    if not _LABEL.fullmatch(value["metadata"]["name"]):
        yield f"invalid value: {_RULE}: name"
    if not value.get("resource", {}).get("instanceType"):
        yield "missing field(s): instanceType is required when node auto-provisioning is enabled"


def _creation_errors(kind: Kind, value: Object) -> Iterator[str]:
    inference, tuning = value.get("inference"), value.get("tuning")
    if inference is None and tuning is None:
        yield "Either Inference or Tuning must be specified, not neither: spec"
    if inference is not None and tuning is not None:
        yield "Either Inference or Tuning must be specified, but not both: spec"
    if inference is not None:
        yield from _inference_errors(kind, inference)
    sku = value.get("resource", {}).get("instanceType")
    if sku and sku not in _SKUS and not sku.startswith(_FAMILIES):
        yield f"invalid value: Unsupported instance type {sku}. Supported SKUs: {', '.join(_SKUS)}: resource.instanceType"


def _inference_errors(kind: Kind, inference: Object) -> Iterator[str]:
    preset = inference.get("preset")
    if preset is None and inference.get("template") is None:
        yield "missing field(s): inference.Preset or Template must be specified"
    if preset is None:
        return
    if inference.get("template") is not None:
        yield "Preset and Template cannot be set at the same time: inference"
    name = preset["name"]
    known = name in _ADD_ON_PRESETS if kind is ADD_ON_WORKSPACE else name in _PRESETS or "/" in name
    if not known:
        yield f"invalid value: Unsupported inference preset name {name}: inference.presetName"
    elif name.lower().startswith(_NEED_SECRET) and not preset.get("presetOptions", {}).get("modelAccessSecret"):
        yield (
            "This preset requires authentication and needs a modelAccessSecret with HF_TOKEN key under presetOptions"
            " to download the model: inference"
        )


def _update_errors(value: Object, old: Object) -> Iterator[str]:
    for part in ("inference", "tuning"):
        if (part in value) != (part in old):
            yield f"{part.capitalize()} field cannot be toggled once set: spec.{part}"
    for name in ("count", "instanceType", "labelSelector", "partition"):
        if _at(value, "resource", name) != _at(old, "resource", name):
            yield f"field is immutable: resource.{name}"
    if "inference" in value and "inference" in old:
        if _at(value, "inference", "preset") != _at(old, "inference", "preset"):
            yield "field is immutable: inference.preset"
        if (_at(value, "inference", "template") is None) != (_at(old, "inference", "template") is None):
            yield "field cannot be unset/set if it was set/unset: inference.template"


def _at(value: Object, part: str, name: str) -> Any:
    return value.get(part, {}).get(name)
