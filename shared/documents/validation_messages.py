"""Turns pydantic's errors into problems that an application developer understands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from shared.documents.document import Document, KeyPath
from shared.documents.problem import Problem, did_you_mean, listed, problem_at, quote

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
    read.
    """
    for details in error.errors(include_url=False)[:MAX_EXPLAINED]:
        where: KeyPath = details["loc"]
        if document.knows(where):
            yield _explained(details, where, form, document)


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
    return document.problem(where, *_wrong_value(details, where, document))


def _unknown_key(where: KeyPath, form: type[BaseModel]) -> str:
    key, known = str(where[-1]), list(_fields(form, where[:-1]))
    inside = f" in {quote(dotted(where[:-1]))}" if where[:-1] else ""
    return f"There is no key {quote(key)}{inside}." + (
        did_you_mean(key, known) or f" Known keys: {listed(known)}."
    )


def _missing_key(where: KeyPath, form: type[BaseModel]) -> str:
    field = _fields(form, where[:-1]).get(str(where[-1]))
    meaning = f": {field.description}" if field is not None and field.description else ""
    return f"{quote(dotted(where))} is missing. Add it{meaning}."


def _wrong_value(details: ErrorDetails, where: KeyPath, document: Document) -> tuple[str, str]:
    """Reason and message."""
    kind, name = details["type"], quote(dotted(where) or "the file")
    bounds: Bounds = details.get("ctx", {})
    written = document.get(where)
    if kind[:1].isupper():
        return kind, f"{name}: {bounds['message']}"
    if kind in _MUST_BE:
        return (
            "WrongType",
            f"{name} must be {_MUST_BE[kind]}; {_found(written)}.{_quotes_hint(kind, written)}",
        )
    if kind in _OUTSIDE:
        return _OUTSIDE[kind](name, written, bounds)
    return "WrongValue", f"{name}: {details['msg']}."


def _quotes_hint(kind: str, written: object) -> str:
    return " Put it in quotes." if kind == "string_type" and isinstance(written, bool | int | float) else ""


def _not_allowed(name: str, written: object, bounds: Bounds) -> tuple[str, str]:
    advice = did_you_mean(str(written), _options(bounds))
    return "NotAllowed", f"{name} must be {bounds['expected']}, not {quote(written)}.{advice}"


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


def _found(value: object) -> str:
    if value is None:
        return "it has no value: give it one, or remove the line"
    if isinstance(value, str):
        return f"it is the text {quote(value)}"
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number with a fraction",
        list: "a list",
        dict: "a mapping",
    }
    return f"it is {kinds[type(value)]}"


def _fields(form: type[BaseModel], where: KeyPath) -> dict[str, FieldInfo]:
    """The fields that a mapping at the path may have, by their written names."""
    for step in where:
        if isinstance(step, str):
            inner = _form_in(_by_written_name(form)[step].annotation)
            if inner is None:
                return {}
            form = inner
    return _by_written_name(form)


def _by_written_name(form: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in form.model_fields.items()}


def _form_in(annotation: Any) -> type[BaseModel] | None:
    """The form inside an annotation such as `list[Form] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _form_in(part)) is not None), None)
