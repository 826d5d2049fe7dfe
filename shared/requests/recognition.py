"""Which of the shapes a file has, also where it has mistakes or parts of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args

from shared.catalog.terms import Provider
from shared.documents.document import Document, KeyPath
from shared.documents.forms import fields_at
from shared.documents.problem import START, Position, Problem, listed, nearest, problem_at, quote
from shared.requests.config_map import ShapeB
from shared.requests.shapes import Shape, ShapeA, ShapeC

_OF_CONFIG_MAP, _OF_OTHERS = ("kind", "data"), ("team", "models")
_LONGEST_SLIP = 7
"""The longest key that is taken for a slip of one of those."""
_MOST_KEYS = 50
"""The keys of a mapping that are looked at for slips."""

_IN_CONFIG_MAP = (
    "'kind', 'metadata' and 'data' belong to a ConfigMap (shape B), 'team' and 'models' at the margin to "
    "shapes A and C. Write the whole request in one."
)
_IN_MODELS = (
    "Lists of models with limits are shape A, 'enabled' and 'models' are shape C. Write the models of all "
    "providers in one."
)


def shape_of(data: object) -> type[Shape] | None:
    """The shape that a file has, by its first keys; None for a file that is no request."""
    if not isinstance(data, dict):
        return None
    keys = _first_keys(data)
    if not keys:
        return None
    if keys & {*_OF_CONFIG_MAP}:
        return ShapeB
    choices = _choices(data)
    short = any(isinstance(choice, dict) and _is_short(choice) for choice in choices.values())
    return ShapeC if short and not isinstance(choices.get("foundry"), list) else ShapeA


def _first_keys(data: Mapping[str, object]) -> set[str]:
    """Those of the keys by which a shape is known that a file has; where it has none, its slips of them."""
    known = {*_OF_CONFIG_MAP, *_OF_OTHERS}
    slips = (nearest(key, sorted(known)) for key in islice(data, _MOST_KEYS) if len(key) <= _LONGEST_SLIP)
    return data.keys() & known or {key for key in slips if key is not None}


def _is_short(choice: Mapping[str, object]) -> bool:
    """Whether a provider's mapping has keys of the short form. Others may be models without their dashes."""
    return not choice or any(
        nearest(key, ("enabled", "models")) is not None for key in islice(choice, _MOST_KEYS)
    )


def _choices(data: Mapping[str, Any]) -> dict[str, object]:
    models = data.get("models")
    if not isinstance(models, dict):
        return {}
    return {provider: models[provider] for provider in get_args(Provider) if provider in models}


def no_request(document: Document) -> Iterator[Problem]:
    """The problem of a file that is no request."""
    if document.knows(()):
        found = " It is a list: remove the dash before 'team:'." if isinstance(document.data, list) else ""
        if isinstance(document.data, dict):
            found = f" Its keys are {listed(list(document.data)[:5])}."
        advice = (
            f"This is not an access request.{found} Begin with 'team:' (with name and owner) and 'models:' "
            "(with foundry, kaito or openai)."
        )
        yield document.problem((), "UnknownShape", advice)


@dataclass(frozen=True, slots=True)
class Mixed:
    """The problem of a file with parts of two shapes, and the places of which it says all that there is."""

    problem: Problem
    places: frozenset[Position]


def mixed_shapes(shape: type[Shape], document: Document) -> Mixed | None:
    """The problem of a file with parts of two shapes; None for a file of one."""
    data = document.data
    if not isinstance(data, dict):
        return None
    if shape is ShapeB:
        return _mixed(document, [(key,) for key in data if key in fields_at(ShapeA, ())], _IN_CONFIG_MAP)
    lists, others = _providers(data, list), _providers(data, dict)
    return _mixed(document, others if shape is ShapeA else lists, _IN_MODELS) if lists and others else None


def _providers(data: Mapping[str, Any], kind: type) -> list[KeyPath]:
    return [("models", key) for key, value in _choices(data).items() if isinstance(value, kind)]


def _mixed(document: Document, odd: Sequence[KeyPath], advice: str) -> Mixed | None:
    if not odd:
        return None
    first = document.key_at(odd[0])
    message = f"{quote(str(odd[0][-1]))} is of another shape than the rest of the file. {advice}"
    places = {place for where in odd for place in (document.key_at(where), document.at(where))}
    without_data = {START} if isinstance(document.data, dict) and "data" not in document.data else set()
    told = frozenset(places | (without_data if advice == _IN_CONFIG_MAP else set()))
    return Mixed(problem_at(document.path, first, "MixedShapes", message), told)
