"""What the cluster shows of a workspace beside its conditions: its pods and its NodeClaims. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.kaito.log_classes import LogClass


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a pod. `waiting` is why it does not run, empty while it runs; `end` and `exit_code` are
    reason and code of its last end, empty and None where it has not ended; `running` is since when it runs.

    `message` is what the kubelet says of why it waits. None of the texts that its program wrote is kept;
    `log` is the class of what it wrote before its last end, None where that is not known.
    """

    name: str
    is_init: bool = False
    waiting: str = ""
    message: str = ""
    end: str = ""
    exit_code: int | None = None
    running: datetime | None = None
    log: LogClass | None = None

    @property
    def is_crashing(self) -> bool:
        """Whether it was started again after an end, or waits for that: the log of its last run is kept."""
        return self.exit_code is not None and (self.waiting == "CrashLoopBackOff" or self.running is not None)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod of a workspace. `reason` and `message` are those of its status, or of the scheduler's refusal."""

    name: str
    workspace: str
    phase: str
    ready: bool = False
    going: bool = False
    reason: str = ""
    message: str = ""
    containers: tuple[Container, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeClaim:
    """Karpenter's request for a node. `node` is the node's name, empty until there is one."""

    name: str
    namespace: str
    workspace: str
    node: str = ""
    going: bool = False
    conditions: tuple[Mapping[str, Any], ...] = ()
