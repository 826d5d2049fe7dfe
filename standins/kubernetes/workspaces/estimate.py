"""How many nodes a Workspace gets: `status.targetNodeCount`, looked up in the printed tables."""

from __future__ import annotations

import re

from standins.kubernetes.kinds import CONFIG_MAP, SECRET, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.workspaces import inference_config
from standins.kubernetes.workspaces.review import VLLM, runtime_of
from standins.kubernetes.workspaces.tables import CONTEXTS, Release

#: Above this 0.11 orders no node at all.
MOST_IN_0_11 = 3
_LONG_WAY = "failed to update Workspace status targetNodeCount: failed to calculate target node count: "
_ERROR = re.compile(r"e(\d+)")


class Uncounted(Exception):
    """With the text of KAITO's reconciler: no node is ordered."""


def target(objects: Objects, release: Release, workspace: Object) -> int:
    """The count for a Workspace that has none yet. Raises `Uncounted`."""
    count = workspace.get("resource", {}).get("count")
    wished = 1 if count is None else int(count)
    inference = workspace.get("inference", {})
    if release.name == "0.6" or "inference" not in workspace:
        return wished
    if runtime_of(workspace) != VLLM:
        return wished
    if inference.get("preset") is None:
        return 1
    _look_for_token(objects, release, workspace)
    return _counted(release, workspace, _context(objects, workspace))


def halted(release: Release, workspace: Object, count: int) -> str | None:
    """Why 0.11 orders nothing."""
    if release.name != "0.11" or "inference" not in workspace or count <= MOST_IN_0_11:
        return None
    return (
        f"estimated node count {count} exceeds the maximum allowed {MOST_IN_0_11}; node provisioning halted. "
        "Use a larger GPU instance type or reduce model/context size."
    )


def _look_for_token(objects: Objects, release: Release, workspace: Object) -> None:
    """From 0.11 the token of a model that is named by its id is looked for before anything is counted."""
    preset, namespace = workspace["inference"]["preset"], workspace["metadata"]["namespace"]
    secret = (preset.get("presetOptions") or {}).get("modelAccessSecret")
    if not secret or not release.is_newer or "/" not in preset["name"]:
        return
    there = objects.find(Key(SECRET, namespace, secret))
    if there is None:
        why = f'failed to get secret: {secret} in namespace: {namespace}, error: secrets "{secret}" not found'
    elif "HF_TOKEN" not in (there.get("data") or {}):
        why = f"HF_TOKEN not found in secret: {secret} in namespace: {namespace}"
    else:
        return
    name = preset["name"]
    raise Uncounted(
        f'failed to build node estimate request: failed to resolve access token for model "{name}": {why}'
    )


def _context(objects: Objects, workspace: Object) -> int:
    """The context in tokens; a ConfigMap that is not there changes nothing."""
    name = workspace["inference"].get("config")
    there = objects.find(Key(CONFIG_MAP, workspace["metadata"]["namespace"], name)) if name else None
    content = ((there or {}).get("data") or {}).get(inference_config.FILE)
    return (inference_config.context(content) if content else None) or CONTEXTS[0]


def _counted(release: Release, workspace: Object, context: int) -> int:
    """Between two printed contexts the next longer one counts, above the longest that one; a model of which
    nothing was printed gets one node.
    """
    name, size = workspace["inference"]["preset"]["name"], workspace["resource"].get("instanceType", "")
    known = release.size(size)
    if known is None:
        why = f"invalid value: Unsupported SKU '{size}' for cloud provider: sku"
        raise Uncounted(f"{_LONG_WAY}failed to get GPU config for instance type {size}: {why}")
    preset = release.preset(name)
    row = (preset.row.get("nodes") or {}).get(known.name) if preset else None
    if not row:
        return 1
    column = sum(1 for each in CONTEXTS if each < context)
    found = row[min(column, len(row) - 1)]
    if isinstance(found, str) and (number := _ERROR.fullmatch(found)):
        raise Uncounted(release.errors[int(number[1])])
    return int(found)
