"""What shall go wrong, and how slow the services are: told by the control interface, repeatable by a seed."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

When = Literal["before", "after", "later"]


@dataclass
class Fault:
    """Calls of `server` whose kind matches the pattern `kind` fail, before or after they took effect; or
    later: the call is taken, and the long-running operation that it began ends with `code` (and `body` as its
    message), without any effect.

    `status` is the HTTP status to answer with, `code` the service's word for the error; 0 closes the
    connection without an answer; None lets the call succeed, so that only `seconds` matters: how long it
    hangs first, in real time. A timeout is `status=0` and more seconds than the client's patience. `count` is
    how many calls fail (None: until the faults are forgotten), `probability` the share of the matching calls
    that do. `body` (any text, in place of the error's) and `headers` make answers that no service gives, such
    as a link to another host.
    """

    server: str
    kind: str
    when: When = "before"
    status: int | None = 503
    count: int | None = 1
    probability: float = 1.0
    seconds: float = 0.0
    retry_after: int | None = None
    code: str = "Injected"
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        re.compile(self.kind)
        if self.when not in ("before", "after", "later"):
            raise ValueError("a fault strikes before or after the effect, or later")

    def matches(self, server: str, kind: str, when: When) -> bool:
        left = self.count is None or self.count > 0
        return (
            left and self.when == when and self.server == server and re.fullmatch(self.kind, kind) is not None
        )


@dataclass(frozen=True)
class Latency:
    """A log-normal spread of seconds around the median; `slowest` cuts it off."""

    median: float
    slowest: float

    def draw(self, source: random.Random) -> float:
        return min(self.slowest, self.median * math.exp(source.gauss(0.0, 0.45)))


#: Latency profiles: server -> pattern of kinds -> latency, the first that matches; no entry: at once.
#: Resource Manager's medians are those of a public recording of a live service, less about 0.15 s of distance
#: to it (product PUT 0.43 s, policy PUT 0.43 s, subscription PUT 0.65 s and DELETE 0.75 s, listSecrets 0.37
#: s, GET 0.36 s, PUT 0.53 s, slowest PUT 2.55 s). The others are estimates.
PROFILES: Mapping[str, Mapping[str, Mapping[str, Latency]]] = {
    "none": {},
    "azure": {
        "resource-manager": {
            "PUT product": Latency(0.28, 2.4),
            "PUT product policy": Latency(0.28, 2.4),
            "PUT subscription": Latency(0.50, 2.4),
            "DELETE subscription": Latency(0.60, 2.4),
            "POST subscription listSecrets": Latency(0.22, 1.5),
            "(GET|HEAD|LIST) .*": Latency(0.21, 1.5),
            ".*": Latency(0.38, 2.4),
        },
        "key-vault": {"(GET|LIST) .*": Latency(0.05, 0.5), ".*": Latency(0.10, 0.5)},
        "kubernetes": {".*": Latency(0.03, 0.3)},
        "github": {"webhook .*": Latency(0.5, 3.0), ".*": Latency(0.12, 1.0)},
        "identity": {".*": Latency(0.03, 0.3)},
        "service-bus": {"(send|schedule|complete|deadletter) .*": Latency(0.01, 0.2)},
    },
}


@dataclass
class Trouble:
    """The faults and the latency in force. `seed` makes both repeatable, as far as the order of the calls
    is.
    """

    faults: list[Fault] = field(default_factory=list)
    profile: str = "none"
    _source: random.Random = field(default_factory=random.Random)

    def seed(self, seed: int) -> None:
        self._source.seed(seed)

    def use_profile(self, name: str) -> None:
        if name not in PROFILES:
            raise ValueError(f"there is no latency profile {name}; there are {', '.join(PROFILES)}")
        self.profile = name

    def take(self, server: str, kind: str, when: When) -> Fault | None:
        """The fault that this call shall meet, used up by one."""
        for fault in self.faults:
            if fault.matches(server, kind, when) and self._source.random() < fault.probability:
                if fault.count is not None:
                    fault.count -= 1
                return fault
        return None

    def choose(self, weights: Sequence[float]) -> int:
        """The number of one of them, by chance."""
        return self._source.choices(range(len(weights)), weights)[0]

    def latency(self, server: str, kind: str) -> float:
        """Seconds by which the answer to this call is late."""
        for pattern, latency in PROFILES[self.profile].get(server, {}).items():
            if re.fullmatch(pattern, kind):
                return latency.draw(self._source)
        return 0.0
