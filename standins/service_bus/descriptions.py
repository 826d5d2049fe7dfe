"""Queues, topics and subscriptions in the words of the management interface: what can be set, in which bounds, and what it is unless set.

Names and order of the elements are the service's own (`azure.servicebus.management`, and the recordings in its repository). Bounds:
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-quotas
https://learn.microsoft.com/rest/api/servicebus/controlplane-stable/queues/create-or-update
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from standins.service_bus.broker import seconds

#: An element's name -> its text.
Description = dict[str, str]
#: The longest time span of .NET: for ever.
FOREVER = "P10675199DT2H48M5.4775807S"
_DETECTION, _WINDOW = "RequiresDuplicateDetection", "DuplicateDetectionHistoryTimeWindow"
_SECONDS = (("D", 86400), ("H", 3600), ("M", 60))


class Invalid(ValueError):
    """The service refuses the value; the text says why."""


class NotKnown(Exception):
    """The service would take the value; this stand-in does not know what to do with it."""


@dataclass(frozen=True)
class Setting:
    """`option` is the broker's word for it, None where nothing comes of it here. `fixed` ones cannot be changed later.

    `bounds` are those of a number, or of a duration in seconds.
    """

    default: str
    option: str | None = None
    bounds: tuple[float, float] | None = None
    fixed: bool = False

    def read(self, name: str, text: str) -> str:
        """The text of a client as the service shows it. Raises Invalid."""
        if self.bounds is not None and not self.bounds[0] <= self._number(name, text) <= self.bounds[1]:
            raise Invalid(_out_of_bounds(name, text, self.bounds))
        return self.shown(name, text)

    def shown(self, name: str, text: str) -> str:
        """The same without bounds, for what was declared in a file. Raises Invalid."""
        if self.default not in ("true", "false"):
            value = self._number(name, text)
            return duration(value) if self._is_duration else str(int(value))
        if text.lower() not in ("true", "false"):
            raise Invalid(f"The value '{text}' of {name} is not a Boolean value.")
        return text.lower()

    @property
    def _is_duration(self) -> bool:
        return self.default.startswith("P")

    def _number(self, name: str, text: str) -> float:
        try:
            return _seconds(text) if self._is_duration else int(text)
        except ValueError as error:
            raise Invalid(f"The value '{text}' of {name} could not be read.") from error


_SETTINGS = {
    "LockDuration": Setting("PT1M", "lock_duration", (5, 300)),
    "MaxSizeInMegabytes": Setting("1024", "max_size_in_megabytes", (1024, 5120)),
    _DETECTION: Setting("false", fixed=True),
    "RequiresSession": Setting("false", "requires_session", fixed=True),
    "DefaultMessageTimeToLive": Setting(FOREVER, "default_message_ttl", (1, float("inf"))),
    "DeadLetteringOnMessageExpiration": Setting("false", "dead_lettering_on_message_expiration"),
    _WINDOW: Setting("PT10M", "duplicate_detection_window", (20, 7 * 86400)),
    "MaxDeliveryCount": Setting("10", "max_delivery_count", (1, 2000)),
    "EnableBatchedOperations": Setting("true"),
    # Nothing comes of it, because only SQL filters can fail.
    "DeadLetteringOnFilterEvaluationExceptions": Setting("true"),
}
#: What the service knows more values of than this one.
_ONLY = {
    "IsAnonymousAccessible": "false",
    "AuthorizationRules": "",
    "Status": "Active",
    "ForwardTo": "",
    "ForwardDeadLetteredMessagesTo": "",
    "SupportOrdering": "true",
    "AutoDeleteOnIdle": FOREVER,
    "EnablePartitioning": "false",
    "EnableSubscriptionPartitioning": "false",
    "FilteringMessagesBeforePublishing": "false",
    "EnableExpress": "false",
    "MaxMessageSizeInKilobytes": "256",
    "IsClientAffine": "false",
}
#: What a client may send and the service sets itself.
_SHOWN_ONLY = {
    "SizeInBytes",
    "MessageCount",
    "CreatedAt",
    "UpdatedAt",
    "AccessedAt",
    "CountDetails",
    "SubscriptionCount",
    "EntityAvailabilityStatus",
}
_METADATA = "UserMetadata"
_LONGEST_METADATA = 1024


@dataclass(frozen=True)
class Kind:
    """A kind of entity. `elements` are those of its description, in the order in which the service shows them."""

    name: str
    elements: tuple[str, ...]

    @property
    def tag(self) -> str:
        return f"{self.name}Description"

    def defaults(self) -> Description:
        found = {name: setting.default for name, setting in _SETTINGS.items()} | _ONLY | {"EntityAvailabilityStatus": "Available"}
        # Forwarding is not shown where there is none; rules are, empty.
        return {name: found[name] for name in self.elements if name in found and (found[name] or name == "AuthorizationRules")}

    def read(self, asked: Mapping[str, str], before: Description | None = None) -> Description:
        """The description that a client asks for: a new one, or a change of what was `before`. Raises Invalid or NotKnown."""
        result = self.defaults() if before is None else dict(before)
        for name, text in asked.items():
            if name in _SETTINGS and name in self.elements:
                result[name] = _SETTINGS[name].read(name, text)
                if before is not None and _SETTINGS[name].fixed and before[name] != result[name]:
                    raise Invalid(f"The value for the {name} property of an existing {self.name} cannot be changed.")
            elif name == _METADATA:
                result[name] = _metadata(text)
            elif name not in _SHOWN_ONLY:
                _check_only(name, text)
        return result

    def of_options(self, options: Mapping[str, Any]) -> Description:
        """What the broker's options (see infra/service-bus.json) are in the words of the service."""
        result = self.defaults()
        # As infra/service_bus.tf makes it, which is not the service's own default.
        said = {"dead_lettering_on_message_expiration": True, **options}
        for name, setting in _SETTINGS.items():
            if name in result and setting.option in said:
                result[name] = setting.shown(name, str(said[setting.option]))
        if _DETECTION in result:
            result[_DETECTION] = str("duplicate_detection_window" in options).lower()
        return result

    def to_options(self, description: Description) -> dict[str, Any]:
        """What the broker has to be told."""
        return dict(_options(description))


