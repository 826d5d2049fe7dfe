"""What all stand-ins share: the folder, the clock, the list of calls, the faults, the certificates."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from standins.clock import Clock
from standins.store import Store

#: Accounts that the stand-ins accept. They protect nothing: every server listens on a loopback address only.
TENANT = "11111111-1111-4111-8111-111111111111"
SUBSCRIPTION = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Call:
    """One request a stand-in answered. `kind` is the operation, for instance `PUT product` or `send access-changes`."""

    server: str
    kind: str
    target: str
    status: int
    at: float
    seconds: float


@dataclass
class Fault:
    """What shall go wrong: `count` calls whose `kind` matches the pattern, before or after they took effect.

    `status` is the HTTP status to answer with; 0 closes the connection without an answer.
    """

    server: str
    kind: str
    when: Literal["before", "after"] = "before"
    status: int = 503
    count: int = 1
    retry_after: int | None = None

    def matches(self, server: str, kind: str, when: str) -> bool:
        return self.count > 0 and self.when == when and self.server == server and re.fullmatch(self.kind, kind) is not None


@dataclass
class World:
    """One set of stand-ins. `addresses` maps a server's name to its base URL (or `host:port` for Service Bus)."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    addresses: dict[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._kept = self.store("world").table("clock")
        self.clock.offset = float(self._kept.get("offset", 0.0))

    def advance(self, seconds: float) -> None:
        """Move the clock forward, for this run and, since the state keeps its dates, for later ones."""
        self.clock.advance(seconds)
        self._kept["offset"] = self.clock.offset

    def store(self, name: str) -> Store:
        return Store(self.folder / f"{name}.sqlite")

    def record(self, server: str, kind: str, target: str, status: int, started: float) -> None:
        """Note a call. `started` is from `time.perf_counter()`."""
        self.calls.append(Call(server, kind, target, status, self.clock.now(), time.perf_counter() - started))

    def take_fault(self, server: str, kind: str, when: Literal["before", "after"]) -> Fault | None:
        """The fault that this call shall meet, used up by one."""
        for fault in self.faults:
            if fault.matches(server, kind, when):
                fault.count -= 1
                return fault
        return None

    def loud(self, server: str, text: str) -> None:
        """Say on standard error what a stand-in refused because it does not know it."""
        print(f"[{server}] {text}", file=sys.stderr, flush=True)


def as_json(call: Call) -> Mapping[str, Any]:
    return asdict(call)
