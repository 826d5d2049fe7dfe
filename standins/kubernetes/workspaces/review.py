"""What KAITO's webhook looks at: a Workspace, the one before an update, and the objects around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from standins.kubernetes.kinds import ADD_ON_WORKSPACE, Kind, Object
from standins.kubernetes.workspaces.tables import Preset, Release

#: A ConfigMap by namespace and name.
FindConfigMap = Callable[[str, str], Object | None]
RUNTIME, TRANSFORMERS, VLLM = "kaito.sh/runtime", "transformers", "vllm"


@dataclass(frozen=True)
class Review:
    """A Workspace before the webhook."""

    release: Release
    kind: Kind
    value: Object
    config_map: FindConfigMap

    @property
    def is_add_on(self) -> bool:
        """Whether it is 0.6, which the AKS add-on had for long."""
        return self.release.name == "0.6"

    @property
    def namespace(self) -> str:
        return str(self.value["metadata"].get("namespace", ""))

    @property
    def annotations(self) -> dict[str, str]:
        return self.value["metadata"].get("annotations") or {}

    @property
    def resource(self) -> Object:
        return self.value.get("resource") or {}

    @property
    def inference(self) -> Object:
        return self.value.get("inference") or {}

    @property
    def size(self) -> str:
        return self.resource.get("instanceType") or ""

    @property
    def count(self) -> int:
        count = self.resource.get("count")
        return 1 if count is None else int(count)

    @property
    def preset(self) -> Preset | None:
        """What the tables say of the preset, whose name may be written in any case here."""
        name = (self.inference.get("preset") or {}).get("name", "").lower()
        return self.release.preset(name)

    @property
    def knows_secrets(self) -> bool:
        """v1alpha1 has no field for a secret, and no rule about one."""
        return self.kind is not ADD_ON_WORKSPACE


def runtime_of(workspace: Object) -> str:
    """Which server runs the model: `vllm` unless the annotation says `transformers`."""
    wish = (workspace["metadata"].get("annotations") or {}).get(RUNTIME)
    return TRANSFORMERS if wish == TRANSFORMERS else VLLM
