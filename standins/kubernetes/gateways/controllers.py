"""The Gateway controllers that can be played: `definitions/gateways.yaml`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from standins.kubernetes import definitions

#: Type, status, reason and message of a condition.
Row = tuple[str, str, str, str]
_PART = re.compile(r"<([a-z ]+)>")


@dataclass(frozen=True)
class Controller:
    """`facts` are explained at the top of the file."""

    name: str
    facts: Mapping[str, Any]

    @property
    def class_name(self) -> str:
        return str(self.facts["class"])

    @property
    def by(self) -> str:
        return str(self.facts["by"])

    def has(self, habit: str) -> bool:
        return bool(self.facts.get(habit))

    def said(self, name: str, **about: object) -> tuple[str, str] | None:
        """Reason and message; None for what this controller says nothing of."""
        found = self.facts["says"].get(name)
        return None if found is None else (found[0], filled(found[1], about))

    def proxies(self, namespace: str, name: str) -> tuple[str, dict[str, str], str]:
        """Of a Gateway's proxies: their namespace, the labels of their pods, the name of their Service."""
        found, about = self.facts["proxies"], {"namespace": namespace, "name": name}
        labels = {key: filled(text, about) for key, text in found["labels"].items()}
        return filled(found["namespace"], about), labels, filled(found["service"], about)


def filled(text: str, about: Mapping[str, object]) -> str:
    """A text with the parts of the case in the places of `<word>`; `_` in a name stands for a blank."""
    return _PART.sub(lambda found: str(about[found[1].replace(" ", "_")]), text)


@cache
def controllers() -> Mapping[str, Controller]:
    """By the value of the option `gateway_controller`."""
    return {name: Controller(name, facts) for name, facts in definitions.read("gateways.yaml").items()}
