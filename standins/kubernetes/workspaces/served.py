"""What the model server in a pod calls its model: the last name that its command and its configuration give
(presets/workspace/inference/vllm/inference_api.py: the configuration is appended to the arguments).
"""

from __future__ import annotations

import re

from standins.kubernetes.kinds import CONFIG_MAP, Object
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.workspaces.inference_config import FILE, Unreadable, settings

_NAME = re.compile(r"--served[-_]model[-_]name[= ](\S+)")
_KEYS = ("served-model-name", "served_model_name")


def served_name(objects: Objects, pod: Object) -> str | None:
    """None where neither says one."""
    containers = pod["spec"].get("containers") or [{}]
    words = " ".join(map(str, [*containers[0].get("command", []), *containers[0].get("args", [])]))
    said = [found.strip("'\"") for found in _NAME.findall(words)]
    configured = _configured(objects, pod) if "--kaito-config-file" in words else {}
    said += [configured[key] for key in _KEYS if key in configured]
    return said[-1] if said else None


def _configured(objects: Objects, pod: Object) -> dict[str, str]:
    for volume in pod["spec"].get("volumes", []):
        name = (volume.get("configMap") or {}).get("name", "")
        found = objects.find(Key(CONFIG_MAP, pod["metadata"]["namespace"], name)) if name else None
        if found is not None and FILE in found.get("data", {}):
            try:
                return settings(found["data"][FILE])
            except Unreadable:
                return {}
    return {}
