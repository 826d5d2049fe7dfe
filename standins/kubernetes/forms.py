"""In which form a client gets its answer: https://kubernetes.io/docs/reference/using-api/api-concepts/ .

JSON or YAML; whole objects, their metadata alone, or rows of a table, with the columns of the definitions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml
from aiohttp import web

from standins.kubernetes.errors import Refused, json_answer
from standins.kubernetes.kinds import Kind, Object, viewed

#: What answers may be; this server writes no protobuf.
_JSON, _YAML = "application/json", "application/yaml"
_TYPES = (_JSON, _YAML, "application/vnd.kubernetes.protobuf")
_META = "meta.k8s.io"
_STEP = re.compile(r"\.(?P<name>[\w-]+)|\[\?\(@\.(?P<key>\w+)==\"(?P<wanted>[^\"]*)\"\)\]")
#: Units of an age, their seconds, and from how many seconds on they are used.
_UNITS = (("d", 86_400, 172_800), ("h", 3600, 10_800), ("m", 60, 120), ("s", 1, 0))


@dataclass(frozen=True)
class Form:
    """`shape` is empty for whole objects, else Table, PartialObjectMetadata or PartialObjectMetadataList.
    `includes` is what rows of a table hold besides: Metadata, Object or None.
    """

    kind: Kind
    now: float
    media: str = _JSON
    shape: str = ""
    includes: str = "Metadata"

    @classmethod
    def of(cls, request: web.Request, kind: Kind, now: float) -> Form:
        """Raises `Refused` (406) when the client takes nothing that there is."""
        for wanted in (request.headers.get("Accept") or "*/*").split(","):
            media, *parameters = (part.strip() for part in wanted.split(";"))
            given = dict(part.split("=", 1) for part in parameters if "=" in part)
            shape = given.get("as", "")
            known = shape in ("", "Table", "PartialObjectMetadata", "PartialObjectMetadataList")
            if media in ("*/*", "application/*", _JSON, _YAML) and known and given.get("v", "v1") == "v1":
                includes = request.query.get("includeObject") or "Metadata"
                return cls(kind, now, _YAML if media == _YAML else _JSON, shape, includes)
        text = f"406: Not Acceptable\n\nAvailable representations: {', '.join(_TYPES)}"
        raise Refused(406, "NotAcceptable", text, {})

    def answer(self, value: Object, status: int = 200) -> web.Response:
        """Of one object."""
        return self.response(self.of_object(value), status)

    def response(self, content: Object, status: int = 200) -> web.Response:
        if self.media == _YAML:
            return web.Response(body=yaml.safe_dump(content).encode(), status=status, content_type=_YAML)
        return json_answer(content, status)

    def of_object(self, value: Object) -> Object:
        """As it is in an answer or in an event of a watch."""
        if self.shape == "Table":
            return self._table([value], {"resourceVersion": value["metadata"].get("resourceVersion", "")})
        return _partial(value) if self.shape else viewed(self.kind, value)

    def of_list(self, items: list[Object], metadata: Object) -> Object:
        if self.shape == "Table":
            return self._table(items, metadata)
        if self.shape:
            rows = [_partial(each) for each in items]
            return {**_meta("PartialObjectMetadataList"), "metadata": metadata, "items": rows}
        rows = [viewed(self.kind, each) for each in items]
        if not self.kind.is_custom:  # the list says of what it is
            rows = [
                {name: part for name, part in row.items() if name not in ("apiVersion", "kind")}
                for row in rows
            ]
        return {
            "kind": f"{self.kind.name}List",
            "apiVersion": self.kind.api_version,
            "metadata": metadata,
            "items": rows,
        }

    def _table(self, items: list[Object], metadata: Object) -> Object:
        columns = [("Name", "string", "name")]
        columns += [(name, type_, "") for name, (_, type_) in self.kind.columns.items()]
        columns += [(name, "string", "") for name in _COMPUTED.get(self.kind.plural, {})]
        columns += [("Age", "date" if self.kind.is_custom else "string", "")]
        described = [
            {"name": name, "type": type_, "format": format_, "description": "", "priority": 0}
            for name, type_, format_ in columns
        ]
        rows = [{"cells": self._cells(each), "object": self._included(each)} for each in items]
        return {**_meta("Table"), "metadata": metadata, "columnDefinitions": described, "rows": rows}

    def _cells(self, value: Object) -> list[Any]:
        shown = viewed(self.kind, value)
        cells = [each(value) for each in _COMPUTED.get(self.kind.plural, {}).values()]
        for path, _ in self.kind.columns.values():
            found = _at(shown, path)
            cells.append("" if found is None and not self.kind.is_custom else found)
        created = datetime.fromisoformat(value["metadata"]["creationTimestamp"]).astimezone(UTC)
        return [value["metadata"]["name"], *cells, age(self.now - created.timestamp())]

    def _included(self, value: Object) -> Object | None:
        if self.includes == "None":
            return None
        return viewed(self.kind, value) if self.includes == "Object" else _partial(value)


def _requested(quota: Object) -> str:
    status = quota["status"]
    rows = (
        (name, status.get("used", {}).get(name, "0"), hard) for name, hard in status.get("hard", {}).items()
    )
    return ", ".join(f"{name}: {used}/{hard}" for name, used, hard in rows)


def _pods(policy: Object) -> str:
    labels = policy["spec"]["podSelector"].get("matchLabels", {})
    return ",".join(f"{name}={value}" for name, value in labels.items()) or "<none>"


#: Columns that are no field.
_COMPUTED: Mapping[str, Mapping[str, Callable[[Object], str]]] = {
    "resourcequotas": {"Request": _requested, "Limit": lambda _: ""},
    "networkpolicies": {"Pod-Selector": _pods},
}


def _meta(name: str) -> Object:
    return {"kind": name, "apiVersion": f"{_META}/v1"}


def _partial(value: Object) -> Object:
    return {**_meta("PartialObjectMetadata"), "metadata": value["metadata"]}


def _at(value: Any, path: str) -> Any:
    """What a JSON path of a column leads to; None where there is nothing."""
    for step in _STEP.finditer(path):
        if step["name"]:
            value = value.get(step["name"]) if isinstance(value, dict) else None
        else:
            value = next((each for each in value or [] if each.get(step["key"]) == step["wanted"]), None)
    return json.dumps(value) if isinstance(value, list | dict) else value


def age(seconds: float) -> str:
    """As kubectl shows it, roughly: `45s`, `12m`, `3h`, `8d`; the smaller unit is left out."""
    whole = max(0, int(seconds))
    unit, size = next((unit, size) for unit, size, least in _UNITS if whole >= least)
    return f"{whole // size}{unit}"
