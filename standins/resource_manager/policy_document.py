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
_EMPTY = re.compile(r"(?P<comment><!--.*?-->)|/>", re.DOTALL)
_RAW = re.compile(r'(?<==")\s*@[({][^"]*(?=")|(?<=>)\s*@[({][^<]*(?=<)')

_SECTIONS = ("inbound", "backend", "outbound", "on-error")
#: Elements whose children are policies, and the policies:
#: https://learn.microsoft.com/azure/api-management/api-management-policies
_HOLDERS = (
    *_SECTIONS,
    "fragment",
    "when",
    "otherwise",
    "retry",
    "wait",
    "limit-concurrency",
    "return-response",
)
_POLICY_NAMES = """
    authentication-basic authentication-certificate authentication-managed-identity
    azure-openai-emit-token-metric azure-openai-semantic-cache-lookup azure-openai-semantic-cache-store
    azure-openai-token-limit base cache-lookup cache-lookup-value cache-remove-value cache-store
    cache-store-value check-header choose cors cross-domain emit-metric find-and-replace forward-request
    get-authorization-context include-fragment invoke-dapr-binding ip-filter json-to-xml jsonp
    limit-concurrency llm-content-safety llm-emit-token-metric llm-semantic-cache-lookup
    llm-semantic-cache-store llm-token-limit log-to-eventhub mock-response proxy publish-to-dapr quota
    quota-by-key rate-limit rate-limit-by-key redirect-content-urls retry return-response rewrite-uri
    send-one-way-request send-request set-backend-service set-body set-header set-method
    set-query-parameter set-status set-variable trace validate-azure-ad-token validate-client-certificate
    validate-content validate-graphql-request validate-headers validate-jwt validate-odata-request
    validate-parameters validate-status-code wait xml-to-json xsl-transform
"""
_POLICIES = frozenset(_POLICY_NAMES.split())
#: https://learn.microsoft.com/azure/api-management/policy-fragments#limitations
_NOT_IN_FRAGMENTS = ("base", "include-fragment")
#: Policies that may stand in some sections only, and the attributes they must have.
_ONLY_IN = {
    "llm-token-limit": ("inbound",),
    "azure-openai-token-limit": ("inbound",),
    "llm-emit-token-metric": ("inbound",),
    "set-backend-service": ("inbound", "backend"),
    "rate-limit-by-key": ("inbound",),
    "quota-by-key": ("inbound",),
    "llm-content-safety": ("inbound",),
    "llm-semantic-cache-lookup": ("inbound",),
    "llm-semantic-cache-store": ("outbound",),
    "authentication-managed-identity": ("inbound",),
    "validate-azure-ad-token": ("inbound",),
    "cors": ("inbound",),
    "rewrite-uri": ("inbound",),
    "forward-request": ("backend",),
}
#: https://learn.microsoft.com/azure/api-management/llm-semantic-cache-lookup-policy#usage-notes
_ONCE = ("llm-semantic-cache-lookup", "llm-semantic-cache-store")
_REQUIRED = {
    "llm-token-limit": ("counter-key", "estimate-prompt-tokens"),
    "set-variable": ("name", "value"),
    "set-header": ("name",),
    "when": ("condition",),
    "include-fragment": ("fragment-id",),
    "rewrite-uri": ("template",),
    "authentication-managed-identity": ("resource",),
    "rate-limit-by-key": ("calls", "renewal-period", "counter-key"),
    "llm-content-safety": ("backend-id",),
    "llm-semantic-cache-lookup": ("score-threshold", "embeddings-backend-id"),
    "llm-semantic-cache-store": ("duration",),
    "validate-azure-ad-token": ("tenant-id",),
    "retry": ("condition", "count", "interval"),
}


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
    depth = 0
    for token in _TOKEN.finditer(text, start + 1):
        depth += bool(token["open"]) - bool(token["close"])
        if depth == 0:
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
            if section.tag not in _SECTIONS or section.tag in seen:
                raise document.error(section, f"'{section.tag}' is not a section, or stands twice.")
            seen.add(str(section.tag))
            _check_sections(document, section)
    for holder in document.root.iter(*_HOLDERS):
        for policy in holder.iterchildren(etree.Element):
            if policy.tag not in _POLICIES or (
                document.root.tag == "fragment" and policy.tag in _NOT_IN_FRAGMENTS
            ):
                raise document.error(
                    policy, f"'{policy.tag}' is not a policy that may stand in '{holder.tag}'."
                )
    for element in document.elements():
        _check_element(document, element)


def _check_sections(document: Document, section: Element) -> None:
    for element in section.iter(*_ONLY_IN):
        if section.tag not in _ONLY_IN[str(element.tag)]:
            raise document.error(element, f"Policy is not allowed in the section '{section.tag}'.")
    for tag in _ONCE:
        for again in list(section.iter(tag))[1:]:
            raise document.error(again, f"Policy may be used once in the section '{section.tag}'.")
    if section.tag == "backend" and len(list(section.iterchildren(etree.Element))) > 1:
        raise document.error(section, "The section 'backend' may have one policy only.")


def _check_element(document: Document, element: Element) -> None:
    for name in _REQUIRED.get(str(element.tag), ()):
        if name not in element.attrib:
            raise document.error(element, f"The required attribute '{name}' is missing.")
    if element.tag == "llm-token-limit" and not {"tokens-per-minute", "token-quota"} & set(element.attrib):
        raise document.error(element, "Either 'tokens-per-minute' or 'token-quota' is required.")
    for value in (*element.attrib.values(), element.text or ""):
        _check_value(document, element, str(value).strip())


def _check_value(document: Document, element: Element, value: str) -> None:
    if value.startswith(("@(", "@{")):
        try:
            balanced = _expression_end(value, 0) == len(value)
        except PolicyError:
            balanced = False
        if not balanced:
            raise document.error(element, "The expression is not well-formed.")
