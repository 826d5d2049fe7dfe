"""CEL, the language of admission policies and of rules in definitions:
https://kubernetes.io/docs/reference/using-api/cel/ .

The library https://pypi.org/project/common-expression-language/ evaluates; optional fields (`a.?b`,
`a[?'b']`), which it cannot read, are turned into calls. What is not known is refused, never passed over.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import cel

from standins.kubernetes.errors import unsupported

_TOKEN = re.compile(
    r"""[rR]?(?:\"\"\".*?\"\"\"|'''.*?'''|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\.\?|\[\?|\{\?|[=!<>]=|&&|\|\||\d+\.\d+|\w+|\S""",
    re.S,
)
_CLOSING = {"(": ")", "[": "]", "{": "}", "[?": "]"}
_BOUND = re.compile(r"\.\s*(?:all|exists|exists_one|map|filter)\s*\(\s*(\w+)\s*,")
_NO_OPERAND = frozenset(("in", "&&", "||", "!", "?", ":", ",", "==", "!="))
#: What the library has itself.
_BUILT_IN = frozenset(
    (
        *("size", "contains", "startsWith", "endsWith", "matches", "int", "uint", "double", "string", "bool"),
        *("bytes", "type", "dyn", "duration", "timestamp", "has", "hasValue", "value", "orValue", "or"),
    )
)


class ExpressionError(Exception):
    """An expression that cannot be compiled, or has no value for what it was given."""


class Expression:
    """A compiled expression over variables of these names. Raises `ExpressionError`, and `Refused` (501) for
    functions that are not known here.
    """

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self.text = text.strip()
        try:
            self._program = cel.compile(_without_optionals(list(_tokens(self.text))))
        except ValueError as error:
            raise ExpressionError(f"compilation failed: {error}") from error
        references = self._program.references()
        if unknown := sorted(set(references["variables"]) - names - set(_BOUND.findall(self.text))):
            raise ExpressionError(
                f"compilation failed: undeclared reference to '{unknown[0]}' (in container '')"
            )
        for name in references["functions"]:
            if name.isidentifier() and name not in _BUILT_IN and name not in _FUNCTIONS:
                raise unsupported(f"the function {name} in the expression {self.text}")

    def __call__(self, variables: Mapping[str, Any]) -> Any:
        try:
            return self._program.execute(cel.Context(variables=dict(variables), functions=_FUNCTIONS))
        except KeyError as error:
            raise ExpressionError(f"no such key: {error.args[0]}") from error
        except (RuntimeError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise ExpressionError(str(error)) from error


@cache
def compiled(text: str, names: frozenset[str]) -> Expression:
    return Expression(text, names)


def escaped(value: Any) -> Any:
    """A value as rules see it: fields whose names are words of the language are spelled `__name__`."""
    if isinstance(value, dict):
        return {f"__{name}__" if name in _RESERVED else name: escaped(part) for name, part in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value


_RESERVED = frozenset(
    (
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if"),
        *("import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    )
)


def _field(value: Any, name: str) -> Any:
    """What `value.?name` is."""
    if isinstance(value, cel.OptionalValue):
        if not value.has_value():
            return value
        value = value.value()
    present = isinstance(value, dict) and name in value
    return cel.OptionalValue.of(value[name]) if present else cel.OptionalValue.none()


_FUNCTIONS: dict[str, Any] = {
    "_optional": _field,
    "lowerAscii": str.lower,
    "upperAscii": str.upper,
    "split": str.split,
    "replace": str.replace,
    "trim": str.strip,
    "join": lambda texts, separator="": separator.join(texts),
}


def _tokens(text: str) -> Iterator[str]:
    """Words and signs; what is in brackets is one token, with `_optional` in the place of what is optional
    in it.
    """
    found = iter(_TOKEN.findall(text))
    for token in found:
        yield _group(token, found) if token in _CLOSING else token


def _group(opening: str, rest: Iterator[str]) -> str:
    """What is in brackets, whose opening one was read."""
    inside: list[str] = []
    for token in rest:
        if token == _CLOSING[opening]:
            return f"{opening}{_without_optionals(inside)}{token}"
        inside.append(_group(token, rest) if token in _CLOSING else token)
    raise ExpressionError("compilation failed: Syntax error: a bracket is not closed")


def _without_optionals(tokens: list[str]) -> str:
    done: list[str] = []
    rest = deque(tokens)
    while rest:
        token = rest.popleft()
        # What is a field of something optional is optional too; a function of it is not.
        follows = (
            bool(done) and done[-1].startswith("_optional(") and not (len(rest) > 1 and rest[1][0] == "(")
        )
        if rest and (token == ".?" or (token == "." and follows)):
            done.append(f"_optional({_operand(done)}, '{rest.popleft()}')")
        elif token.startswith("[?") or (token.startswith("[") and follows):
            done.append(f"_optional({_operand(done)}, {token.removeprefix('[').removeprefix('?')[:-1]})")
        else:
            done.append(token)
    return " ".join(done)


def _operand(done: list[str]) -> str:
    """Take off what an optional field is a field of: names, calls and brackets up to an operator."""
    taken: list[str] = []
    while done and (not taken or taken[0] == "." or done[-1] == "." or taken[0].startswith(("(", "["))):
        if done[-1] in _NO_OPERAND:
            break
        taken.insert(0, done.pop())
    if not taken:
        raise unsupported("an optional element or entry in an expression")
    return " ".join(taken)
