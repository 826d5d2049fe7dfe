"""A policy document, compiled: steps by section. Each element must be known with every attribute and child
that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

from standins.gateway.context import Context
from standins.gateway.exchange import NotKnown
from standins.gateway.expressions import Value, value_of

Element = etree._Element

SECTIONS = ("inbound", "backend", "outbound", "on-error")


async def base(_: Context) -> None:
    """Stands where what the wider scopes say has to be done; whoever runs a section replaces it."""
    raise AssertionError("only the runner of a section meets it")


@dataclass(frozen=True)
class Node:
    """An element, and where it stands: a section, or inside `return-response`, where headers and body are the
    answer's.
    """

    element: Element
    place: str

    @property
    def tag(self) -> str:
        return str(self.element.tag)

    @property
    def text(self) -> str:
        return str(self.element.text or "").strip()

    def __iter__(self) -> Iterator[Node]:
        return (Node(child, self.place) for child in self.element.iterchildren(etree.Element))

    def only(self, *allowed: str) -> Mapping[str, str]:
        """The attributes. Raises NotKnown for one that is not among those allowed."""
        found = {str(name): str(value) for name, value in self.element.attrib.items()}
        if unknown := sorted(found.keys() - set(allowed)):
            raise NotKnown(f"the attribute {unknown[0]} of <{self.tag}>")
        return found

    def children(self, *tags: str) -> list[Node]:
        """All its children. Raises NotKnown when one has another tag, or text stands between them."""
        found = list(self)
        for child in found:
            if child.tag not in tags:
                raise NotKnown(f"<{child.tag}> in <{self.tag}>")
        if found and self.text:
            raise NotKnown(f"text beside the elements of <{self.tag}>")
        return found

    def empty(self) -> None:
        """Raises NotKnown when there is anything in it."""
        self.children()
        if self.text:
            raise NotKnown(f"text in <{self.tag}>")

    def value(self, attributes: Mapping[str, str], name: str) -> Value:
        """What an attribute stands for; it must be there."""
        if name not in attributes:
            raise NotKnown(f"<{self.tag}> without {name}")
        return value_of(attributes[name])

    def fixed(self, attributes: Mapping[str, str], name: str, *allowed: str) -> str:
        """An attribute that holds no expression, and one of some values where these are given; the first when
        it is absent.
        """
        found = attributes.get(name, allowed[0] if allowed else "")
        if found.startswith("@") or "{{" in found or (allowed and found not in allowed):
            raise NotKnown(f'{name}="{found}" of <{self.tag}>')
        return found


def parse(xml: str) -> Element:
    """A document as Resource Manager keeps it."""
    return etree.fromstring(
        xml.encode(),
        etree.XMLParser(remove_pis=True, remove_comments=True, resolve_entities=False, no_network=True),
    )
