"""What goes wrong with a Workspace, as the option `fail` orders it: the states of its NodeClaims, nodes and
pods.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from standins.kubernetes import definitions
from standins.kubernetes.kinds import Object
from standins.world import Options

_KNOWN: dict[str, dict[str, Any]] = definitions.read("failures.yaml")


@dataclass(frozen=True)
class Failure:
    """One wish of the option. A reason that is no state of an object is written into the condition
    `WorkspaceSucceeded` as it is.
    """

    reason: str
    wish: Mapping[str, Any]

    @property
    def state(self) -> Mapping[str, Any]:
        return _KNOWN.get(self.reason, {})

    @property
    def is_known(self) -> bool:
        return self.reason in _KNOWN

    @property
    def has_node(self) -> bool:
        """Whether a machine ever comes."""
        return "claim" not in self.state and self.state.get("node") != "missing"

    @property
    def has_gpu(self) -> bool:
        return self.state.get("node") != "without-gpu"

    @property
    def has_pods(self) -> bool:
        return self.state.get("pods") != "none"

    @property
    def is_late(self) -> bool:
        """Whether it happens to a Workspace that was ready before."""
        return "lost" in (self.state.get("node"), self.state.get("pods"))

    @property
    def gets_ready(self) -> bool:
        """Whether the pods get ready all the same."""
        return bool(self.state.get("ends") == "well")

    @property
    def is_looked_at_again(self) -> bool:
        """Whether KAITO's controller was restarted, and came to a workload that stands (0.6, 0.8)."""
        return bool(self.wish.get("restarted"))

    @property
    def log(self) -> str:
        """The name of what a container wrote before it ended: `definitions/logs.yaml`."""
        return str(self.wish.get("log", "unclear"))

    def message(self, usual: str) -> str:
        return str(self.wish.get("message", usual))

    def claim_condition(self) -> list[str] | None:
        """Type, status, reason and message; empty where nothing is said, None where the NodeClaim gets
        ready.
        """
        found = self.state.get("claim")
        return [*found[:3], self.message(found[3])] if found else found

    def pod_status(self, name: str) -> Object:
        """What differs in the status of the Workspace's pods, whose container has its name."""
        state, container = self.state, self.state.get("container", name)
        if "pod" in state:
            phase, reason, text = state["pod"]
            return _pod(phase, reason, self.message(text))
        if not {"waiting", "last", "ended"} & state.keys():
            return {}
        row: Object = {"name": container, "ready": False, "started": False, "restartCount": 0}
        row |= {"image": "", "imageID": ""}
        row["state"] = {"running": {}}
        if "waiting" in state:
            reason, text = state["waiting"]
            told = self.message(text) if "last" not in state else text
            row["state"] = {"waiting": {"reason": reason, **({"message": told} if told else {})}}
        if "ended" in state:
            row["state"] = {"terminated": self._end(state["ended"])}
        if "last" in state:
            row |= {"restartCount": 5, "lastState": {"terminated": self._end(state["last"])}}
        part = "containerStatuses" if container == name else "initContainerStatuses"
        is_pending = "waiting" in state and "last" not in state
        return {"phase": "Pending" if is_pending else "Running", part: [row]}

    def _end(self, state: list[Any]) -> Object:
        reason, code, text = state
        said = self.message(text)
        end = {"reason": reason, "exitCode": int(self.wish.get("exitCode", code))}
        return {**end, **({"message": said} if said else {})}


def of(workspace: Object, options: Options) -> Failure | None:
    """What is ordered for a Workspace: the first wish with its name, or with `*`."""
    metadata = workspace["metadata"]
    wishes = options["fail"] if isinstance(options["fail"], list) else [options["fail"]]
    names = (f"{metadata['namespace']}/{metadata['name']}", "*")
    wish = next((wish for wish in wishes if wish and wish["workspace"] in names), None)
    return Failure(wish["reason"], wish) if wish else None


def _pod(phase: str, reason: str, message: str) -> Object:
    if reason != "Unschedulable":
        return {
            "phase": phase,
            "containerStatuses": [],
            **({"reason": reason, "message": message} if reason else {}),
        }
    row = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
    return {"phase": phase, "conditions": [row], "containerStatuses": []}