_QUEUE = """LockDuration MaxSizeInMegabytes RequiresDuplicateDetection RequiresSession DefaultMessageTimeToLive
DeadLetteringOnMessageExpiration DuplicateDetectionHistoryTimeWindow MaxDeliveryCount EnableBatchedOperations SizeInBytes MessageCount
IsAnonymousAccessible AuthorizationRules Status ForwardTo UserMetadata CreatedAt UpdatedAt AccessedAt SupportOrdering CountDetails
AutoDeleteOnIdle EnablePartitioning EntityAvailabilityStatus ForwardDeadLetteredMessagesTo EnableExpress MaxMessageSizeInKilobytes"""
_TOPIC = """DefaultMessageTimeToLive MaxSizeInMegabytes RequiresDuplicateDetection DuplicateDetectionHistoryTimeWindow
EnableBatchedOperations SizeInBytes FilteringMessagesBeforePublishing IsAnonymousAccessible AuthorizationRules Status CreatedAt UpdatedAt
AccessedAt SupportOrdering CountDetails SubscriptionCount AutoDeleteOnIdle EnablePartitioning EntityAvailabilityStatus
EnableSubscriptionPartitioning EnableExpress UserMetadata MaxMessageSizeInKilobytes"""
_SUBSCRIPTION = """LockDuration RequiresSession DefaultMessageTimeToLive DeadLetteringOnMessageExpiration
DeadLetteringOnFilterEvaluationExceptions MessageCount MaxDeliveryCount EnableBatchedOperations Status ForwardTo CreatedAt UpdatedAt
AccessedAt CountDetails UserMetadata ForwardDeadLetteredMessagesTo AutoDeleteOnIdle EntityAvailabilityStatus IsClientAffine"""

QUEUE = Kind("Queue", tuple(_QUEUE.split()))
TOPIC = Kind("Topic", tuple(_TOPIC.split()))
SUBSCRIPTION = Kind("Subscription", tuple(_SUBSCRIPTION.split()))
KINDS = {kind.name: kind for kind in (QUEUE, TOPIC, SUBSCRIPTION)}


def duration(total: float) -> str:
    """Seconds as the service writes them, for instance `P1DT2H3M`."""
    if total >= seconds(FOREVER):
        return FOREVER
    parts = {}
    for unit, size in _SECONDS:
        parts[unit], total = divmod(total, size)
    time = "".join(f"{int(parts[unit])}{unit}" for unit in "HM" if parts[unit]) + (f"{total:g}S" if total else "")
    days = f"{int(parts['D'])}D" if parts["D"] else ""
    return f"P{days}T{time}" if time else f"P{days}" if days else "PT0S"


def _options(description: Description) -> Iterable[tuple[str, Any]]:
    for name, text in description.items():
        option = _SETTINGS[name].option if name in _SETTINGS else None
        if option is None or text == FOREVER or (name == _WINDOW and description[_DETECTION] == "false"):
            continue
        yield option, text == "true" if text in ("true", "false") else int(text) if text.isdigit() else text


def _seconds(text: str) -> float:
    # The SDK cuts .NET's longest time span after the microseconds.
    return seconds(FOREVER if text.startswith("P10675199D") else text)


def _out_of_bounds(name: str, text: str, bounds: tuple[float, float]) -> str:
    if name == "LockDuration" and seconds(text) > bounds[1]:
        return f"The supplied lock time exceeds the allowed maximum of '5' minutes. Parameter name: {name}. Actual value was {text}."
    return f"The value of {name} must be between {bounds[0]:g} and {bounds[1]:g}. Actual value was {text}."


def _metadata(text: str) -> str:
    if len(text) > _LONGEST_METADATA:
        raise Invalid(f"{_METADATA} has {len(text)} characters; at most {_LONGEST_METADATA} are allowed.")
    return text


def _check_only(name: str, text: str) -> None:
    if name not in _ONLY:
        raise NotKnown(f"this stand-in does not know the property {name}")
    same = _seconds(text) == seconds(FOREVER) if _ONLY[name] == FOREVER and text.startswith("P") else text.lower() == _ONLY[name].lower()
    if not same:
        raise NotKnown(f"this stand-in does not know {name} '{text}'")
