"""Descriptions as XML: of entities with what is in them at the moment, of rules, of the namespace.

What is counted: https://learn.microsoft.com/azure/service-bus-messaging/message-counters; deferred messages count as active
(https://github.com/Azure/azure-sdk-for-js/issues/38988), and so do those that are locked, for they are still there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping

from lxml import etree

from standins.service_bus.administration.atom import CONNECT, SCHEMA_INSTANCE, add, described, moment
from standins.service_bus.broker import Topic
from standins.service_bus.descriptions import KINDS, SUBSCRIPTION, Invalid, Kind, NotKnown
from standins.service_bus.entity import Entity
from standins.service_bus.entries import State
from standins.service_bus.namespace import Namespace, Row
from standins.service_bus.queues import Queue

_COUNTS = "http://schemas.microsoft.com/netservices/2011/06/servicebus"
_TYPE = f"{{{SCHEMA_INSTANCE}}}type"
#: The elements of a correlation filter in their order -> the broker's names of the properties.
_CONDITIONS = {
    "CorrelationId": "correlation_id",
    "MessageId": "message_id",
    "To": "to",
    "ReplyTo": "reply_to",
    "Label": "subject",
    "SessionId": "session_id",
    "ReplyToSessionId": "reply_to_session_id",
    "ContentType": "content_type",
}


def counts(entity: Entity) -> dict[str, int]:
    """How many messages of which state there are, by the names of the service. Nothing is ever forwarded, so none is in transfer."""
    states = [entry.state for entry in entity.entries.values()]
    dead = entity.dead_letters if isinstance(entity, Queue) else None
    return {
        "ActiveMessageCount": states.count(State.ACTIVE) + states.count(State.DEFERRED),
        "DeadLetterMessageCount": 0 if dead is None else len(dead.entries),
        "ScheduledMessageCount": states.count(State.SCHEDULED),
        "TransferMessageCount": 0,
        "TransferDeadLetterMessageCount": 0,
    }


def entity_document(namespace: Namespace, row: Row) -> etree._Element:
    """An entity: how it is set, and how it is."""
    kind, entity = KINDS[row["kind"]], namespace.broker.find(row["path"])
    counted = counts(entity)
    texts = {**row["description"], "CreatedAt": moment(row["created"]), "UpdatedAt": moment(row["updated"])}
    texts |= {"AccessedAt": moment(entity.accessed), "SizeInBytes": str(entity.size), "MessageCount": str(sum(counted.values()))}
    texts["SubscriptionCount"] = str(len(namespace.all(SUBSCRIPTION, row["path"])) if isinstance(entity, Topic) else 0)
    document = described(kind.tag)
    for name in kind.elements:
        if name == "CountDetails":
            _add_counts(document, counted)
        elif name in texts:
            add(document, name, texts[name])
    return document


def rule_document(name: str, conditions: Mapping[str, str], created: float) -> etree._Element:
    document = described("RuleDescription")
    filter_ = add(document, "Filter")
    filter_.set(_TYPE, "CorrelationFilter" if conditions else "TrueFilter")
    for tag, condition in _CONDITIONS.items():
        if condition in conditions:
            add(filter_, tag, conditions[condition])
    if not conditions:
        add(filter_, "SqlExpression", "1=1")
        add(filter_, "CompatibilityLevel", "20")
    add(document, "Action").set(_TYPE, "EmptyRuleAction")
    add(document, "CreatedAt", moment(created))
    add(document, "Name", name)
    return document


def namespace_document(name: str, created: float, tier: str) -> etree._Element:
    document = described("NamespaceInfo")
    add(document, "CreatedTime", moment(created))
    add(document, "MessagingSKU", tier.capitalize())
    if tier == "premium":
        add(document, "MessagingUnits", "1")
    add(document, "ModifiedTime", moment(created))
    add(document, "Name", name)
    add(document, "NamespaceType", "Messaging")
    return document


def kind_of(document: etree._Element, *kinds: Kind) -> Kind:
    """Which of the kinds a client describes. Raises Invalid."""
    found = {f"{{{CONNECT}}}{kind.tag}": kind for kind in kinds}.get(str(document.tag))
    if found is None:
        raise Invalid(f"The entry must contain {' or '.join(kind.tag for kind in kinds)}.")
    return found


def texts_of(document: etree._Element) -> dict[str, str]:
    """The settings of a client's description. Raises NotKnown for what has settings of its own, like authorization rules."""
    texts = {}
    for child in document:
        name = etree.QName(child).localname
        if len(child) and name != "CountDetails":
            raise NotKnown(f"this stand-in does not know {name} with a content")
        texts[name] = child.text or ""
    return texts


def conditions_of(document: etree._Element) -> dict[str, str]:
    """The conditions of a client's rule, none for the filter that lets everything through. Raises Invalid or NotKnown."""
    filter_, action = (document.find(f"{{{CONNECT}}}{tag}") for tag in ("Filter", "Action"))
    if etree.QName(document).text != f"{{{CONNECT}}}RuleDescription" or filter_ is None:
        raise Invalid("The entry must contain a RuleDescription with a Filter.")
    if action is not None and _type(action) != "EmptyRuleAction":
        raise NotKnown(f"this stand-in does not know the action {_type(action)}")
    if _type(filter_) == "TrueFilter":
        return {}
    found = {etree.QName(child).localname: child.text or "" for child in filter_ if len(child) or child.text}
    if _type(filter_) != "CorrelationFilter" or not found or not found.keys() <= _CONDITIONS.keys():
        raise NotKnown(f"this stand-in does not know a {_type(filter_)} with {', '.join(sorted(found)) or 'nothing in it'}")
    return {_CONDITIONS[tag]: text for tag, text in found.items()}


def _type(element: etree._Element) -> str:
    return str(element.get(_TYPE, "")).rpartition(":")[2]


def _add_counts(document: etree._Element, counted: Mapping[str, int]) -> None:
    details = etree.SubElement(document, f"{{{CONNECT}}}CountDetails", nsmap={"d2p1": _COUNTS})
    for name, count in counted.items():
        etree.SubElement(details, f"{{{_COUNTS}}}{name}").text = str(count)
