"""Turns pydantic's errors into problems that an application developer understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from shared.documents.advice import form_advice, value_advice
from shared.documents.characters import odd_characters
from shared.documents.document import Document, KeyPath
from shared.documents.forms import fields_at, form_at, places_of
from shared.documents.problem import Problem, did_you_mean, listed, nearest, problem_at, quote

MAX_EXPLAINED = 50

#: The context of one of pydantic's errors: https://docs.pydantic.dev/latest/errors/validation_errors
Bounds = Mapping[str, Any]

_MUST_BE = {
    "string_type": "text",
    "int_type": "a whole number without quotes, such as 10000",
    "bool_type": "true or false, without quotes",
    "date_type": "a date such as 2027-03-31",
    "list_type": "a list: lines that start with '- '",
    "dict_type": "a mapping: indented lines 'key: value'",
    "model_type": "a mapping: indented lines 'key: value'",
}
#: The last step where the key of a mapping is wrong, and not its value.
_KEY: KeyPath = ("[key]",)


def explain(error: ValidationError, form: type[BaseModel], document: Document) -> Iterator[Problem]:
    """The problems of a document that does not have the form: at most 50, none about a part that could not be
    read or has no value, and of plain texts in a list of mappings only the first.
    """
    found = [each for each in error.errors(include_url=False) if _is_told(each, document)]
    corrected = _all_corrected(found, form)
    lists: set[KeyPath] = set()
    for details in found[:MAX_EXPLAINED]:
        where: KeyPath = details["loc"]
        known = where in corrected if details["type"] == "missing" else False
        if not known and not (details["type"] == "model_type" and _is_repeated(where, lists)):
            yield _explained(details, where, form, document)


def empty_values(document: Document) -> Iterator[Problem]:
    """A problem for each key, and each entry of a list, without a value: no default is taken there."""
    for where, place in document.values.items():
        if where and document.knows(where) and _is_empty(where, document):
            entry = isinstance(where[-1], int)
            name = quote(dotted(where))
            advice = f"{name} has no value: " + (
                "remove the dash." if entry else "give it one, or remove the line."
            )
            yield problem_at(document.path, place if entry else document.key_at(where), "NoValue", advice)


def _is_empty(where: KeyPath, document: Document) -> bool:
    """Whether the part stands there without a value. Of a key that stands twice only the first counts."""
    around = document.get(where[:-1])
    if isinstance(around, dict):
        return where[-1] in around and around[where[-1]] is None
    return isinstance(around, list) and document.get(where) is None


def _is_told(details: ErrorDetails, document: Document) -> bool:
    where: KeyPath = details["loc"]
    if not document.knows(where):
        return False
    return details["type"] in ("extra_forbidden", "missing") or not _is_empty(where, document)


def _is_repeated(where: KeyPath, lists: set[KeyPath]) -> bool:
    """Whether another entry of the same list was told already."""
    if not where or not isinstance(where[-1], int):
        return False
    repeated = where[:-1] in lists
    lists.add(where[:-1])
    return repeated


def _all_corrected(found: Sequence[ErrorDetails], form: type[BaseModel]) -> set[KeyPath]:
    """The paths that all unknown keys were meant to have."""
    unknown = [each["loc"] for each in found if each["type"] == "extra_forbidden"]
    return {place for where in unknown[:MAX_EXPLAINED] for place in _corrected(where, form)}


def _corrected(where: KeyPath, form: type[BaseModel]) -> list[KeyPath]:
    """The paths that an unknown key was meant to have: its name is a slip, or it stands elsewhere."""
    key = nearest(str(where[-1]), fields_at(form, where[:-1]))
    return [(*where[:-1], key)] if key is not None else places_of(str(where[-1]), form)


def dotted(where: KeyPath) -> str:
    """A path as people write it: `models.foundry[0].name`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).removeprefix(".")


def _explained(details: ErrorDetails, where: KeyPath, form: type[BaseModel], document: Document) -> Problem:
    kind, path = details["type"], document.path
    if kind == "extra_forbidden":
        return problem_at(path, document.key_at(where), "UnknownKey", _unknown_key(where, form))
    if kind == "missing":
        return problem_at(path, document.key_at(where), "MissingKey", _missing_key(where, form))
    if where[-1:] == _KEY:
        return problem_at(path, document.key_at(where[:-1]), *_wrong_value(details, where[:-1], document))
    reason, message = _wrong_value(details, where, document)
    if reason == "WrongType":
        entry = "entry" if where and isinstance(where[-1], int) else kind
        message += form_advice(entry, document.get(where), form_at(form, where))
    return document.problem(where, reason, message)


