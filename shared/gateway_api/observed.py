"""What the controllers of Gateway API write into routes and Gateways:
https://gateway-api.sigs.k8s.io/reference/spec
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

#: Which namespaces' routes a listener takes.
Allowed = Literal["Same", "All", "Selector", "None"]
ALLOWED: frozenset[str] = frozenset(get_args(Allowed))


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. `status` is True, False or Unknown as a word; `generation` the `observedGeneration`,
    None where it was written by no controller, as the defaults of the definition.
    """

    type: str
    status: str
    reason: str
    message: str
    generation: int | None


@dataclass(frozen=True, slots=True)
class Parent:
    """What a controller (`controllerName`) says of a route at one Gateway, `namespace/name`. The listener and
    the port of the reference are left out: controllers fill them in or not. So one Gateway can have several.
    """

    gateway: str
    controller: str
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Listener:
    """A listener of a Gateway. `allowed` says which namespaces' routes it takes, by `selector` where that is
    `Selector`; `attached` is how many it has, `hostname` empty for any.
    """

    name: str
    protocol: str
    port: int
    hostname: str = ""
    allowed: Allowed = "Same"
    selector: Mapping[str, Any] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    attached: int = 0


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Gateway, `namespace/name`. `addresses` are those of its status; `annotations` those that its
    controller hands on to its Service (`spec.infrastructure.annotations`).
    """

    name: str
    class_name: str
    generation: int = 0
    conditions: tuple[Condition, ...] = ()
    listeners: tuple[Listener, ...] = ()
    addresses: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)


def condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of this type; None where there is none."""
    return next((each for each in conditions if each.type == kind), None)
