"""A file as plain data with the position of each of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.documents.problem import START, Position, Problem, problem_at

KeyPath = tuple[str | int, ...]
"""The way to a part of a document: keys and list indexes."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file as plain data (dict, list, str, int, float, bool, None) and the place of every key and value.

    `unread` are the parts whose value is unknown because of a problem already found, such as an alias.
    `text_starts` are the texts whose lines stand in the file as they are: a text in them can be read as YAML
    with true places. `numbers` are the fractions as they were written: `1e5`, `10.000`. After a problem that
    ended the reading, `data` is None and everything is unread.
    """

    path: str
    data: object
    keys: Mapping[KeyPath, Position]
    values: Mapping[KeyPath, Position]
    text_starts: Mapping[KeyPath, Position]
    unread: frozenset[KeyPath]
    problems: tuple[Problem, ...]
    numbers: Mapping[KeyPath, str] = field(default_factory=dict)

    def at(self, where: KeyPath) -> Position:
        """The place of a value, or of the nearest part around it that is there."""
        while where:
            if where in self.values:
                return self.values[where]
            where = where[:-1]
        return START

    def key_at(self, where: KeyPath) -> Position:
        """The place of a key, or of what is around it: where to look for something that is missing in it."""
        while where:
            if where in self.keys:
                return self.keys[where]
            if isinstance(where[-1], int):
                return self.at(where)
            where = where[:-1]
        return START

    def get(self, where: KeyPath) -> object:
        """The value at a path, None when there is none."""
        found = self.data
        for step in where:
            if isinstance(found, dict) and isinstance(step, str):
                found = found.get(step)
            elif isinstance(found, list) and isinstance(step, int) and step < len(found):
                found = found[step]
            else:
                return None
        return found

    def written(self, where: KeyPath) -> object:
        """The value at a path for a message: a fraction as it was written."""
        return self.numbers.get(where, self.get(where))

    def knows(self, where: KeyPath) -> bool:
        """Whether the value at a path was read: false inside a part that is unread."""
        return not any(where[:length] in self.unread for length in range(len(where) + 1))

    def knows_all(self, where: KeyPath) -> bool:
        """Whether the value at a path was read with everything in it."""
        return self.knows(where) and not any(unread[: len(where)] == where for unread in self.unread)

    def problem(self, where: KeyPath, reason: str, message: str) -> Problem:
        """A problem with the value at a path."""
        return problem_at(self.path, self.at(where), reason, message)