def _unknown_key(where: KeyPath, form: type[BaseModel]) -> str:
    key, known = str(where[-1]), list(fields_at(form, where[:-1]))
    inside = f" in {quote(dotted(where[:-1]))}" if where[:-1] else ""
    nearest_here = did_you_mean(key, known)
    if not nearest_here and (elsewhere := places_of(key, form)):
        return f"There is no key {quote(key)}{inside}. {_belongs(elsewhere)}"
    advice = nearest_here or f" Known keys: {listed(known)}."
    return f"There is no key {quote(key)}{inside}.{advice}{odd_characters(key)}"


def _belongs(places: Sequence[KeyPath]) -> str:
    """Where a key belongs, such as `limits`."""
    key = str(places[0][-1])
    around = [place[:-1] for place in places[:3]]
    if not around[0]:
        return f"{quote(key)} belongs to the margin: write it without indentation, beside the others there."
    return f"{quote(key)} belongs to {' or '.join(quote(dotted(where)) for where in around)}."


def _missing_key(where: KeyPath, form: type[BaseModel]) -> str:
    field = fields_at(form, where[:-1]).get(str(where[-1]))
    meaning = f": {field.description}" if field is not None and field.description else ""
    return f"{quote(dotted(where))} is missing. Add it{meaning}."


def _wrong_value(details: ErrorDetails, where: KeyPath, document: Document) -> tuple[str, str]:
    """Reason and message."""
    kind, name = details["type"], quote(dotted(where) or "the file")
    bounds: Bounds = details.get("ctx", {})
    written = document.written(where)
    if kind[:1].isupper():
        return kind, f"{name}: {bounds['message']}{_odd(written)}"
    if kind in _MUST_BE:
        advice = value_advice(kind, written) or _odd(written)
        found = _found(written, document.get(where))
        return "WrongType", f"{name} must be {_MUST_BE[kind]}; {found}.{advice}"
    if kind in _OUTSIDE:
        return _OUTSIDE[kind](name, written, bounds)
    return "WrongValue", f"{name}: {details['msg']}."


def _odd(written: object) -> str:
    return odd_characters(written) if isinstance(written, str) else ""


def _not_allowed(name: str, written: object, bounds: Bounds) -> tuple[str, str]:
    if isinstance(written, list | dict):
        return "NotAllowed", f"{name} must be one of {bounds['expected']}, not a list or a mapping."
    advice = did_you_mean(str(written), _options(bounds))
    return "NotAllowed", f"{name} must be {bounds['expected']}, not {quote(written)}.{advice}{_odd(written)}"


def _out_of_range(name: str, written: object, bounds: Bounds) -> tuple[str, str]:
    bound = f"at least {bounds['ge']:,}" if "ge" in bounds else f"at most {bounds['le']:,}"
    return "OutOfRange", f"{name} must be {bound}, not {quote(written)}."


def _too_long(name: str, _: object, bounds: Bounds) -> tuple[str, str]:
    return "TooLong", f"{name} must have at most {bounds['max_length']} characters."


def _too_few(name: str, _: object, bounds: Bounds) -> tuple[str, str]:
    least, found = bounds["min_length"], bounds["actual_length"]
    if found == 0:
        return "EmptyList", f"{name} is empty. Add at least {'one entry' if least == 1 else least}."
    return "TooFewEntries", f"{name} needs at least {least} entries; it has {found}."


def _too_many(name: str, _: object, bounds: Bounds) -> tuple[str, str]:
    found, most = bounds["actual_length"], bounds["max_length"]
    return "TooManyEntries", f"{name} has {found} entries; there may be {most}."


#: By pydantic's type of error, what explains a value outside of its bounds.
_OUTSIDE: Mapping[str, Callable[[str, object, Bounds], tuple[str, str]]] = {
    "literal_error": _not_allowed,
    "greater_than_equal": _out_of_range,
    "less_than_equal": _out_of_range,
    "string_too_long": _too_long,
    "too_short": _too_few,
    "too_long": _too_many,
}


def _options(bounds: Bounds) -> list[str]:
    return str(bounds["expected"]).replace(" or ", ", ").replace("'", "").split(", ")


def _found(written: object, value: object) -> str:
    """What stands there; of a fraction, which is a number, as it was written."""
    if isinstance(value, float):
        return f"it is the number {quote(written)}"
    if isinstance(value, str):
        return f"it is the text {quote(value)}"
    kinds = {
        bool: "true or false",
        int: "a number",
        list: "a list",
        dict: "a mapping",
        type(None): "nothing",
    }
    return f"it is {kinds[type(value)]}"
