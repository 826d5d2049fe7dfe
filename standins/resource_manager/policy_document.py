"""Policy documents: read `xml` and `rawxml`, refuse what API Management refuses, write them back in its own
layout.

In `rawxml` the C# expressions `@(...)` and `@{...}` stand unescaped, so they are escaped before the XML is
parsed. https://learn.microsoft.com/azure/api-management/api-management-policies
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from standins.resource_manager.policy_grammar import SECTIONS
from standins.resource_manager.policy_rules import problems

Element = etree._Element

#: C# as far as brackets go: comments, strings (verbatim, interpolated, plain), characters, brackets, anything
#: else.
_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|(?:@\$?|\$@)"(?:[^"]|"")*"|\$?"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])+'"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|.""",
    re.DOTALL,
)
#: Where an expression may begin in `rawxml`: as the whole of an attribute or of an element's text. Comments
#: and CDATA are skipped.
_START = re.compile(
    r"""<!--.*?-->|<!\[CDATA\[.*?\]\]>|=\s*(?P<quote>["'])\s*(?=@[({])|>\s*(?=@[({])""", re.DOTALL
)
_ENTITY = re.compile(r"&(?!(?:quot|apos|lt|gt|amp|#\d+|#x[0-9a-fA-F]+);)")
_CLOSES = {"(": ")", "[": "]", "{": "}"}
#: How a block of statements ends: not all of its ways may end without a value.
_ENDS = re.compile(r"\b(?:return|throw)\b")
_EMPTY = re.compile(r"(?P<comment><!--.*?-->)|/>", re.DOTALL)
_RAW = re.compile(r'(?<==")\s*@[({][^"]*(?=")|(?<=>)\s*@[({][^<]*(?=<)')


@dataclass
class PolicyError(Exception):
    """What is wrong with a document, and where: line and column count from 1."""

    element: str
    line: int
    column: int
    reason: str

    def __str__(self) -> str:
        return f"Error in element '{self.element}' on line {self.line}, column {self.column}: {self.reason}"


@dataclass(frozen=True)
class Document:
    """A parsed policy document or fragment, with the text it came from."""

    text: str
    root: Element

    def error(self, element: Element, reason: str) -> PolicyError:
        """An error at the element's start tag."""
        line: int = element.sourceline or 1  # type: ignore[assignment]
        found = self.text.split("\n")[line - 1].find(f"<{element.tag}")
        return PolicyError(str(element.tag), line, max(found, 0) + 2, reason)

    def elements(self) -> Iterator[Element]:
        """All elements, without the comments."""
        return self.root.iter(etree.Element)

    def references(self, tag: str, attribute: str) -> Iterator[tuple[Element, str]]:
        """The literal names (no expressions) that elements of this tag refer to."""
        for element in self.root.iter(tag):
            name = str(element.get(attribute, ""))
            if name and not name.startswith("@"):
                yield element, name


def parse(text: str, *, raw: bool, root: str) -> Document:
    """Read a document whose root must be `policies` or `fragment`. Raises PolicyError."""
    escaped = _escape_expressions(text) if raw else text
    try:
        document = Document(text, etree.fromstring(escaped.strip().encode(), _parser()))
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise PolicyError(_tag_before(text, line, column), line, column, str(error.msg)) from error
    if document.root.tag != root:
        raise document.error(document.root, f"The root element must be '{root}'.")
    _check(document)
    return document


def kept(xml: str) -> Document:
    """A document from `write`, read again."""
    return Document(xml, etree.fromstring(xml.encode(), _parser()))


def _parser() -> etree.XMLParser:
    return etree.XMLParser(remove_pis=True, resolve_entities=False, no_network=True)


def write(document: Document, comments: bool) -> str:
    """The document as the service keeps it: indented by tabs, lines ended by CR LF, expressions escaped,
    comments only if wanted.
    """
    if not comments:
        etree.strip_elements(document.root, etree.Comment, with_tail=False)
    for element in document.root.iter():
        element.tail = None
        if len(element) and not (element.text or "").strip():
            element.text = None
    etree.indent(document.root, space="\t")
    above = reversed(list(document.root.itersiblings(preceding=True))) if comments else ()
    lines = [etree.tostring(node, encoding="unicode", with_tail=False) for node in (*above, document.root)]
    return _EMPTY.sub(lambda match: match["comment"] or " />", "\n".join(lines)).replace("\n", "\r\n")


def as_raw(xml: str) -> str:
    """A document from `write` with its expressions unescaped."""
    return _RAW.sub(lambda match: html.unescape(match[0]), xml)


def _escape_expressions(text: str) -> str:
    done, position = [], 0
    while start := _START.search(text, position):
        done.append(text[position : start.end()])
        position = start.end()
        if start[0].startswith("<!"):
            continue
        end = _expression_end(text, position)
        expression = html.escape(_ENTITY.sub("&amp;", text[position:end]).replace("&", "\0")).replace(
            "\0", "&"
        )
        if start["quote"] and text[end : end + 1] == start["quote"]:
            # XML would turn the line ends of an attribute into spaces; after the quote they keep the count of
            # lines right.
            expression = expression.replace("\n", "&#10;") + start["quote"] + "\n" * expression.count("\n")
            end += 1
        done.append(expression)
        position = end
    return "".join([*done, text[position:]])


def _expression_end(text: str, start: int) -> int:
    """The position after the bracket that closes the expression at `start` (its `@`). Raises PolicyError if
    none does.
    """
    closes: list[str] = []
    for token in _TOKEN.finditer(text, start + 1):
        if token["open"]:
            closes.append(_CLOSES[token["open"]])
        elif token["close"] and closes.pop() != token["close"]:
            break
        if not closes:
            return token.end()
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    raise PolicyError(
        _tag_before(text, line, column), line, column, "The parentheses of the expression are not balanced."
    )


def _tag_before(text: str, line: int, column: int) -> str:
    lines = text.split("\n")[:line]
    lines[-1] = lines[-1][: max(column, 1)]
    tags = re.findall(r"<([A-Za-z][\w-]*)", "\n".join(lines))
    return tags[-1] if tags else "policies"


def _check(document: Document) -> None:
    if document.root.tag == "policies":
        seen: set[str] = set()
        for section in document.root.iterchildren(etree.Element):
            if section.tag not in SECTIONS or section.tag in seen:
                raise document.error(section, f"'{section.tag}' is not a section, or stands twice.")
            seen.add(str(section.tag))
    for element, reason in problems(document.root):
        raise document.error(element, reason)
    for element in document.elements():
        for value in (*element.attrib.values(), element.text or ""):
            _check_value(document, element, str(value).strip())


def _check_value(document: Document, element: Element, value: str) -> None:
    if value.startswith(("@(", "@{")):
        try:
            balanced = _expression_end(value, 0) == len(value)
        except PolicyError:
            balanced = False
        empty = not value[2:-1].strip() or (value[1] == "{" and not _ENDS.search(value))
        if not balanced or empty:
            raise document.error(element, "The expression is not well-formed.")
