"""Whether a document's elements are policies as `policy_grammar` describes them, and stand where they may."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation

from lxml import etree

from standins.resource_manager.policy_grammar import POLICIES, Attribute, Rule

Element = etree._Element
#: In samples: a deployment puts a value in its place.
_PLACEHOLDER = re.compile(r"\{[\w-]+\}")
#: An element, and what is wrong with it.
Problem = tuple[Element, str]

#: https://learn.microsoft.com/azure/api-management/policy-fragments#limitations
_NOT_IN_FRAGMENTS = ("base", "include-fragment")
#: https://learn.microsoft.com/azure/api-management/llm-semantic-cache-lookup-policy#usage-notes
_ONCE = ("llm-semantic-cache-lookup", "llm-semantic-cache-store", "cors")
#: What public samples deploy inside `choose`, in sections that the page of the policy does not name.
_NESTED = {("authentication-managed-identity", "outbound"), ("set-body", "on-error")}
#: Microsoft's own toolkit writes the children of these in another order than the schema.
_ANY_ORDER = ("cache-lookup", "cors")
#: At least one of these attributes.
_ONE_OF: Mapping[str, tuple[str, ...]] = {
    "llm-token-limit": ("tokens-per-minute", "token-quota"),
    "azure-openai-token-limit": ("tokens-per-minute", "token-quota"),
    "quota": ("calls", "bandwidth"),
    "quota-by-key": ("calls", "bandwidth"),
    "set-backend-service": ("backend-id", "base-url", "sf-service-instance-name", "dapr-app-id"),
    "authentication-certificate": ("thumbprint", "certificate-id", "body"),
    "validate-jwt": ("header-name", "query-parameter-name", "token-value"),
}
#: Attributes that stand together or not at all, and attributes of which one may stand.
_TOGETHER = {
    "llm-token-limit": ("token-quota", "token-quota-period"),
    "azure-openai-token-limit": ("token-quota", "token-quota-period"),
}
_NOT_BOTH = {"set-backend-service": ("backend-id", "base-url")}
#: Dimensions that the service fills in: the page of `llm-emit-token-metric` names them.
_DIMENSIONS = frozenset(
    [
        "API ID",
        "Operation ID",
        "Product ID",
        "User ID",
        "Subscription ID",
        "Location",
        "Gateway ID",
        "Backend ID",
    ]
)
#: Of one's own: those with a value. Public samples deploy more in the other policies for metrics.
_MOST_DIMENSIONS = {"llm-emit-token-metric": 5, "azure-openai-emit-token-metric": 10, "emit-metric": 10}


def _whole(least: int, most: int | None = None) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        return bool(re.fullmatch(r"[0-9]{1,18}", text)) and least <= int(text) <= (most or int(text))

    return fits


def _share(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"[0-9.]+", text)) and 0 <= Decimal(text) <= 1
    except InvalidOperation:
        return False


#: The words for values in `policy_grammar`, and what each takes.
VALUES: Mapping[str, Callable[[str], bool]] = {
    "": lambda _: True,
    "name": lambda text: bool(text.strip()),
    "fixed": lambda text: bool(text.strip()),
    "bool": lambda text: text in ("true", "false", "1", "0"),
    "int": _whole(0),
    "count": _whole(1),
    "retries": _whole(1, 50),
    "interval": _whole(0),
    "severity": _whole(0, 7),
    "status": _whole(100, 599),
    "rate-period": _whole(1, 300),
    "quota-period": lambda text: text == "0" or _whole(300)(text),
    "share": _share,
}


def problems(root: Element) -> Iterator[Problem]:
    """What is wrong with a document whose root is `policies` or `fragment`."""
    if root.tag == "fragment":
        yield from _bare(root, "fragment-id")
        yield from _policies(root, None)
        return
    yield from _bare(root)
    yield from _stray_text(root)
    for section in root.iterchildren(etree.Element):
        yield from _bare(section)
        yield from _policies(section, str(section.tag))
        for tag in _ONCE:
            for again in list(section.iter(tag))[1:]:
                yield again, f"Policy may be used once in the section '{section.tag}'."
        if section.tag == "backend" and len(list(section.iterchildren(etree.Element))) > 1:
            yield section, "The section 'backend' may have one policy only."


def _bare(element: Element, *allowed: str) -> Iterator[Problem]:
    for name in element.attrib:
        if name not in allowed:
            yield element, f"The attribute '{name!s}' is not declared."


def _policies(holder: Element, section: str | None) -> Iterator[Problem]:
    """What is wrong with the policies in a section, a fragment (section None), or another policy."""
    yield from _stray_text(holder)
    for policy in holder.iterchildren(etree.Element):
        tag = str(policy.tag)
        if tag == "base":
            yield from _base(policy, holder, section)
        elif tag not in POLICIES or (section is None and tag in _NOT_IN_FRAGMENTS):
            yield policy, f"'{tag}' is not a policy that may stand in '{holder.tag}'."
        elif section is not None and not _may_stand(tag, holder, section):
            yield policy, f"Policy is not allowed in the section '{section}'."
        else:
            yield from _element(policy, POLICIES[tag], section)


def _may_stand(tag: str, holder: Element, section: str) -> bool:
    return section in POLICIES[tag].sections or (holder.tag != section and (tag, section) in _NESTED)


def _base(base: Element, holder: Element, section: str | None) -> Iterator[Problem]:
    if section is None:
        yield base, f"'base' is not a policy that may stand in '{holder.tag}'."
    elif base.attrib or len(base) or (base.text or "").strip():
        yield base, "'base' has neither attributes nor content."


def _element(element: Element, rule: Rule, section: str | None) -> Iterator[Problem]:
    yield from _attributes(element, rule)
    yield from _special(element)
    if rule.content == "policies":
        yield from _policies(element, section)
    elif rule.content in ("text", "words"):
        if rule.content == "words" and not (element.text or "").strip():
            yield element, "A value is required."
        for child in element.iterchildren(etree.Element):
            yield child, f"'{child.tag}' may not stand in '{element.tag}'."
    elif rule.content == "none":
        yield from _stray_text(element)
        yield from _children(element, rule, section)


def _attributes(element: Element, rule: Rule) -> Iterator[Problem]:
    for name, attribute in rule.attributes.items():
        if attribute.required and name not in element.attrib:
            yield element, f"The required attribute '{name}' is missing."
    for key, value in element.attrib.items():
        name = str(key)
        if name == "id" and name not in rule.attributes:
            continue
        if name not in rule.attributes:
            yield element, f"The attribute '{name}' is not declared."
        elif not _fits(str(value).strip(), rule.attributes[name]):
            yield element, f"The value '{value!s}' of the attribute '{name}' is not valid."


def _fits(value: str, attribute: Attribute) -> bool:
    if "{{" in value or _PLACEHOLDER.fullmatch(value):
        return True
    if value.startswith(("@(", "@{")):
        return attribute.takes_expression
    if "|" in attribute.kind or attribute.kind not in VALUES:
        return value in attribute.kind.split("|")
    return VALUES[attribute.kind](value)


def _children(element: Element, rule: Rule, section: str | None) -> Iterator[Problem]:
    for child in element.iterchildren(etree.Element):
        known = rule.children.get(str(child.tag))
        if known is None:
            yield child, f"'{child.tag}' may not stand in '{element.tag}'."
        else:
            yield from _element(child, known[0] or POLICIES[str(child.tag)], section)
    tags = [str(child.tag) for child in element.iterchildren(etree.Element)]
    order = [list(rule.children).index(tag) for tag in tags if tag in rule.children]
    if order != sorted(order) and element.tag not in _ANY_ORDER:
        yield element, f"The order in '{element.tag}' is {', '.join(rule.children)}."
    counts = Counter(tags)
    for tag, (_, least, most) in rule.children.items():
        if counts[tag] < least:
            yield element, f"'{tag}' is missing."
        if most is not None and counts[tag] > most:
            yield element, f"'{tag}' may stand {most} times."


def _stray_text(element: Element) -> Iterator[Problem]:
    texts = [element.text, *(child.tail for child in element)]
    if any((text or "").strip() for text in texts):
        yield element, "Text is not allowed here."


def _special(element: Element) -> Iterator[Problem]:
    """What no table says."""
    tag, given = str(element.tag), set(map(str, element.attrib))
    one_of, together = _ONE_OF.get(tag, ()), _TOGETHER.get(tag, ())
    if one_of and not given & set(one_of):
        yield element, f"One of the attributes {', '.join(one_of)} is required."
    if together and len(given & set(together)) == 1:
        yield element, f"The attributes {' and '.join(together)} stand together."
    if tag in _NOT_BOTH and given >= set(_NOT_BOTH[tag]):
        yield element, f"The attributes {' and '.join(_NOT_BOTH[tag])} exclude each other."
    for each in element.findall("dimension"):
        if "value" not in each.attrib and each.get("name") not in _DIMENSIONS:
            yield each, "The required attribute 'value' is missing."
    own = [each for each in element.findall("dimension") if "value" in each.attrib]
    if len(own) > _MOST_DIMENSIONS.get(tag, len(own)):
        yield element, "Too many dimensions."
    if tag in ("set-header", "set-query-parameter"):
        yield from _changed(element)


def _changed(element: Element) -> Iterator[Problem]:
    values = list(element.iterchildren("value"))
    action = str(element.get("exists-action", "override"))
    if action == "delete" and values:
        yield element, "What is deleted has no value."
    if action in ("override", "append", "skip") and not values:
        yield element, "A value is required."
