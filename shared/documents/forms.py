"""The keys that a form may have, and where they stand in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from shared.documents.document import KeyPath
from shared.documents.problem import nearest


def form_at(form: type[BaseModel], where: KeyPath) -> type[BaseModel] | None:
    """The form of the mapping at a path, or of the entries of the list there."""
    found: type[BaseModel] | None = form
    for step in where:
        if isinstance(step, str):
            field = _by_written_name(found).get(step) if found is not None else None
            found = _form_in(field.annotation) if field is not None else None
    return found


def fields_at(form: type[BaseModel], where: KeyPath) -> dict[str, FieldInfo]:
    """The fields that a mapping at the path may have, by their written names."""
    found = form_at(form, where)
    return {} if found is None else _by_written_name(found)


def places_of(key: str, form: type[BaseModel]) -> list[KeyPath]:
    """The paths at which a form has this key, whatever its case, those nearest to the margin first."""
    found = sorted(_keys(form), key=len)
    meant = nearest(key, [str(where[-1]) for where in found])
    same = meant is not None and meant.casefold() == key.casefold()
    return [where for where in found if same and where[-1] == meant]


def _keys(form: type[BaseModel], where: KeyPath = ()) -> Iterator[KeyPath]:
    for name, field in _by_written_name(form).items():
        yield (*where, name)
        inner = _form_in(field.annotation)
        if inner is not None:
            yield from _keys(inner, (*where, name))


def _by_written_name(form: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in form.model_fields.items()}


def _form_in(annotation: Any) -> type[BaseModel] | None:
    """The form inside an annotation such as `list[Form] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _form_in(part)) is not None), None)
