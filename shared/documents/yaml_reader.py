"""Builds plain data from YAML events; refused constructs become problems with their positions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
)

from shared.documents.amounts import number_meant
from shared.documents.document import Document, KeyPath
from shared.documents.problem import Position, Problem, problem_at, quote
from shared.documents.yaml_mistakes import cause_of
from shared.documents.yaml_scalars import first_forbidden, is_other_notation, value_of, without_forbidden

MAX_DEPTH = 20
_LONGEST_NUMBER = 24

#: Not in the middle of a number or a word.
_WITH_COMMAS = re.compile(r"(?<![0-9A-Za-z.,])[0-9]+(?:,[0-9]+)+(?![0-9A-Za-z])")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
_GLUED = re.compile(r"([A-Za-z][A-Za-z0-9]*):(\S*)")

Place = Callable[[int, int], Position]
"""Where a line and column of a text, counted from 0, stand in the file."""


class _Stop(Exception):
    """The rest of the text cannot be read."""


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been read yet; in a mapping, `slot` is the key whose value comes
    next.
    """

    value: dict[str, object] | list[object]
    path: KeyPath
    slot: str | None = None
    stored: bool = True


class Reader:
    """Plain data out of a stream of YAML events, without recursion: `complain` and `read`, then
    `document`.
    """

    def __init__(self, path: str, text: str, place: Place) -> None:
        self._path, self._place = path, place
        self._text = without_forbidden(text)
        self._lines = self._text.splitlines()
        self._stack: list[_Open] = []
        self._documents = 0
        self._data: object = None
        self._keys: dict[KeyPath, Position] = {}
        self._values: dict[KeyPath, Position] = {}
        self._text_starts: dict[KeyPath, Position] = {}
        self._numbers: dict[KeyPath, str] = {}
        self._unread: set[KeyPath] = set()
        self._problems: list[Problem] = []

    def complain(self, line: int, column: int, reason: str, message: str) -> None:
        self._problems.append(problem_at(self._path, self._place(line, column), reason, message))

    def read(self) -> None:
        try:
            for event in YAML(typ="safe", pure=True).parse(self._text):
                self._take(event)
        except _Stop:
            if self._documents == 1:
                self._end_early()
        # The parser raises ValueError and OverflowError for escapes and numbers out of range.
        except (YAMLError, ValueError, OverflowError) as error:
            line, column, message = cause_of(error, self._lines)
            self.complain(line, column, "NotYaml", message)
            self._end_early()
        if self._data is None and not self._problems:
            self.complain(0, 0, "Empty", "There is nothing to read here.")
            self._end_early()

    def document(self) -> Document:
        unread = frozenset(self._unread)
        return Document(
            self._path,
            self._data,
            self._keys,
            self._values,
            self._text_starts,
            unread,
            tuple(self._problems),
            self._numbers,
        )

    def _end_early(self) -> None:
        self._data = None
        self._unread.add(())

    def _refuse(self, event: Any, reason: str, message: str) -> None:
        self.complain(event.start_mark.line, event.start_mark.column, reason, message)

    def _take(self, event: Any) -> None:
        match event:
            case DocumentStartEvent():
                self._begin_document(event)
            case AliasEvent():
                self._take_alias(event)
            case ScalarEvent() if self._awaits_key():
                self._take_key(event)
            case ScalarEvent():
                self._take_scalar(event)
            case CollectionStartEvent():
                self._open(event)
            case CollectionEndEvent():
                self._put(self._stack.pop().value)
            case _:
                pass  # the ends of documents and the stream say nothing

    def _begin_document(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._refuse(
                event,
                "SeveralDocuments",
                "A second document starts here ('---'). Write one document per file.",
            )
            raise _Stop
        if event.version or event.tags:
            self._refuse(event, "Directive", "Lines that start with '%' are not accepted. Remove them.")

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].slot is None

    def _here(self) -> KeyPath:
        if not self._stack:
            return ()
        top = self._stack[-1]
        return (*top.path, len(top.value) if isinstance(top.value, list) else str(top.slot))

    def _mark(self, event: Any) -> None:
        """Note the position of a value, and refuse an anchor or a tag."""
        self._values[self._here()] = self._place(event.start_mark.line, event.start_mark.column)
        if event.anchor is not None:
            self._refuse(
                event,
                "AnchorOrAlias",
                f"Anchors are not accepted. Remove {quote('&' + event.anchor)} and write each value out.",
            )
        if event.tag is not None:
            self._unread.add(self._here())
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(
                event,
                "Tag",
                f"Tags are not accepted. Remove {quote(tag)}; put text that looks like a number in quotes.",
            )

    def _take_alias(self, event: Any) -> None:
        self._refuse(
            event,
            "AnchorOrAlias",
            f"Aliases are not accepted. Replace {quote('*' + event.anchor)} by the value itself.",
        )
        if self._awaits_key():
            raise _Stop
        self._unread.add(self._here())
        self._put(None)

    def _take_key(self, event: Any) -> None:
        top, key = self._stack[-1], event.value
        plain = event.implicit[0]
        top.stored = False
        top.slot = f"{key} (again)" if key in top.value else key
        if event.anchor is not None or event.tag is not None:
            self._refuse(event, "AnchorOrAlias", f"Write the key {quote(key)} without anchor or tag.")
        if plain and key == "<<":
            self._refuse(event, "MergeKey", "Merge keys ('<<') are not accepted. Write the keys out.")
        elif plain and not isinstance(value_of(key), str):
            self._refuse_number(event)
        elif key in top.value:
            first = self._keys[(*top.path, key)].line
            self._refuse(
                event,
                "DuplicateKey",
                f"The key {quote(key)} stands here a second time; the first is in line {first}. Remove one.",
            )
        else:
            top.stored = True
            self._keys[self._here()] = self._place(event.start_mark.line, event.start_mark.column)

    def _refuse_number(self, event: Any) -> None:
        """A key that is no text: often the rest of a number with a comma, `{tokensPerMinute: 10,000}`."""
        number = self._number_around(event)
        if number is not None:
            line, column = event.start_mark.line, event.start_mark.column
            if self._lines[line].find(",", number.start(), column - 1) < 0:
                instead = "" if _THOUSANDS.fullmatch(number[0]) else "."
                advice = f"A comma separates entries here: write {number[0].replace(',', instead)}."
                self._refuse(event, "KeyNotText", advice)
            return
        key = quote(event.value)
        self._refuse(event, "KeyNotText", f"The key {key} is not text. Keys are names, such as 'team'.")

    def _number_around(self, event: Any) -> re.Match[str] | None:
        """The number with commas in whose rest the key stands."""
        column = event.start_mark.column
        near = max(0, column - _LONGEST_NUMBER), column + _LONGEST_NUMBER
        numbers = _WITH_COMMAS.finditer(self._lines[event.start_mark.line], *near)
        return next((each for each in numbers if each.start() < column < each.end()), None)

    def _part_glued(self, event: Any) -> None:
        """In braces `name:alpha` and `name:` before a comma or brace are keys without a value."""
        top = self._stack[-1] if self._stack else None
        match = _GLUED.fullmatch(top.slot or "") if top is not None else None
        if top is None or match is None or not top.stored or event.value or event.style is not None:
            return
        self._keys[(*top.path, match[1])] = self._keys.pop((*top.path, str(top.slot)))
        top.slot = match[1]
        if match[2]:
            place = self._keys[(*top.path, match[1])]
            advice = f"A space is missing after the colon: write {quote(f'{match[1]}: {match[2]}')}."
            self._problems.append(problem_at(self._path, place, "NotYaml", advice))
            self._unread.add(self._here())

    def _note_number(self, event: Any) -> None:
        """Refuse numbers in other notations: one person reads 010000 as ten thousand, another as 4096."""
        if event.implicit[0] and is_other_notation(event.value):
            meant = number_meant(event.value)
            advice = f"write {meant}" if meant else "write it in digits"
            self._refuse(
                event,
                "BadNumber",
                f"{quote(event.value)} is a number in another notation: {advice}, or put it in quotes if it "
                "is text.",
            )
            self._unread.add(self._here())
        elif event.implicit[0] and isinstance(value_of(event.value), float):
            self._numbers[self._here()] = event.value

    def _take_scalar(self, event: Any) -> None:
        self._part_glued(event)
        self._mark(event)
        self._note_number(event)
        if event.style == "|" or event.start_mark.line == event.end_mark.line:
            self._text_starts[self._here()] = self._text_start(event)
        if (code := first_forbidden(event.value)) is not None:
            self._refuse(
                event, "ControlCharacter", f"This text contains an invisible character ({code}). Remove it."
            )
            self._unread.add(self._here())
        self._put(value_of(event.value) if event.implicit[0] else event.value)

    def _text_start(self, event: Any) -> Position:
        line, column = event.start_mark.line, event.start_mark.column
        if event.style != "|":
            return self._place(line, column + (event.style is not None))
        for number, inside in enumerate(event.value.split("\n")):
            if inside:
                return self._place(line + 1, len(self._lines[line + 1 + number]) - len(inside))
        return self._place(line, column)

    def _open(self, event: Any) -> None:
        if self._awaits_key():
            self._refuse(
                event,
                "KeyNotText",
                "A key must be a simple name; this one is a list or a mapping. Remove the '{', '[' or '?'.",
            )
            raise _Stop
        if len(self._stack) == MAX_DEPTH:
            self._refuse(
                event,
                "TooDeep",
                f"This is nested deeper than {MAX_DEPTH} levels. Nothing here needs so many: check brackets "
                "and indentation.",
            )
            raise _Stop
        self._mark(event)
        self._stack.append(_Open({} if isinstance(event, MappingStartEvent) else [], self._here()))

    def _put(self, value: object) -> None:
        if not self._stack:
            self._data = value
            return
        top = self._stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif top.slot is not None:
            if top.stored:
                top.value[top.slot] = value
            top.slot = None
