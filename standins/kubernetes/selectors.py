"""Label and field selectors:
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors .
"""

from __future__ import annotations

import re
from collections.abc import Callable

from standins.kubernetes.errors import bad_request
from standins.kubernetes.kinds import NAMESPACE, Kind, Object

Selects = Callable[[Object], bool]
#: Applied to the value of one label, None where it is absent.
_Accepts = Callable[[str | None], bool]
_SETS = re.compile(r"(?P<name>\S+)\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_COMPARED = re.compile(r"(?P<name>[^\s=!<>()]+)\s*(?P<operator>==|=|!=|>|<)\s*(?P<value>[^\s=!<>()]*)")
_PRESENT = re.compile(r"(?P<absent>!?)\s*(?P<name>[^\s=!<>()]+)")
_FIELD = re.compile(r"(?P<name>[^=!]+)(?P<operator>==|=|!=)(?P<value>[^=!]*)")


def selection(kind: Kind, labels: str, fields: str) -> Selects:
    """Both selectors at once. Raises `Refused` (400)."""
    terms = [_label_term(term) for term in re.split(r",(?![^()]*\))", labels) if term.strip()]
    wanted = [_field_term(kind, term) for term in fields.split(",") if term]

    def selects(value: Object) -> bool:
        found = value["metadata"].get("labels", {})
        return all(accepts(found.get(name)) for name, accepts in terms) and all(
            term(value) for term in wanted
        )

    return selects


def chosen(selector: Object, value: Object) -> bool:
    """Whether a label selector of an object's specification chooses another object."""
    labels = value["metadata"].get("labels", {})
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        _EXPRESSIONS[each["operator"]](labels.get(each["key"]), each.get("values", []))
        for each in selector.get("matchExpressions", [])
    )


_EXPRESSIONS: dict[str, Callable[[str | None, list[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}


def _label_term(text: str) -> tuple[str, _Accepts]:
    text = text.strip()
    if match := _SETS.fullmatch(text):
        values = {value.strip() for value in match["values"].split(",")}
        return match["name"], (lambda value: value in values) if match["operator"] == "in" else (
            lambda value: value not in values
        )
    if match := _COMPARED.fullmatch(text):
        return match["name"], _compared(match["operator"], match["value"])
    if match := _PRESENT.fullmatch(text):
        return match["name"], (lambda value: value is None) if match["absent"] else (
            lambda value: value is not None
        )
    raise bad_request(f"unable to parse requirement: found '{text}', expected: a label selector")


def _compared(operator: str, wanted: str) -> _Accepts:
    if operator in ("=", "=="):
        return lambda value: value == wanted
    if operator == "!=":
        return lambda value: value != wanted
    if not re.fullmatch(r"-?\d+", wanted):
        raise bad_request(
            f"values[0][]: Invalid value: \"{wanted}\": for 'Gt', 'Lt' operators, the value must be an "
            "integer"
        )
    sign = 1 if operator == ">" else -1
    return lambda value: value is not None and value.isdecimal() and sign * int(value) > sign * int(wanted)


def _field_term(kind: Kind, text: str) -> Selects:
    match = _FIELD.fullmatch(text)
    if match is None:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    name = match["name"]
    known = {
        "metadata.name",
        *(["metadata.namespace"] if kind.namespaced else []),
        *(["status.phase"] if kind is NAMESPACE else []),
    }
    if name not in known:
        raise bad_request(f"field label not supported: {name}")
    part, _, field = name.partition(".")
    return lambda value: (value.get(part, {}).get(field, "") == match["value"]) == (match["operator"] != "!=")
