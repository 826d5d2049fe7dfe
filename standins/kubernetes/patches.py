"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902)."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from standins.kubernetes.errors import Refused, bad_request


def merged(value: Any, patch: Any) -> Any:
    """A merge patch: null removes a field, a list replaces a list."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), part)
    return result


def patched(value: Any, operations: Any) -> Any:
    """A JSON patch. Raises `Refused`: 400 for what is no patch, 422 for one that does not fit the object."""
    if not isinstance(operations, list) or not all(
        isinstance(each, dict) and each.get("op") in _OPERATIONS for each in operations
    ):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        )
    result = deepcopy(value)
    for each in operations:
        try:
            _OPERATIONS[each["op"]](result, each)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise Refused(
                422, "Invalid", "the server rejected our request due to an error in our request", {}
            ) from error
    return result


def _steps(pointer: str) -> list[str]:
    if not pointer.startswith("/"):
        raise ValueError("the whole object cannot be replaced")
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _at(value: Any, pointer: str) -> tuple[Any, Any]:
    """What holds the place, and the key or index in it."""
    *way, last = _steps(pointer)
    for step in way:
        value = value[int(step) if isinstance(value, list) else step]
    return value, len(value) if isinstance(value, list) and last == "-" else int(last) if isinstance(
        value, list
    ) else last


def _add(value: Any, operation: dict[str, Any]) -> None:
    _insert(value, operation["path"], operation["value"])


def _insert(value: Any, pointer: str, part: Any) -> None:
    holder, place = _at(value, pointer)
    if isinstance(holder, list):
        holder.insert(place, part)
    else:
        holder[place] = part


def _remove(value: Any, operation: dict[str, Any]) -> None:
    holder, place = _at(value, operation["path"])
    del holder[place]


def _replace(value: Any, operation: dict[str, Any]) -> None:
    holder, place = _at(value, operation["path"])
    holder[place]  # what is not there cannot be replaced
    holder[place] = operation["value"]


def _test(value: Any, operation: dict[str, Any]) -> None:
    holder, place = _at(value, operation["path"])
    if holder[place] != operation["value"]:
        raise ValueError("the test failed")


def _copy(value: Any, operation: dict[str, Any]) -> None:
    holder, place = _at(value, operation["from"])
    _insert(value, operation["path"], deepcopy(holder[place]))


def _move(value: Any, operation: dict[str, Any]) -> None:
    holder, place = _at(value, operation["from"])
    part = holder[place]
    del holder[place]
    _insert(value, operation["path"], part)


_OPERATIONS: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "test": _test,
    "copy": _copy,
    "move": _move,
}
