"""The entities of one namespace, built from the file that also declares them to Terraform
(infra/service-bus.json).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from standins.service_bus.entity import Entity, EntitySettings, Environment
from standins.service_bus.errors import EntityNotFound, NotAllowed
from standins.service_bus.message import PROPERTY_INDEX, Message
from standins.service_bus.queues import Queue, QueueSettings
from standins.service_bus.sessions import SessionQueue

DEAD_LETTER_SUFFIX = "/$DeadLetterQueue"
_DURATION = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
_SECONDS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}


@dataclass(frozen=True)
class CorrelationRule:
    """Matches messages whose properties equal all of `conditions`, exactly and case-sensitively."""

    conditions: Mapping[str, str]

    def __post_init__(self) -> None:
        if unknown := set(self.conditions) - set(PROPERTY_INDEX):
            raise ValueError(f"unknown properties in a correlation rule: {sorted(unknown)}")

    def matches(self, message: Message) -> bool:
        return all(message.named(name) == wanted for name, wanted in self.conditions.items())


@dataclass(frozen=True)
class Subscription:
    """A queue fed by a topic with what any of its rules, by name, lets through, one copy however many rules
    match.
    """

    queue: Queue
    rules: Mapping[str, CorrelationRule]

    def wants(self, message: Message) -> bool:
        return any(rule.matches(message) for rule in self.rules.values())


class Topic(Entity):
    """Hands every message to the subscriptions that want it."""

    subscriptions: tuple[Subscription, ...] = ()

    @property
    def size(self) -> int:
        return super().size + sum(subscription.queue.size for subscription in self.subscriptions)

    def enqueue(self, message: Message) -> int:
        message = message.lasting_at_most(self.limits.ttl)
        for subscription in self.subscriptions:
            if subscription.wants(message):
                subscription.queue.enqueue(message)
        return self._storage.next_sequence(self.path)


class Broker:
    """`entities` by address in lower case. Raises ValueError for a declaration it does not understand.

    An entity is declared in the words of Terraform's `azurerm` provider, see `_QUEUE` and `_TOPIC`. Where a
    setting is not declared it is as infra/service_bus.tf makes it: what expires becomes a dead letter,
    messages have no time to live, an entity holds 1 GB.
    """

    def __init__(self, environment: Environment, declared: Mapping[str, Any]) -> None:
        self.environment = environment
        self.entities: dict[str, Entity] = {}
        for name, options in declared.get("queues", {}).items():
            self._add_queue(name, name, options)
        for name, options in declared.get("topics", {}).items():
            self._add_topic(name, options)
        for entity in self.entities.values():
            entity.restore()

    def find(self, address: str) -> Entity:
        """The entity at an address, for instance `topic/Subscriptions/name/$DeadLetterQueue`. Raises
        EntityNotFound.
        """
        entity = self.entities.get(address.lower())
        if entity is None:
            raise EntityNotFound(f"The messaging entity '{address}' could not be found.")
        return entity

    def source(self, address: str) -> Queue:
        """The entity to receive from. Raises EntityNotFound, or NotAllowed for a topic."""
        entity = self.find(address)
        if not isinstance(entity, Queue):
            raise NotAllowed(f"'{address}' is a topic: receive from one of its subscriptions.")
        return entity

    def target(self, address: str) -> Entity:
        """The entity to send to. Raises EntityNotFound, or NotAllowed for a subscription or a dead-letter
        queue.
        """
        entity = self.find(address)
        if "/" in entity.path:
            raise NotAllowed(f"Messages cannot be sent to '{address}'.")
        return entity

    def _add_queue(self, path: str, name: str, options: Mapping[str, Any]) -> Queue:
        _refuse_unknown(path, options, _QUEUE)
        settings = _queue_settings(options)
        dead_letters = Queue(
            path + DEAD_LETTER_SUFFIX, f"{name} dead letters", self.environment, _of_dead_letters(settings)
        )
        kind = SessionQueue if options.get("requires_session") else Queue
        queue = kind(path, name, self.environment, settings, dead_letters)
        self._register(dead_letters)
        self._register(queue)
        return queue

    def _add_topic(self, name: str, options: Mapping[str, Any]) -> None:
        _refuse_unknown(name, options, _TOPIC)
        topic = Topic(name, name, self.environment, EntitySettings(**_common_settings(options)))
        self._register(topic)
        for child, declared in options["subscriptions"].items():
            queue = self._add_queue(f"{name}/Subscriptions/{child}", child, declared)
            topic.subscriptions += (Subscription(queue, _rules(declared)),)

    def _register(self, entity: Entity) -> None:
        self.entities[entity.path.lower()] = entity


_COMMON = {"duplicate_detection_window", "default_message_ttl", "max_size_in_megabytes"}
_QUEUE = _COMMON | {
    "requires_session",
    "lock_duration",
    "max_delivery_count",
    "dead_lettering_on_message_expiration",
    "rules",
}
_TOPIC = _COMMON | {"subscriptions"}


def _refuse_unknown(path: str, options: Mapping[str, Any], known: set[str]) -> None:
    if unknown := options.keys() - known:
        raise ValueError(f"{path}: this stand-in does not know {', '.join(sorted(unknown))}")


def _common_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "duplicate_detection_window" in options:
        settings["window"] = seconds(options["duplicate_detection_window"])
    if "default_message_ttl" in options:
        settings["ttl"] = seconds(options["default_message_ttl"])
    if "max_size_in_megabytes" in options:
        settings["max_size"] = options["max_size_in_megabytes"] * 2**20
    return settings


def _queue_settings(options: Mapping[str, Any]) -> QueueSettings:
    return QueueSettings(
        lock_duration=seconds(options["lock_duration"]),
        max_deliveries=options["max_delivery_count"],
        dead_letter_expired=options.get("dead_lettering_on_message_expiration", True),
        **_common_settings(options),
    )


def _of_dead_letters(settings: QueueSettings) -> QueueSettings:
    return QueueSettings(lock_duration=settings.lock_duration, max_size=settings.max_size)


def seconds(duration: str) -> float:
    """An ISO 8601 duration of days and less, in seconds. Raises ValueError."""
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {duration!r}")
    return sum(float(number) * _SECONDS[unit] for unit, number in match.groupdict(default="0").items())


def _rules(options: Mapping[str, Any]) -> dict[str, CorrelationRule]:
    """The declared rules; a subscription without any has the default rule, which lets everything through."""
    return {
        name: CorrelationRule(conditions)
        for name, conditions in options.get("rules", {"$Default": {}}).items()
    }
