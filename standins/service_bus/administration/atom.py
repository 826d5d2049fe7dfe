"""The envelope of the management interface: Atom entries and feeds, and the error document.

As in the recordings of azure-servicebus (`tests/mgmt_tests/recordings` of its repository at the commits of 2021).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from aiohttp import web
from lxml import etree

from standins.service_bus.descriptions import Invalid

ATOM = "http://www.w3.org/2005/Atom"
CONNECT = "http://schemas.microsoft.com/netservices/2010/10/servicebus/connect"
SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_BASE = "{http://www.w3.org/XML/1998/namespace}base"
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)


@dataclass(frozen=True)
class Item:
    """An entry. Times are seconds since 1970; `author` is the namespace's name, which only queues, topics and the namespace show."""

    url: str
    title: str
    created: float
    updated: float
    content: etree._Element
    author: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of a list: `url` is that of the request, `following` that of the next page, if there is one."""

    url: str
    title: str
    now: float
    items: Iterable[Item]
    following: str | None = None


def described(tag: str) -> etree._Element:
    """An empty description, to be filled with `add`."""
    return etree.Element(f"{{{CONNECT}}}{tag}", nsmap=_prefixes({None: CONNECT, "i": SCHEMA_INSTANCE}))


def add(parent: etree._Element, tag: str, text: str | None = None, **attributes: str) -> etree._Element:
    """One more child, in the namespace of its parent."""
    child = etree.SubElement(parent, etree.QName(etree.QName(parent).namespace, tag), attributes)
    child.text = text
    return child


def moment(when: float) -> str:
    """Seconds since 1970 as the service writes a time; 0 is never."""
    if not when:
        return "0001-01-01T00:00:00Z"
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def answer(item: Item, status: int = 200) -> web.Response:
    return _document(_entry(item), "application/atom+xml;type=entry;charset=utf-8", status)


def answer_page(page: Page) -> web.Response:
    feed = _named("feed", page.title, page.url)
    add(feed, "updated", moment(page.now))
    add(feed, "link", rel="self", href=page.url)
    if page.following is not None:
        add(feed, "link", rel="next", href=page.following)
    for item in page.items:
        entry = _entry(item)
        entry.set(_BASE, page.url)
        feed.append(entry)
    return _document(feed, "application/atom+xml;type=feed;charset=utf-8")


def answer_nothing(now: float) -> web.Response:
    """What the service answers where there is no queue or topic of a name: a list of nothing, with 200."""
    feed = _named("feed", "Publicly Listed Services", "uuid:0;id=0")
    add(feed, "subtitle", "This is the list of publicly-listed services currently available.", type="text")
    add(feed, "updated", moment(now))
    add(feed, "generator", "Service Bus 1.1")
    return _document(feed, "application/atom+xml;type=feed;charset=utf-8")


def refusal(status: int, detail: str) -> web.Response:
    error = etree.Element("Error")
    etree.SubElement(error, "Code").text = str(status)
    etree.SubElement(error, "Detail").text = detail
    return _document(error, "application/xml; charset=utf-8", status)


def content_of(body: bytes) -> etree._Element:
    """The description in an entry that a client sent. Raises Invalid."""
    try:
        root = etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        raise Invalid("The request body could not be parsed as XML.") from error
    content = root.find(f"{{{ATOM}}}content")
    if etree.QName(root).text != f"{{{ATOM}}}entry" or content is None or len(content) != 1:
        raise Invalid("The body must be an Atom entry whose content is one description.")
    return content[0]


def _named(tag: str, title: str, identifier: str) -> etree._Element:
    element = etree.Element(f"{{{ATOM}}}{tag}", nsmap=_prefixes({None: ATOM}))
    add(element, "title", title, type="text")
    add(element, "id", identifier)
    return element


def _entry(item: Item) -> etree._Element:
    entry = _named("entry", item.title, item.url)
    add(entry, "published", moment(item.created))
    add(entry, "updated", moment(item.updated))
    if item.author is not None:
        add(add(entry, "author"), "name", item.author)
    add(entry, "link", rel="self", href=item.url)
    add(entry, "content", type="application/xml").append(item.content)
    return entry


def _prefixes(namespaces: dict[str | None, str]) -> dict[str, str]:
    """For lxml, whose type hints do not know that None is the prefix of the default namespace."""
    return cast("dict[str, str]", namespaces)


def _document(root: etree._Element, kind: str, status: int = 200) -> web.Response:
    return web.Response(body=etree.tostring(root), status=status, headers={"Content-Type": kind})
