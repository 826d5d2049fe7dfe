"""Where a call goes: single backends, pools of them, circuit breakers, and the credentials that the gateway
shows.

https://learn.microsoft.com/azure/api-management/backends. A breaker that tripped lets everything through
again when its time is over. A backend that does not answer counts where the rule names the reason.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from standins.gateway.exchange import Failure, Json, NotKnown
from standins.resource_manager.named_values import VAULT_SECONDS
from standins.resource_manager.state import State
from standins.world import World

_NAMED_VALUE = re.compile(r"\{\{([A-Za-z0-9-._]+)\}\}")
#: The credentials of a backend that this gateway shows.
_CREDENTIALS = ("authorization", "header", "certificateIds")
_DURATION = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)


@dataclass(frozen=True)
class Target:
    """A single backend: its host with the port, the path of its URL without the slash at the end, and its
    row.
    """

    name: str
    host: str
    path: str
    row: Json


@dataclass
class _Breaker:
    """The failures of late, and until when the backend is left alone."""

    failures: deque[float] = field(default_factory=deque)
    open_until: float = 0.0

    def count_failure(self, now: float, rule: Json, retry_after: str | None) -> None:
        """One more; as many as the rule names within its interval open the breaker."""
        condition = rule["failureCondition"]
        self.failures.append(now)
        while self.failures[0] <= now - _seconds(condition["interval"]):
            self.failures.popleft()
        if len(self.failures) >= condition["count"]:
            told = rule.get("acceptRetryAfter") and retry_after and retry_after.isdigit()
            asked = float(retry_after or 0) if told else 0.0
            self.open_until = now + (asked or _seconds(rule["tripDuration"]))
            self.failures.clear()


class Backends:
    """Those of one service, with what happened to them."""

    def __init__(self, world: World, state: State) -> None:
        self._world = world
        self._state = state
        self._breakers: dict[str, _Breaker] = {}
        self._targets: dict[str, tuple[str, Target]] = {}
        self._secrets: dict[str, tuple[str, float, str]] = {}

    def pick(self, service: str, name: str) -> Target | None:
        """The backend to ask now; None when none may be asked, because all have tripped."""
        row = self._row(f"{service}/backends/{name}")
        if row["properties"]["type"] != "Pool":
            return self._target(row) if self._is_closed(row["id"]) else None
        usable = [each for each in row["properties"]["pool"]["services"] if self._is_closed(each["id"])]
        if not usable:
            return None
        group = _first_group(usable)
        weights = [each.get("weight") or 0 for each in group]
        number = self._world.trouble.choose(weights if any(weights) else [1] * len(group))
        return self._target(self._row(group[number]["id"]))

    def is_closed(self, target: Target) -> bool:
        """Whether its breaker lets calls through."""
        return self._is_closed(target.row["id"])

    def note(self, target: Target, status: int, retry_after: str | None, reason: str = "") -> None:
        """What a backend answered; 0 when it did not, with the service's word for the reason."""
        for rule in (target.row["properties"].get("circuitBreaker") or {}).get("rules") or ():
            if _fails(rule["failureCondition"], status, reason):
                breaker = self._breakers.setdefault(target.row["id"].lower(), _Breaker())
                breaker.count_failure(self._world.clock.now(), rule, retry_after)

    def credentials(self, service: str, target: Target) -> Mapping[str, str]:
        """The headers by which the gateway says who it is."""
        given = target.row["properties"].get("credentials") or {}
        if unknown := sorted(name for name in given if given[name] and name not in _CREDENTIALS):
            raise NotKnown(f"credentials.{unknown[0]} of a backend")
        headers = {
            name: ",".join(self._filled(service, value) for value in values)
            for name, values in (given.get("header") or {}).items()
        }
        if authorization := given.get("authorization"):
            headers["Authorization"] = (
                f"{authorization['scheme']} {self._filled(service, authorization['parameter'])}"
            )
        return headers

    def certificate(self, target: Target) -> Json | None:
        """The row of the client certificate that the gateway shows, if any."""
        given = target.row["properties"].get("credentials") or {}
        ids = given.get("certificateIds") or ()
        if not ids:
            return None
        row = self._state.certificates.get(ids[0])
        if row is None:
            raise Failure(500, "Internal server error")
        return row

    def tripped(self) -> list[str]:
        return sorted(
            id_.rsplit("/", 1)[-1]
            for id_, breaker in self._breakers.items()
            if breaker.open_until > self._world.clock.now()
        )

    def forget(self) -> None:
        """What happened to them, and the secrets."""
        self._breakers.clear()
        self._secrets.clear()

    def _row(self, id_: str) -> Json:
        row = self._state.backends.get(id_)
        if row is None:
            raise Failure(500, "Internal server error")
        return row

    def _is_closed(self, id_: str) -> bool:
        breaker = self._breakers.get(id_.lower())
        return breaker is None or breaker.open_until <= self._world.clock.now()

    def _target(self, row: Json) -> Target:
        kept = self._targets.get(row["id"])
        if kept is None or kept[0] != row["etag"]:
            url = urlsplit(row["properties"]["url"])
            kept = self._targets[row["id"]] = (
                row["etag"],
                Target(row["name"], url.netloc, url.path.rstrip("/"), row),
            )
        return kept[1]

    def _filled(self, service: str, text: str) -> str:
        return _NAMED_VALUE.sub(lambda found: self._named_value(service, found[1]), text)

    def _named_value(self, service: str, name: str) -> str:
        for row in self._state.named_values.under(service):
            if name in (row["name"], row["properties"]["displayName"]):
                kept = self._secrets.get(row["id"])
                if kept is None or kept[0] != row["etag"] or kept[1] <= self._world.clock.now():
                    kept = self._secrets[row["id"]] = (
                        row["etag"],
                        self._world.clock.now() + VAULT_SECONDS,
                        self._read(row),
                    )
                return kept[2]
        raise Failure(500, "Internal server error")

    def _read(self, row: Json) -> str:
        """The value; one in a Key Vault is read past the roles, which the gateway is taken to have."""
        reference = row["properties"].get("keyVault")
        if reference is None:
            return str(row["hidden"].get("value", row["properties"].get("value")))
        found = self._world.parts["key-vault"].read(reference["secretIdentifier"])
        if found.value is None:
            self._world.loud("gateway", f"the secret of {row['name']} cannot be read: {found.message}")
            raise Failure(500, "Internal server error")
        return str(found.value)


def _first_group(services: Sequence[Json]) -> list[Json]:
    """Those of a pool with the highest priority, which is the lowest number."""
    first = min(each.get("priority") or 0 for each in services)
    return [each for each in services if (each.get("priority") or 0) == first]


def _fails(condition: Mapping[str, Any], status: int, reason: str) -> bool:
    if condition.get("count") is None:
        raise NotKnown("a circuit breaker that counts percent")
    if status == 0:
        return reason in (condition.get("errorReasons") or ())
    return any(limits["min"] <= status <= limits["max"] for limits in condition.get("statusCodeRanges") or ())


def _seconds(duration: str) -> float:
    found = _DURATION.fullmatch(duration)
    assert found is not None, "Resource Manager checked it"
    return timedelta(**{unit: float(number) for unit, number in found.groupdict("0").items()}).total_seconds()
