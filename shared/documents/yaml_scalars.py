"""The value of a plain YAML scalar by the core schema of YAML 1.2, in which `no` and dates are text.

https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

Scalar = str | int | float | bool | None

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?[0-9]{1,18}")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]{1,17}")
_OCTAL = re.compile(r"0o[0-7]{1,18}")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]{1,15}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # control characters but tab, line feed, carriage return
    # invisible, line breaks for some readers only, changes of direction
    "\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff"
    "\ud800-\udfff\ufffe\uffff]"  # not characters
)

_SPACES = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_ANY_ODD_SPACE = re.compile(f"[{_SPACES}]")
_ODD_SPACE = re.compile(f"(?:^ *|^[^#'\"]*[:-] *)[{_SPACES}]")


def value_of(text: str) -> Scalar:
    """The value of a plain (unquoted) scalar. Numbers beyond 18 digits become floats, which nothing here
    accepts.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _DECIMAL.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return int(text, base=0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text


def is_other_notation(text: str) -> bool:
    """Whether a plain scalar is a whole number that not every reader takes for the same: `010000`, `0x2710`,
    `0o17`.
    """
    return any(form.fullmatch(text) for form in (_LEADING_ZERO, _OCTAL, _HEXADECIMAL))


def first_forbidden(text: str) -> str | None:
    """The first character that may not stand in a file, as `U+0007`; None when there is none."""
    match = _FORBIDDEN.search(text)
    return f"U+{ord(match[0]):04X}" if match else None


def forbidden_in(text: str) -> Iterator[tuple[int, int, str]]:
    """The first such character of each line, in at most 20 lines: line and column counted from 0, and the
    character as `U+0007`.
    """
    lines = ((number, _FORBIDDEN.search(line)) for number, line in enumerate(re.split("\r\n?|\n", text)))
    found = ((number, match.start(), f"U+{ord(match[0]):04X}") for number, match in lines if match)
    return itertools.islice(found, 20)


def odd_spaces_in(text: str) -> Iterator[tuple[int, int, str]]:
    """The first space of another kind in each line's indentation or after a colon or dash, in at most 20
    lines: line and column counted from 0, and the character.
    """
    lines = ((number, _ODD_SPACE.search(line)) for number, line in enumerate(re.split("\r\n?|\n", text)))
    found = ((number, match.end() - 1, match[0][-1]) for number, match in lines if match)
    return itertools.islice(found, 20)


def without_forbidden(text: str) -> str:
    """The text with each forbidden character replaced by one U+FFFD, and in the lines of `odd_spaces_in` each
    space of another kind by an ordinary one, so that every place stays where it was.
    """
    text = _FORBIDDEN.sub("\ufffd", text)
    if not _ANY_ODD_SPACE.search(text):
        return text
    return "".join(
        _ANY_ODD_SPACE.sub(" ", line) if _ODD_SPACE.search(line) else line
        for line in re.split("(\r\n?|\n)", text)
    )
