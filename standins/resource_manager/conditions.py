"""Conditions of role assignments, as far as they are about role assignments: which role, whom, of which type.

https://learn.microsoft.com/azure/role-based-access-control/conditions-format
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

_TOKEN = re.compile(
    r"\s*(?:(?P<mark>[()!]|&&|\|\||\b(?:AND|OR|NOT)\b)"
    r"|ActionMatches\s*\{\s*'(?P<pattern>[^']+)'\s*\}"
    r"|@(?P<source>Request|Resource)\[Microsoft\.Authorization/roleAssignments:(?P<attribute>\w+)\]"
    r"\s*(?P<operator>[\w:]+)\s*(?P<values>\{[^}]*\}|'[^']*'))",
    re.IGNORECASE,
)
_SYNONYMS = {"&&": "AND", "||": "OR", "NOT": "!"}
#: How a value compares with one of the condition, by operator; all ignore case but the plain string ones.
_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "guidequals": lambda value, other: value.lower() == other.lower(),
    "guidnotequals": lambda value, other: value.lower() != other.lower(),
    "stringequals": lambda value, other: value == other,
    "stringnotequals": lambda value, other: value != other,
    "stringequalsignorecase": lambda value, other: value.lower() == other.lower(),
    "stringnotequalsignorecase": lambda value, other: value.lower() != other.lower(),
}
_QUANTIFIERS: Mapping[str, Callable[[list[bool]], bool]] = {
    "foranyofanyvalues": any,
    "foranyofallvalues": all,
}


class UnknownCondition(Exception):
    """The text is no condition, or one of a form that is not known here."""


@dataclass(frozen=True)
class Facts:
    """What a condition may ask about: the action, and attributes by source and name, both in lower case
    (`request`, `principaltype`).
    """

    action: str
    attributes: Mapping[tuple[str, str], str]


Test = Callable[[Facts], bool]


@cache
def condition(text: str) -> Test:
    """The condition as a function. Raises UnknownCondition."""
    parser = _Parser(_tokens(text))
    test = parser.either()
    if parser.tokens:
        raise UnknownCondition(f"unexpected {parser.tokens[0]}")
    return test


def matches(pattern: str, action: str) -> bool:
    """Whether an action is meant by a pattern with `*`, as in role definitions."""
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), action, re.IGNORECASE) is not None


def _tokens(text: str) -> list[str | Test]:
    tokens: list[str | Test] = []
    rest = text.strip()
    while rest:
        match = _TOKEN.match(rest)
        if match is None:
            raise UnknownCondition(rest[:80])
        tokens.append(
            _SYNONYMS.get(match["mark"].upper(), match["mark"].upper()) if match["mark"] else _leaf(match)
        )
        rest = rest[match.end() :].strip()
    return tokens


def _leaf(match: re.Match[str]) -> Test:
    if pattern := match["pattern"]:
        return lambda facts: matches(pattern, facts.action)
    quantifier, _, operator = match["operator"].lower().rpartition(":")
    if operator not in _OPERATORS or (quantifier and quantifier not in _QUANTIFIERS):
        raise UnknownCondition(match["operator"])
    compare, several = _OPERATORS[operator], _QUANTIFIERS.get(quantifier, any)
    key = (match["source"].lower(), match["attribute"].lower())
    values = [value.strip().strip("'") for value in match["values"].strip("{}").split(",")]

    def compared(facts: Facts) -> bool:
        return key in facts.attributes and several(
            [compare(facts.attributes[key], value) for value in values]
        )

    return compared


class _Parser:
    """Or over and over not, and parentheses.
    https://learn.microsoft.com/azure/role-based-access-control/conditions-format#operator-precedence
    """

    def __init__(self, tokens: list[str | Test]) -> None:
        self.tokens = tokens

    def either(self) -> Test:
        tests = [self._all()]
        while self._next("OR"):
            tests.append(self._all())
        return lambda facts: any(test(facts) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._next("AND"):
            tests.append(self._one())
        return lambda facts: all(test(facts) for test in tests)

    def _one(self) -> Test:
        if self._next("!"):
            test = self._one()
            return lambda facts: not test(facts)
        if self._next("("):
            test = self.either()
            if not self._next(")"):
                raise UnknownCondition("a parenthesis is not closed")
            return test
        if not self.tokens or isinstance(self.tokens[0], str):
            raise UnknownCondition("an expression is missing")
        leaf = self.tokens.pop(0)
        assert not isinstance(leaf, str)
        return leaf

    def _next(self, mark: str) -> bool:
        if self.tokens and self.tokens[0] == mark:
            self.tokens.pop(0)
            return True
        return False
