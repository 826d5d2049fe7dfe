"""Operations of an OpenAPI description, Swagger 2.0 and OpenAPI 3.0 alike, found by method and path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from standins.tests.reference.descriptions import Node, part

_METHODS = ("get", "put", "post", "patch", "delete", "head")
_JSON = "application/json"
#: Patterns of a path's parameters.
_MANY_SEGMENTS = "(.+)"
_MAY_BE_ABSENT = "([^/]*)"


@dataclass(frozen=True)
class Parameter:
    """A parameter of the path, the query or the head. Its values obey `schema`."""

    name: str
    location: str
    required: bool
    schema: Node


@dataclass(frozen=True)
class Body:
    """What a request carries; `schema` is None where the description does not say, or it is no JSON."""

    schema: Node | None
    required: bool


@dataclass(frozen=True)
class Answer:
    """One declared answer: its JSON body, None where none is declared, and the names of its headers in lower
    case.
    """

    schema: Node | None
    headers: tuple[str, ...]


@dataclass(frozen=True)
class Operation:
    """One operation; `answers` is by status, or `default`."""

    parameters: tuple[Parameter, ...]
    body: Body | None
    answers: Mapping[str, Answer]


@dataclass(frozen=True)
class Match:
    """A path that exists; `operation` is None where the method does not. `values` are those of the path's
    parameters.
    """

    template: str
    operation: Operation | None
    values: Mapping[str, str]


@dataclass
class _Path:
    template: str
    item: Node
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    depth: int | None
    operations: dict[str, Operation] = field(default_factory=dict)

    def operation(self, method: str) -> Operation | None:
        method = method.lower()
        if method not in self.operations and method in self.item.value:
            self.operations[method] = _operation(self.item[method], self.item)
        return self.operations.get(method)


class Description:
    """All operations of some files."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = tuple(files)
        self._by_depth: dict[int, list[_Path]] = {}

    @cached_property
    def _paths(self) -> list[_Path]:
        items = [part(file)["paths"] for file in self._files if "paths" in part(file).value]
        found = [_path(template, paths[template]) for paths in items for template in paths.value]
        # Of several that match, the one that fixes most: `/apis/{id}/products` is not `/apis/{id}/{more}`.
        return sorted(found, key=lambda path: (len(path.names), -len(path.template)))

    def _candidates(self, depth: int) -> list[_Path]:
        """Those that a path of so many segments may match."""
        if depth not in self._by_depth:
            self._by_depth[depth] = [path for path in self._paths if path.depth in (depth, None)]
        return self._by_depth[depth]

    def find(self, method: str, path: str) -> Match | None:
        """The operation of a request; `path` is without its query."""
        nearest = None
        for candidate in self._candidates(path.count("/")):
            if found := candidate.pattern.fullmatch(path):
                values = dict(zip(candidate.names, map(unquote, found.groups("")), strict=True))
                match = Match(candidate.template, candidate.operation(method), values)
                if match.operation is not None:
                    return match
                nearest = nearest or match
        return nearest


def _path(template: str, item: Node) -> _Path:
    nodes = (item, *(item[method] for method in _METHODS if method in item.value))
    declared = [parameter.value for node in nodes for parameter in _parameters(node)]
    pieces = re.split(r"\{([^}]+)\}", template)
    names = tuple(pieces[1::2])
    steps = [_segment([parameter for parameter in declared if parameter["name"] == name]) for name in names]
    pattern = re.escape(pieces[0]) + "".join(
        step + re.escape(rest) for step, rest in zip(steps, pieces[2::2], strict=True)
    )
    if _MAY_BE_ABSENT in steps:
        pattern = pattern.replace(f"/{_MAY_BE_ABSENT}", f"(?:/{_MAY_BE_ABSENT})?")
    depth = None if {_MANY_SEGMENTS, _MAY_BE_ABSENT} & set(steps) else template.count("/")
    return _Path(template, item, re.compile(pattern, re.IGNORECASE), names, depth)


def _segment(declared: list[Mapping[str, object]]) -> str:
    if any(
        parameter.get("x-multi-segment") or parameter.get("x-ms-skip-url-encoding") for parameter in declared
    ):
        return _MANY_SEGMENTS
    # Key Vault's version: `/secrets/name/` is the latest one, and so is `/secrets/name`.
    return (
        _MAY_BE_ABSENT
        if any("fragment is optional" in str(parameter.get("description")) for parameter in declared)
        else "([^/]+)"
    )


def _parameters(node: Node) -> list[Node]:
    listed = node.get("parameters")
    return [] if listed is None else [listed[number].target() for number in range(len(listed.value))]


def _operation(node: Node, item: Node) -> Operation:
    declared = _parameters(item) + _parameters(node)
    body = next((parameter for parameter in declared if parameter.value["in"] == "body"), None)
    responses = node["responses"]
    return Operation(
        parameters=tuple(
            _parameter(parameter)
            for parameter in declared
            if parameter.value["in"] in ("path", "query", "header")
        ),
        body=_request_body(node) if body is None else Body(body["schema"], body.value.get("required", False)),
        answers={status: _answer(responses[status].target()) for status in responses.value},
    )


def _parameter(node: Node) -> Parameter:
    return Parameter(
        node.value["name"], node.value["in"], node.value.get("required", False), node.get("schema") or node
    )


def _request_body(node: Node) -> Body | None:
    body = node.get("requestBody")
    return None if body is None else Body(_content(body.target()), body.target().value.get("required", False))


def _answer(node: Node) -> Answer:
    schema = _content(node) or node.get("schema")
    if schema is not None and schema.value.get("type") == "file":
        schema = None
    return Answer(schema, tuple(name.lower() for name in node.value.get("headers", {})))


def _content(node: Node) -> Node | None:
    content = node.get("content")
    return content[_JSON]["schema"] if content is not None and _JSON in content.value else None
