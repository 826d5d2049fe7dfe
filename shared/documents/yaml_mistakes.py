"""The mistakes behind a parser's errors: where each was made, and the correct form.

A parser stops where it cannot go on, which is often lines after the mistake.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ruamel.yaml.error import MarkedYAMLError

from shared.documents.characters import straightened
from shared.documents.problem import quote

Mistake = tuple[int, int, str]
"""Line and column, counted from 0, and a message."""

_CONFLICT = re.compile(r"<{7}( |$)|={7}$|>{7}( |$)|\|{7}( |$)")
_KEY = r"[A-Za-z][A-Za-z0-9._/-]*"
_GLUED = re.compile(rf"\s*(?:- +)?({_KEY}):(?=[^\s:/])(\S.*)$")
_WITHOUT_COLON = re.compile(rf"\s*(?:- +)?({_KEY})(?: *[=;] *| +(?=[^\s:#]))?(\S.*)?$")
_COLON_IN_TEXT = re.compile(rf"\s*(?:- +)*({_KEY}): +([^\s'\"\[{{#&*|>].*)$")
_NESTED = re.compile(r"[a-z][A-Za-z0-9]*: +[^:]+$")
_GLUED_DASH = re.compile(r"\s*(-([A-Za-z][A-Za-z0-9]*:).*)")
_OPENS = re.compile(r"""(?:^\s*|[:\-\[{,]\s+|[\[{,])(["'])""")
_BRACKETS = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class _Failure:
    """A parser's error: `line` and `column` where it stopped, `since` where what it was reading began."""

    line: int
    column: int
    said: str
    context: str
    since: tuple[int, int]
    lines: Sequence[str]

    def text(self, line: int) -> str:
        return self.lines[line] if 0 <= line < len(self.lines) else ""

    @property
    def before(self) -> int:
        """The line with text above the one where the parser stopped; -1 when there is none."""
        return next((n for n in range(self.line - 1, -1, -1) if _has_text(self.text(n))), -1)


def cause_of(error: Exception, lines: Sequence[str]) -> Mistake:
    """The mistake that made the parser stop; where it is not known, the place where it stopped."""
    failure = _failure(error, lines)
    for look in _KNOWN:
        found = look(failure)
        if found is not None:
            return found
    hint = "Check the indentation, quotes and brackets here and in the line before"
    return failure.line, failure.column, f"This is not valid YAML: {failure.said}. {hint}."


def _failure(error: Exception, lines: Sequence[str]) -> _Failure:
    if not isinstance(error, MarkedYAMLError):
        return _Failure(0, 0, "an escape or a number is out of range", "", (0, 0), lines)
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    begun = error.context_mark
    since = (begun.line, begun.column) if begun else (line, column)
    said = str(error.problem or error.context)
    return _Failure(line, column, said, str(error.context or ""), since, lines)


def _has_text(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _conflict(failure: _Failure) -> Mistake | None:
    """The marks that Git leaves of a merge."""
    for number, line in enumerate(failure.lines):
        if _CONFLICT.match(line):
            return number, 0, "Git left a merge conflict here. Choose one side, and remove the marks."
    return None


def _open_quote(failure: _Failure) -> Mistake | None:
    """A quote that opens and does not close in its line. A parser finds the next quote, lines later."""
    if failure.said.startswith(("found unknown escape", "found character")):
        return None
    for number, line in enumerate(failure.lines[: failure.line + 1]):
        column = _unclosed(line)
        if column is not None:
            return number, column, f"The quote {line[column]} opens here and is not closed. Close it."
    return None


def _unclosed(line: str) -> int | None:
    start = 0
    if not _has_text(line):
        return None
    while match := _OPENS.search(line, start):
        end = _closing(line, match.end(), match[1])
        if end is None:
            return match.end() - 1
        start = end
    return None


def _closing(line: str, start: int, mark: str) -> int | None:
    inside = r'(?:[^"\\]|\\.)*"' if mark == '"' else "(?:[^']|'')*'"
    match = re.compile(inside).match(line, start)
    return match.end() if match else None


def _character(failure: _Failure) -> Mistake | None:
    """A character with which no text begins."""
    match = re.match(r"found character '(.|\\t)' that cannot start", failure.said)
    if match is None:
        return None
    if match[1] == "\\t":
        return failure.line, failure.column, "A tab stands here. Indent with spaces, not with tabs."
    if failure.text(failure.line).lstrip().startswith("```"):
        return failure.line, failure.column, "Remove the lines with ```: the file holds YAML only."
    advice = f"A text that begins with {match[1]} must be in quotes: write {_quoted(failure)}."
    return failure.line, failure.column, advice


def _quoted(failure: _Failure) -> str:
    rest = re.split(r"[,}\]]|\s#", failure.text(failure.line)[failure.column :])[0].strip()
    return quote(rest) if "'" not in rest else '"..."'


def _escape(failure: _Failure) -> Mistake | None:
    if not failure.said.startswith("found unknown escape"):
        return None
    advice = "A backslash begins an escape in double quotes. Write the text in single quotes: '...'."
    return failure.line, failure.column, advice


def _mark_of_reference(failure: _Failure) -> Mistake | None:
    if failure.context not in ("while scanning an alias", "while scanning an anchor"):
        return None
    sign = "*" if "alias" in failure.context else "&"
    return *failure.since, f"A text that begins with {sign} must be in quotes: write '{sign}...'."


def _open_bracket(failure: _Failure) -> Mistake | None:
    """In brackets the parser expects a comma or the end."""
    if not failure.context.startswith("while parsing a flow"):
        return None
    line, column = failure.since
    if failure.context.endswith("node"):
        line, column = _last_bracket(failure)
    mark = failure.text(line)[column : column + 1]
    if line != failure.line:
        comment = " A # hides the rest of its line." if "#" in failure.text(line) else ""
        end = _BRACKETS.get(mark, "}")
        return line, column, f"The {mark} opens here and is not closed: add {end}.{comment}"
    if failure.said.endswith("found ','"):
        return failure.line, failure.column, "A comma stands here with nothing before it. Remove it."
    if failure.said.endswith("got ':'"):
        advice = "A second colon stands in one entry. Add a comma, or quote the text: {a: 'b: c'}."
        return failure.line, failure.column, advice
    return failure.line, failure.column, "A comma is missing before this, or a quote around the text."


def _last_bracket(failure: _Failure) -> tuple[int, int]:
    """The last bracket before the place where the parser stopped."""
    for number in range(min(failure.line, len(failure.lines) - 1), -1, -1):
        column = max(map(failure.lines[number].rfind, _BRACKETS))
        if column >= 0 and (number, column) < (failure.line, failure.column):
            return number, column
    return failure.line, failure.column


def _second_colon(failure: _Failure) -> Mistake | None:
    """`a: b: c`, or a line above that lacks its colon or the space after it."""
    if failure.said != "mapping values are not allowed here":
        return None
    match = _COLON_IN_TEXT.match(failure.text(failure.line))
    if match is not None and match.start(2) < failure.column:
        written = f"{match[1]}: {quote(match[2].strip())}"
        advice = f"A second colon stands in the value. Quote the text: write {written}."
        if _NESTED.match(match[2]):
            advice = "Two keys stand in one line. Write the second below the first, indented."
        if match[2].startswith("("):
            advice = "Entries in one line stand in { and }, not in ( and )."
        return failure.line, failure.column, advice
    return _line_above(failure)


def _line_above(failure: _Failure) -> Mistake:
    above = failure.text(failure.before)
    found = _without_colon(failure.before, above) if failure.before >= 0 else None
    if found is not None:
        return found
    if dash := _GLUED_DASH.match(above):
        return failure.before, dash.start(1), f"A space is missing after the dash: write '- {dash[2]} ...'."
    advice = (
        "This line is indented deeper than the one above, which has a value already. Align the two, or "
        "remove the value above."
    )
    return failure.line, _indent(failure.text(failure.line)), advice


def _without_colon(number: int, line: str) -> Mistake | None:
    column = _indent(line)
    if line.lstrip().startswith(("//", "/*")):
        return number, column, "A comment begins with #."
    if glued := _GLUED.match(line):
        written = quote(f"{glued[1]}: {glued[2].strip()}")
        return number, glued.start(1), f"A space is missing after the colon: write {written}."
    if re.search(r":(\s|$)", straightened(line)) and ":" in line:
        return None
    match = _WITHOUT_COLON.match(straightened(line))
    if match is None:
        return number, column, "A colon and a space are missing here: write key: value."
    written = quote(f"{match[1]}: {(match[2] or '...').strip(' =;:')}")
    return number, match.start(1), f"A colon is missing after {quote(match[1])}: write {written}."


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _lonely_line(failure: _Failure) -> Mistake | None:
    """A line without a colon among lines with one."""
    if failure.said != "could not find expected ':'":
        return None
    number = failure.since[0]
    return _without_colon(number, failure.text(number)) or (*failure.since, "A colon is missing here.")


def _end_of_block(failure: _Failure) -> Mistake | None:
    """A line that does not fit those above it."""
    if not failure.said.startswith("expected <block end>"):
        return None
    found = failure.said.rpartition("found ")[2].strip("'")
    if found == "<scalar>" and failure.text(failure.line)[: failure.column].rstrip()[-1:] not in ("'", '"'):
        return failure.line, failure.column, "More stands here after the end of a value. Begin a new line."
    return failure.line, failure.column, _MISFITS.get(found, _MISFITS["<block mapping start>"])


_MISFITS = {
    "<scalar>": "Text stands after the closing quote. Put all of it in one pair of quotes; a single quote "
    "inside is written twice, as in 'it''s'.",
    "}": "This } has no { before it. Remove it.",
    "]": "This ] has no [ before it. Remove it.",
    ",": "A comma stands after a value. Remove it: outside of brackets each entry has a line of its own.",
    "-": "A list entry ('- ') stands among keys. Indent the list deeper than its key, or remove the dash.",
    "?": "A key stands among the entries of a list. Begin it with '- ', or indent it as the keys above.",
    "<block mapping start>": "This line is indented otherwise than the lines above that it belongs to. Align "
    "it with them.",
}


def _list_in_line(failure: _Failure) -> Mistake | None:
    if failure.said != "sequence entries are not allowed here":
        return None
    advice = "A list begins in a line of its own. Write '- ' below the key, or the list in brackets: [a, b]."
    return failure.line, failure.column, advice


def _first_line_deeper(failure: _Failure) -> Mistake | None:
    if not failure.said.startswith("expected '<document start>'"):
        return None
    number = next((n for n, line in enumerate(failure.lines) if _has_text(line)), failure.line)
    if _indent(failure.text(number)) > 0:
        return number, 0, "This line is indented, and later ones are not. Begin all of them at the margin."
    return failure.line, failure.column, "More stands after the end of what the file says. Remove it."


def _block_text(failure: _Failure) -> Mistake | None:
    if failure.context != "while scanning a block scalar":
        return None
    advice = "Nothing may stand after | or > in its line. Write the text in the lines below, indented."
    return failure.line, failure.column, advice


_KNOWN: tuple[Callable[[_Failure], Mistake | None], ...] = (
    _conflict,
    _character,
    _escape,
    _mark_of_reference,
    _block_text,
    _list_in_line,
    _open_quote,
    _open_bracket,
    _second_colon,
    _lonely_line,
    _end_of_block,
    _first_line_deeper,
)
