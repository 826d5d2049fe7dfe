"""API Management's policies against the XSDs that Microsoft's editor extension checks them with.

What the XSDs do not say (which section or scope allows a policy) the service says itself, and the stand-in
with it.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cache

from lxml import etree

from standins.tests.reference.descriptions import DIRECTORY
from standins.tests.reference.schemas import Flaw
from standins.world import Exchange

#: Where an expression begins in `rawxml`, and C# as far as its brackets go: strings and characters, comments,
#: brackets, anything else.
_START = re.compile(r'(?<=[">])\s*@(?=[({])')
_TOKEN = re.compile(
    r"""\$?@\$?"(?:[^"]|"")*"|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])+'|//[^\n]*|/\*.*?\*/|([({])|([)}])|.""",
    re.DOTALL,
)


def policy_flaws(exchange: Exchange) -> Iterator[Flaw]:
    """What is wrong with the policy or fragment that a PUT carries; nothing if it carries none."""
    path = exchange.path.split("?")[0].lower()
    if (
        exchange.method != "PUT"
        or exchange.request_body is None
        or not ("/policyfragments/" in path or path.endswith("/policies/policy"))
    ):
        return
    properties = json.loads(exchange.request_body)["properties"]
    text = _escaped(properties["value"]) if properties.get("format") == "rawxml" else properties["value"]
    yield from (Flaw("body/properties/value", flaw) for flaw in document_flaws(text))


def document_flaws(text: str) -> Iterator[str]:
    """What the XSDs find wrong with a document or fragment in the format `xml`.

    They look into no policy that holds others, so what stands in one is shown to them as if it stood in a
    section.
    """
    try:
        root = etree.fromstring(text.strip())
    except etree.XMLSyntaxError as error:
        yield str(error)
        return
    for document in (
        _as_policies(root),
        *(_in_a_section(holder) for holder in root.iter("when", "otherwise", "retry")),
    ):
        try:
            _schema().assertValid(document)
        except etree.DocumentInvalid as error:
            yield str(error)


def _escaped(raw: str) -> str:
    """The document with its expressions escaped, as `xml` has them."""
    start = _START.search(raw)
    if start is None:
        return raw
    end = _end(raw, start.end())
    return raw[: start.end()] + html.escape(raw[start.end() : end]) + _escaped(raw[end:])


def _end(raw: str, start: int) -> int:
    """The position after the bracket that closes the one at `start`, or the end of the text."""
    depth = 0
    for token in _TOKEN.finditer(raw, start):
        depth += bool(token[1]) - bool(token[2])
        if depth == 0:
            return token.end()
    return len(raw)


def _as_policies(root: etree._Element) -> etree._Element:
    """The XSDs know no fragment: what stands in one may stand in a section."""
    return root if root.tag == "policies" else _in_a_section(root)


def _in_a_section(holder: etree._Element) -> etree._Element:
    policies = etree.Element("policies")
    etree.SubElement(policies, "inbound").extend(deepcopy(child) for child in holder)
    return policies


@cache
def _schema() -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(DIRECTORY / "apim-policy-schema" / "policies.xsd"))
