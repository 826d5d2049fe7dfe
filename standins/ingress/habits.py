"""What the proxies of each controller do by themselves: Envoy 1.40 as Istio and Envoy Gateway configure it,
nginx as NGINX Gateway Fabric does. Times are in seconds, 0 is none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from standins.kubernetes.kinds import Object

_MIB = 2**20
_PART = re.compile(r"(\d+)(ms|h|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True)
class Habits:
    """`timeout` is that of a route that says none, from the end of the request to that of the answer; `idle`
    is silence. `body` is the longest body in bytes. `repeats` are attempts more for a connection that does
    not come about, `again` for a GET whose connection broke.
    """

    proxy: Literal["envoy", "nginx"]
    timeout: float = 0.0
    idle: float = 0.0
    connect: float = 10.0
    repeats: int = 0
    again: int = 0
    body: int = 0
    merges_slashes: bool = True
    escaped_slash: Literal["kept", "redirected", "decoded"] = "kept"
    underscores: Literal["passed", "refused", "dropped"] = "passed"
    keeps_timeouts: bool = True
    #: Whether a pod that is not ready and not published is called all the same when it is the only one.
    panics: bool = False
    no_pod: str = ""


HABITS = {
    "istio": Habits("envoy", repeats=2, merges_slashes=False, no_pod="no healthy upstream"),
    "envoy-gateway": Habits(
        "envoy", timeout=15.0, idle=300.0, escaped_slash="redirected", underscores="refused", panics=True
    ),
    "nginx": Habits(
        "nginx",
        idle=60.0,
        connect=60.0,
        again=1,
        body=_MIB,
        escaped_slash="decoded",
        underscores="dropped",
        keeps_timeouts=False,
    ),
}


@dataclass(frozen=True)
class Patience:
    """How long a call may take, and how long it may be silent."""

    whole: float
    idle: float


def patience(controller: str, rule: Object) -> Patience:
    """Of a rule: its shorter timeout counts, `0s` is none."""
    habits, wishes = HABITS[controller], rule.get("timeouts") or {}
    if not wishes or not habits.keeps_timeouts:
        return Patience(habits.timeout, habits.idle)
    limits = [seconds(wishes[name]) for name in ("request", "backendRequest") if name in wishes]
    whole = min((each for each in limits if each), default=0.0)
    return Patience(whole, 3600.0 if whole and habits.idle else 0.0)


def seconds(duration: str) -> float:
    """Of a duration such as `1h30m`."""
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(duration))
