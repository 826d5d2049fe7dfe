"""Which rule takes a call: the host name first, then the path, then what else is matched, then the older
route.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from multidict import CIMultiDict, MultiMapping

from standins.kubernetes.gateways.listeners import host_matches
from standins.kubernetes.kinds import Object
from standins.kubernetes.proxies import Served

_RANKS = {"Exact": 2, "PathPrefix": 1, "RegularExpression": 0}


@dataclass(frozen=True)
class Asked:
    """A call as routes see it. `host` is without the port, `path` as the proxy read it."""

    method: str
    host: str
    path: str
    query: MultiMapping[str]
    headers: CIMultiDict[str]


@dataclass(frozen=True)
class Chosen:
    route: Object
    rule: Object
    match: Object

    @property
    def namespace(self) -> str:
        return str(self.route["metadata"]["namespace"])


def choose(routes: Iterable[Served], asked: Asked, whole_path: bool) -> Chosen | None:
    """The rule of the best match. A route that names the host hides all that name none. `whole_path`: an
    expression must match the path wholly.
    """
    all_routes = list(routes)
    names = [host for each in all_routes for host in each.hosts if host_matches(host, asked.host)]
    if not names:
        return None
    best = max(names, key=_closeness)
    found = [
        (_rank(chosen, number), chosen)
        for each in all_routes
        if best in each.hosts
        for number, chosen in enumerate(_candidates(each.route))
        if _matches(chosen.match, asked, whole_path)
    ]
    return min(found, key=lambda row: row[0])[1] if found else None


def _closeness(name: str) -> tuple[bool, int]:
    """A whole name is closer than one with a wildcard, a longer one than a shorter, and any than none."""
    return bool(name) and not name.startswith("*"), len(name)


def _candidates(route: Object) -> Iterator[Chosen]:
    for rule in route["spec"].get("rules", []):
        for match in rule.get("matches", []):
            yield Chosen(route, rule, match)


def _rank(chosen: Chosen, number: int) -> tuple[int, int, bool, int, int, str, str, int]:
    """The least is the best."""
    match, metadata = chosen.match, chosen.route["metadata"]
    path = match.get("path") or {"type": "PathPrefix", "value": "/"}
    return (
        -_RANKS[path["type"]],
        -len(path["value"]),
        "method" not in match,
        -len(match.get("headers", [])),
        -len(match.get("queryParams", [])),
        metadata["creationTimestamp"],
        f"{metadata['namespace']}/{metadata['name']}",
        number,
    )


def _matches(match: Object, asked: Asked, whole_path: bool) -> bool:
    return (
        _has_path(match.get("path") or {"type": "PathPrefix", "value": "/"}, asked.path, whole_path)
        and match.get("method") in (None, asked.method)
        and all(_has_value(each, asked.headers) for each in match.get("headers", []))
        and all(_has_value(each, asked.query) for each in match.get("queryParams", []))
    )


def _has_path(wanted: Mapping[str, str], path: str, whole_path: bool) -> bool:
    value = wanted["value"]
    if wanted["type"] == "Exact":
        return path == value
    if wanted["type"] == "RegularExpression":
        return (re.fullmatch if whole_path else re.match)(value, path) is not None
    start = value.rstrip("/")
    return path == start or path.startswith(f"{start}/")


def _has_value(wanted: Mapping[str, str], given: MultiMapping[str]) -> bool:
    """By the value, case and all; several of one name are one text."""
    if wanted["name"] not in given:
        return False
    text = ",".join(given.getall(wanted["name"]))
    if wanted.get("type") == "RegularExpression":
        return re.fullmatch(wanted["value"], text) is not None
    return text == wanted["value"]
