"""The parts of every policy document: elements, expressions, error responses, and the digest that it carries.

Nothing is concatenated: an XML library writes every element and escapes every value, so the policies are sent
as `xml`, not `rawxml`. The gateway also *evaluates* `@(...)` and `{{...}}`, which no escaping prevents. So
only names and URLs that passed a strict character set, and numbers, reach a policy; `literal` checks that
once more. https://learn.microsoft.com/azure/api-management/api-management-policies
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from typing import Literal
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, indent, tostring

from shared.policies.expressions import EXPRESSIONS

_DIGEST = "mergekey-digest"
_LITERAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/ -]*")
_PLACE = re.compile(r"%(name|value)%")

#: The audience of the token with which the gateway calls a Foundry model or the content safety service.
FOUNDRY_AUDIENCE = "https://cognitiveservices.azure.com"

#: The headers that say how much is left: of the team's calls, of its tokens, of the model's tokens.
REMAINING_REQUESTS = "x-remaining-requests"
REMAINING_TOKENS = "x-remaining-tokens"
REMAINING_MODEL_TOKENS = "x-remaining-model-tokens"
REMAINING = (REMAINING_REQUESTS, REMAINING_TOKENS, REMAINING_MODEL_TOKENS)

#: The security headers of every response.
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}

Status = Literal[400, 403, 404]
_REASONS: dict[Status, str] = {400: "Bad Request", 403: "Forbidden", 404: "Not Found"}
_CODES: dict[Status, str] = {400: "bad_request", 403: "model_not_allowed", 404: "model_not_found"}


def literal(value: str) -> str:
    """A value that may stand in an expression of a policy. Raises ValueError for anything that could end the
    text or start code.
    """
    if not _LITERAL.fullmatch(value):
        raise ValueError(f"not allowed in a policy: {value!r}")
    return value


def is_literal(value: str) -> bool:
    """Whether `literal` takes it."""
    return _LITERAL.fullmatch(value) is not None


def expression(which: str, **literals: str) -> str:
    """One of the texts of EXPRESSIONS with literals in its places."""
    return _PLACE.sub(lambda place: literal(literals[place[1]]), EXPRESSIONS[which])


def policies() -> Element:
    """A document with its four sections, each of which begins with what the wider scopes say."""
    root = Element("policies")
    for section in ("inbound", "backend", "outbound", "on-error"):
        SubElement(SubElement(root, section), "base")
    return root


def section(root: Element, name: Literal["inbound", "backend", "outbound", "on-error"]) -> Element:
    found = root.find(name)
    assert found is not None, "`policies` made it"
    return found


def when(parent: Element, which: str, **literals: str) -> Element:
    """A branch of a new `choose`."""
    return another_when(SubElement(parent, "choose"), which, **literals)


def another_when(choose: Element, which: str, **literals: str) -> Element:
    return SubElement(choose, "when", condition=expression(which, **literals))


def set_variable(parent: Element, name: str, value: str) -> None:
    """`value` is a literal or came from `expression`."""
    SubElement(parent, "set-variable", name=name, value=value)


def set_header(parent: Element, name: str, value: str) -> None:
    header = SubElement(parent, "set-header", {"name": name, "exists-action": "override"})
    SubElement(header, "value").text = value


def remove_header(parent: Element, name: str) -> None:
    SubElement(parent, "set-header", {"name": name, "exists-action": "delete"})


def set_backend(parent: Element, name: str) -> None:
    """The backend, by its name and in a variable, with which each attempt names it again."""
    SubElement(parent, "set-backend-service", {"backend-id": name})
    set_variable(parent, "backend", literal(name))


def refuse(parent: Element, status: Status, message: str, code: str = "") -> None:
    """Answer with an error in the form that OpenAI clients show. `message` and `code` are literals; each
    status has a code by default.
    """
    code = code or _CODES[status]
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    respond(parent, str(status), json.dumps({"error": body}), _REASONS[status])


def respond(parent: Element, status: str, body: str, reason: str = "") -> Element:
    """Answer with JSON at once: no other policy follows, so the security headers stand here. Returns the
    element.

    `status` and `body` may be expressions. A header of the response that stood there before is dropped:
    what is to stay is set anew.
    """
    response = SubElement(parent, "return-response")
    SubElement(response, "set-status", {"code": status} | ({"reason": reason} if reason else {}))
    set_header(response, "Content-Type", "application/json")
    for name, value in SECURITY_HEADERS.items():
        set_header(response, name, value)
    SubElement(response, "set-body").text = body
    return response


def refuse_body(parent: Element) -> None:
    """Answer 400 where the variable `scanned-body` says that the body is refused, and why."""
    respond(when(parent, "refused body"), "400", expression("why the body is refused"), _REASONS[400])


def with_digest(root: Element) -> str:
    """The text, with the digest of the rest as a variable: so a policy that is read can be compared."""
    inbound = section(root, "inbound")
    after = next(index for index, element in enumerate(inbound) if element.tag == "base") + 1
    inbound.insert(after, Element("set-variable", name=_DIGEST, value=_digest(root)))
    return text_of(root)


@lru_cache(maxsize=128)
def digest_of(policy: str) -> str:
    """The digest that a policy of ours carries; empty for any other, and for one that was edited since.

    It is over the canonical form, so it survives the gateway's own way of writing XML.
    """
    try:
        # The gateway's policies are written by its administrators: this XML is trusted.
        root = fromstring(policy)  # noqa: S314
    except ParseError:
        return ""
    inbound = root.find("inbound")
    carried = None if inbound is None else inbound.find(f"set-variable[@name='{_DIGEST}']")
    if inbound is None or carried is None:
        return ""
    inbound.remove(carried)
    value = carried.get("value", "")
    return value if value == _digest(root) else ""


def carries_digest(root: Element) -> bool:
    """Whether Mergekey wrote the policy, edited since or not."""
    return root.find(f"inbound/set-variable[@name='{_DIGEST}']") is not None


@lru_cache(maxsize=16)
def canonical_digest(text: str) -> str:
    """The digest of a document that carries none, such as a fragment; empty for a text that is not XML."""
    try:
        return _digest(fromstring(text))  # noqa: S314 - as above
    except ParseError:
        return ""


def text_of(root: Element) -> str:
    """The document as it is sent."""
    indent(root, "    ")
    return tostring(root, encoding="unicode", short_empty_elements=True)


def _digest(root: Element) -> str:
    return hashlib.sha256(json.dumps(_canonical(root)).encode()).hexdigest()


def _canonical(element: Element) -> list[object]:
    """The content of a policy without its formatting: order of attributes, quotes, comments, whitespace."""
    attributes = sorted((name, _collapsed(value)) for name, value in element.items())
    return [element.tag, attributes, _collapsed(element.text), [_canonical(child) for child in element]]


def _collapsed(text: str | None) -> str:
    return " ".join((text or "").split())
