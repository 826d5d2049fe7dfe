"""The entities of one namespace, built from the file that also declares them to Terraform (infra/service-bus.json)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from standins.service_bus.entity import Entity
from standins.service_bus.entries import Environment
from standins.service_bus.errors import EntityNotFound, NotAllowed
from standins.service_bus.message import PROPERTY_INDEX, Message
from standins.service_bus.queues import Queue, QueueSettings
from standins.service_bus.sessions import SessionQueue

DEAD_LETTER_SUFFIX = "/$DeadLetterQueue"
_DURATION = re.compile(r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?")
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
    """A queue fed by a topic with what any of its rules lets through, one copy however many rules match."""

    queue: Queue
    rules: tuple[CorrelationRule, ...]

    def wants(self, message: Message) -> bool:
        return any(rule.matches(message) for rule in self.rules)


class Topic(Entity):
    """Hands every message to the subscriptions that want it."""

    subscriptions: tuple[Subscription, ...] = ()

    def enqueue(self, message: Message) -> int:
        for subscription in self.subscriptions:
            if subscription.wants(message):
                subscription.queue.enqueue(message)
        return self._storage.next_sequence(self.path)


class Broker:
    """The entities by address; addresses are case-insensitive. Raises ValueError for a declaration it does not understand."""

    def __init__(self, environment: Environment, declared: Mapping[str, Any]) -> None:
        self._environment = environment
        self._entities: dict[str, Entity] = {}
        for name, options in declared.get("queues", {}).items():
            self._add_queue(name, name, options)
        for name, options in declared.get("topics", {}).items():
            self._add_topic(name, options)
        for entity in list(self._entities.values()):
            entity.restore()

    def find(self, address: str) -> Entity:
        """The entity at an address, for instance `topic/Subscriptions/name/$DeadLetterQueue`. Raises EntityNotFound."""
        entity = self._entities.get(address.lower())
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
        """The entity to send to. Raises EntityNotFound, or NotAllowed for a subscription or a dead-letter queue."""
        entity = self.find(address)
        if "/" in entity.path:
            raise NotAllowed(f"Messages cannot be sent to '{address}'.")
        return entity

    def _register(self, entity: Entity) -> None:
        self._entities[entity.path.lower()] = entity

    def _add_queue(self, path: str, name: str, options: Mapping[str, Any]) -> Queue:
        duration = seconds(options["lock_duration"])
        settings = QueueSettings(duration, options["max_delivery_count"], _window(options))
        dead_letters = Queue(path + DEAD_LETTER_SUFFIX, f"{name} dead letters", self._environment, QueueSettings(duration))
        kind = SessionQueue if options.get("requires_session") else Queue
        queue = kind(path, name, self._environment, settings, dead_letters)
        self._register(dead_letters)
        self._register(queue)
        return queue

    def _add_topic(self, name: str, options: Mapping[str, Any]) -> None:
        topic = Topic(name, name, self._environment, _window(options))
        topic.subscriptions = tuple(
            Subscription(self._add_queue(f"{name}/Subscriptions/{child}", child, declared), _rules(declared))
            for child, declared in options["subscriptions"].items()
        )
        self._register(topic)


def seconds(duration: str) -> float:
    """An ISO 8601 duration of days and less, in seconds. Raises ValueError."""
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {duration!r}")
    return sum(float(number) * _SECONDS[unit] for unit, number in match.groupdict(default="0").items())


def _window(options: Mapping[str, Any]) -> float | None:
    text = options.get("duplicate_detection_window")
    return None if text is None else seconds(text)


def _rules(options: Mapping[str, Any]) -> tuple[CorrelationRule, ...]:
    """The declared rules; a subscription without any has the default rule, which lets everything through."""
    return tuple(map(CorrelationRule, options.get("rules", {"$Default": {}}).values()))
