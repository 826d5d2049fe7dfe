"""Lists: `$filter` in the part of OData that API Management documents per list, `$top` and `$skip`, pages
with `nextLink`.

https://learn.microsoft.com/rest/api/apimanagement/product/list-by-service?view=rest-apimanagement-2024-05-01#uri-parameters
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from aiohttp import web

from standins.resource_manager.arm import Json, invalid, not_known, shown
from standins.resource_manager.state import State

#: Objects of a page when `$top` does not ask for fewer.
PAGE_SIZE = 100

Wanted = Callable[[Json], bool]
#: Field of a filter -> whether only `eq` (and `ne`) may be asked of it.
Filterable = Mapping[str, bool]

_TERM = re.compile(
    r"(?P<function>startswith|endswith|contains)\(\s*(?P<field1>\w+)\s*,\s*'(?P<text1>(?:[^']|'')*)'\s*\)"
    r"""(?:\s+eq\s+true)?
    |substringof\(\s*'(?P<text2>(?:[^']|'')*)'\s*,\s*(?P<field2>\w+)\s*\)(?:\s+eq\s+true)?
    |(?P<field3>\w+)\s+(?P<operator>eq|ne|gt|ge|lt|le)\s+(?:'(?P<text3>(?:[^']|'')*)'"""
    r"""|(?P<literal>true|false|null))""",
    re.VERBOSE,
)
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "gt", "ge", "lt", "le")
}
_FUNCTIONS: Mapping[str, Callable[[str, str], bool]] = {
    "startswith": str.startswith,
    "endswith": str.endswith,
    "contains": operator.contains,
}
_LITERALS = {"true": True, "false": False, "null": None}
#: Where a filter's field has another name than the property, or is a part of it.
_ELSEWHERE: Mapping[str, Callable[[Json], Any]] = {
    "name": lambda row: row["name"],
    "userId": lambda row: (row["properties"].get("ownerId") or "").rpartition("/users/")[2],
    "productId": lambda row: row["properties"]["scope"].rpartition("/products/")[2],
}


def filterable(*texts: str, exact: tuple[str, ...] = ()) -> Filterable:
    """The fields of a list's filter: texts know every operator and function, the exact ones only `eq`."""
    return dict.fromkeys(texts, False) | dict.fromkeys(exact, True)


def page(state: State, request: web.Request, rows: Iterable[Json], fields: Filterable) -> web.Response:
    """One page of a list of rows; `count` is that of the whole list."""
    for parameter in ("tags", "expandGroups", "$orderby", "expandApiVersionSet", "isKeyVaultRefreshFailed"):
        if parameter in request.query:
            raise not_known(state.world, f"the parameter {parameter} of {request.path}")
    wanted = _filter(request.query.get("$filter"), fields)
    selected = [row for row in rows if wanted(row)]
    skip, top = _number(request, "$skip", 0, 0), min(_number(request, "$top", PAGE_SIZE, 1), PAGE_SIZE)
    answer: Json = {"value": [shown(row) for row in selected[skip : skip + top]], "count": len(selected)}
    if skip + top < len(selected):
        answer["nextLink"] = str(request.url.update_query({"$skip": str(skip + top)}))
    return web.json_response(answer)


def _number(request: web.Request, parameter: str, default: int, least: int) -> int:
    text = request.query.get(parameter, str(default))
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise invalid((parameter, f"'{text}' is not a number of at least {least}."))
    return int(text)


def _filter(expression: str | None, fields: Filterable) -> Wanted:
    """Terms joined by `and`, which binds more closely, and `or`; no brackets."""
    if expression is None:
        return lambda _: True
    alternatives = [
        [_term(term, fields) for term in _split(each, "and")] for each in _split(expression, "or")
    ]
    return lambda row: any(all(wanted(row) for wanted in terms) for terms in alternatives)


def _split(expression: str, word: str) -> list[str]:
    """Cut at a word that stands outside of quotes."""
    pieces, quoted = [""], False
    for piece in re.split(rf"('|\s+{word}\s+)", expression):
        if not quoted and piece.strip() == word:
            pieces.append("")
            continue
        quoted ^= piece == "'"
        pieces[-1] += piece
    return pieces


def _term(text: str, fields: Filterable) -> Wanted:
    match = _TERM.fullmatch(text.strip())
    field = (match["field1"] or match["field2"] or match["field3"]) if match else ""
    if match is None or field not in fields or (fields[field] and match["operator"] not in ("eq", "ne")):
        raise invalid(("$filter", f"Invalid filter clause specified: '{text.strip()}'."))
    value = _ELSEWHERE.get(field) or partial(_property, field)
    if match["field3"]:
        return _comparison(match, value)
    compare, wanted = (
        _FUNCTIONS[match["function"] or "contains"],
        _unquoted(match["text1"] or match["text2"] or ""),
    )
    return lambda row: compare(str(value(row) or ""), wanted)


def _comparison(match: re.Match[str], value: Callable[[Json], Any]) -> Wanted:
    compare = _OPERATORS[match["operator"]]
    if match["literal"]:
        literal = _LITERALS[match["literal"]]
        return lambda row: compare(value(row), literal)
    wanted = _unquoted(match["text3"])
    return lambda row: compare(str(value(row) or ""), wanted)


def _property(field: str, row: Json) -> Any:
    return row["properties"].get(field)


def _unquoted(text: str) -> str:
    return text.replace("''", "'")
