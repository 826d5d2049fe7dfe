"""What to write instead of a value of another type."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel

from shared.documents.amounts import day_meant, number_meant
from shared.documents.characters import straightened
from shared.documents.problem import listed, quote

_GLUED = re.compile(r"([A-Za-z][A-Za-z0-9]*)(:| *=) *([^\s/]\S*)")
_FLAGS = {
    **dict.fromkeys(("true", "yes", "on", "y", "1", "enabled"), "true"),
    **dict.fromkeys(("false", "no", "off", "n", "0", "disabled"), "false"),
}


def value_advice(kind: str, written: object) -> str:
    """A sentence with the number, the flag or the text that was probably meant; empty where none is known.
    `kind` is pydantic's type of error.
    """
    look = _MEANT.get(kind)
    meant = look(written) if look is not None else None
    return f" {meant}." if meant is not None else ""


def _text(written: object) -> str | None:
    if isinstance(written, bool | int | float):
        text = str(written).lower() if isinstance(written, bool) else str(written)
        return f"Put it in quotes: '{text}'"
    name = written.get("name") if isinstance(written, dict) else None
    return f"Write {quote(name)} alone" if isinstance(name, str) else None


def _day(written: object) -> str | None:
    day = day_meant(str(written))
    return None if day is None else f"Write {day}"


def _number(written: object) -> str | None:
    number = number_meant(written)
    return None if number is None else f"Write {number}"


def _flag(written: object) -> str | None:
    flag = _FLAGS.get(straightened(str(written)).strip("\"' ").casefold())
    return None if flag is None else f"Write {flag}"


_MEANT: Mapping[str, Callable[[object], str | None]] = {
    "string_type": _text,
    "date_type": _day,
    "int_type": _number,
    "bool_type": _flag,
}


def form_advice(kind: str, written: object, form: type[BaseModel] | None) -> str:
    """A sentence with the keys of a mapping, or of a list of mappings, where something else was written.
    `kind` is pydantic's type of error, `entry` where an entry of a list was expected.
    """
    if form is None:
        return f" Write {quote(f'[{written}]')}." if kind == "list_type" and isinstance(written, str) else ""
    fields = sorted(form.model_fields.items(), key=lambda item: not item[1].is_required())
    names = [field.alias or name for name, field in fields]
    if advice := _separator_advice(written, names):
        return advice
    first = _first_text(written)
    if kind in ("list_type", "entry") and names[0] == "name" and first is not None:
        return f" Write {quote('- name: ' + first)}."
    return f" Its keys: {listed(names[:6])}."


def _separator_advice(written: object, names: Sequence[str]) -> str:
    """A sentence about a missing space or colon, where a text or a key shows it."""
    text = next(iter(written), None) if isinstance(written, dict) else written
    if not isinstance(text, str):
        return ""
    if isinstance(written, dict) and text.startswith("-"):
        return " A space is missing after the dash."
    glued = _GLUED.match(text)
    if isinstance(written, dict) or glued is None or glued[1] not in names:
        return ""
    missing = "A space is missing after the colon" if glued[2] == ":" else "A colon is missing"
    return f" {missing}: write {quote(f'{glued[1]}: {glued[3]}')}."


def _first_text(written: object) -> str | None:
    """A text, or the first text or key in what was written."""
    if isinstance(written, dict) and "name" in written:
        written = written["name"]
    if isinstance(written, list | dict):
        written = next(iter(written), None)
    return written if isinstance(written, str) else None
