"""The text of a policy or a fragment on its way in and out: checked, kept in the service's own writing, shown
as `xml` or `rawxml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from standins.resource_manager import policy_document
from standins.resource_manager.arm import Json, invalid, not_known, service_id
from standins.resource_manager.policy_document import Document, PolicyError
from standins.resource_manager.references import BACKEND, FRAGMENT, NAMED_VALUE
from standins.resource_manager.state import Resources, State

_FORMATS = ("xml", "rawxml")


def read(state: State, request: web.Request, properties: Json, limits: tuple[str, int]) -> Json:
    """What is kept of a text that was sent; `limits` are the name of its root and its length in bytes.

    Raises 400 ValidationError for what the service does not accept: unreadable or unknown elements, and names
    of what is not there.
    """
    text, format_ = properties.get("value"), format_of(properties)
    root, longest = limits
    if format_ not in _FORMATS:
        raise not_known(state.world, f"the policy format {format_}")
    if not isinstance(text, str) or len(text.encode()) > longest:
        raise invalid(("value", f"value is required, and at most {longest} bytes long."))
    names = _named_values(state, service_id(request))
    try:
        document = policy_document.parse(text, raw=format_ == "rawxml", root=root)
        for by in BACKEND:
            _check_names(document, by, _absent(state.backends, request, "backends", "Backend with id"))
        for by in FRAGMENT:
            _check_names(
                document, by, _absent(state.fragments, request, "policyFragments", "Policy fragment with id")
            )
        _check_named_values(document, names)
    except PolicyError as error:
        raise invalid((error.element, str(error))) from error
    written = policy_document.write(document, comments=state.options["policy_comments_kept"])
    return {"format": "xml", "value": NAMED_VALUE.sub(lambda match: f"{{{{{names[match[1]]}}}}}", written)}


def format_of(properties: Json) -> str:
    """In which format a text was sent."""
    return properties.get("format") or "xml"


def in_format(row: Json, format_: str) -> Json:
    """The row with its text as it was asked for."""
    if format_ not in _FORMATS:
        raise invalid(("format", f"'{format_}' is not one of {', '.join(_FORMATS)}."))
    value = row["properties"]["value"]
    shown = policy_document.as_raw(value) if format_ == "rawxml" else value
    return row | {"properties": row["properties"] | {"format": format_, "value": shown}}


def _absent(
    resources: Resources, request: web.Request, segment: str, what: str
) -> Callable[[str], str | None]:
    """A function that says what is wrong with a name, if anything."""

    def problem(name: str) -> str | None:
        known = resources.get(f"{service_id(request)}/{segment}/{name}") is not None
        return None if known else f"{what} '{name}' could not be found."

    return problem


def _check_names(document: Document, by: tuple[str, str], problem: Callable[[str], str | None]) -> None:
    for element, name in document.references(*by):
        if reason := problem(name):
            raise document.error(element, reason)


def _named_values(state: State, service: str) -> Mapping[str, str]:
    """What may stand in `{{...}}` -> what the service makes of it.

    A policy is written with display names, which are told apart by case, and comes back with the name of the
    resource; https://learn.microsoft.com/rest/api/apimanagement/product-policy/create-or-update shows it.
    """
    rows = state.named_values.under(service)
    return {row["name"]: row["name"] for row in rows} | {
        row["properties"]["displayName"]: row["name"] for row in rows
    }


def _check_named_values(document: Document, names: Mapping[str, str]) -> None:
    for element in document.elements():
        for value in (*element.attrib.values(), element.text or ""):
            for name in NAMED_VALUE.findall(str(value)):
                if name not in names:
                    raise document.error(element, f"Cannot find a property '{name}'")
