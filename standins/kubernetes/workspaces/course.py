"""How one Workspace's life goes: when its nodes come, when its pods are ready, what goes wrong."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from standins.kubernetes.kaito import deleted_at, seconds
from standins.kubernetes.kinds import Object
from standins.kubernetes.workspaces import failures
from standins.kubernetes.workspaces.failures import Failure
from standins.kubernetes.workspaces.tables import Release
from standins.world import Options

#: A NodeClaim says nothing in its first minute.
SILENCE = 60.0


@dataclass(frozen=True)
class Course:
    """Times in seconds since 1970. `claims` and `nodes` are names; a node that was there before has no
    NodeClaim. `count` is how many nodes were counted, `error` what KAITO's reconciler says where it stops
    before it orders one.
    """

    release: Release
    created: float
    nodes_at: float
    ready_at: float
    claims: tuple[str, ...]
    nodes: tuple[str, ...]
    failure: Failure | None = None
    count: int = 0
    error: str = ""

    @property
    def reason(self) -> str:
        return self.failure.reason if self.failure else ""

    @property
    def has_node(self) -> bool:
        return self.failure is None or self.failure.has_node

    @property
    def has_gpu(self) -> bool:
        return self.failure is None or self.failure.has_gpu

    def had_machines(self, now: float) -> bool:
        """Whether its nodes were there and are lost, so that what was made on them still stands."""
        return self.failure is not None and self.failure.state.get("node") == "lost" and now >= self.ready_at

    def has_machines(self, now: float) -> bool:
        return bool(self.nodes) and self.has_node and now >= self.nodes_at and not self.had_machines(now)

    def is_serving(self, now: float) -> bool:
        """Whether the pods are ready."""
        if now < self.ready_at:
            return False
        return self.failure is None or self.failure.gets_ready or not self.failure.is_known

    def message(self, usual: str) -> str:
        return self.failure.message(usual) if self.failure else usual


def course(
    workspace: Object, options: Options, release: Release, wanted: tuple[int, str], adopted: str | None
) -> Course:
    """`wanted` is how many nodes were counted, and why none is ordered; `adopted` is the node of an earlier
    Workspace that this one found and uses.
    """
    count, error = wanted
    created = seconds(workspace["metadata"]["creationTimestamp"])
    nodes_at = created if adopted else created + options["nodes_ready_after"]
    ready_at = max(nodes_at, created + options["inference_ready_after"])
    claims = (
        () if adopted else tuple(claim_name(workspace, number) for number in range(0 if error else count))
    )
    nodes = (adopted,) if adopted else tuple(node_name(claim) for claim in claims)
    failure = failures.of(workspace, options)
    return Course(release, created, nodes_at, ready_at, claims, nodes, failure, count, error)


def claim_name(workspace: Object, number: int) -> str:
    """The NodeClaim, and the AKS node pool of its node: `ws` and nine hexadecimal digits."""
    text = workspace["metadata"]["uid"] + (f"/{number}" if number else "")
    return f"ws{hashlib.sha256(text.encode()).hexdigest()[:9]}"


def node_name(claim: str) -> str:
    return f"aks-{claim}-{int(hashlib.sha256(claim.encode()).hexdigest()[:12], 16) % 10**8:08d}-vmss000000"


def until_deleted(workspace: Object, now: float) -> float:
    """The time until which anything happens."""
    deleted = deleted_at(workspace)
    return now if deleted is None else min(now, deleted)
