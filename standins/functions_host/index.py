"""Import the app and list its functions, as the Python worker does."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from standins.functions_host.options import HostError, resolve

HTTP, SERVICE_BUS, TIMER = "httpTrigger", "serviceBusTrigger", "timerTrigger"


@dataclass(frozen=True)
class Function:
    """One function of the app. `trigger` has its `%SETTING%`s resolved; `bindings` are as the app gave
    them.
    """

    name: str
    trigger: Mapping[str, Any]
    bindings: tuple[Mapping[str, Any], ...]
    call: Callable[..., Any]

    @property
    def kind(self) -> str:
        return str(self.trigger["type"])

    @property
    def disabled(self) -> bool:
        """Whether its trigger is switched off: then it runs only when it is run by hand, with the master key.

        https://learn.microsoft.com/azure/azure-functions/disable-function
        """
        return os.environ.get(f"AzureWebJobs.{self.name}.Disabled", "").lower() in ("true", "1")

    def __str__(self) -> str:
        shown = (
            "route",
            "methods",
            "authLevel",
            "queueName",
            "topicName",
            "subscriptionName",
            "isSessionsEnabled",
            "schedule",
        )
        detail = " ".join(f"{key}={self.trigger[key]}" for key in shown if key in self.trigger)
        return f"{self.name}: {self.kind} {detail}"


def triggered(functions: Iterable[Function], kind: str) -> list[Function]:
    """Those with such a trigger that are not disabled."""
    return [function for function in functions if function.kind == kind and not function.disabled]


def load(app_dir: Path) -> list[Function]:
    """The functions of the object `app` in APP_DIR/function_app.py, in the order in which the app registered
    them.

    Raises HostError for a binding that this host does not know, and whatever the import of the app raises.
    """
    sys.path.insert(0, str(app_dir))
    app = importlib.import_module("function_app").app
    return [_function(found) for found in app.get_functions()]


def _function(found: Any) -> Function:
    bindings = tuple(json.loads(binding) for binding in found.get_raw_bindings())
    name = found.get_function_name()
    trigger = next(binding for binding in bindings if binding["type"].endswith("Trigger"))
    _check(name, trigger, bindings)
    resolved = {key: resolve(value) for key, value in trigger.items()}
    return Function(name, resolved, bindings, found.get_user_function())


def _check(name: str, trigger: Mapping[str, Any], bindings: tuple[Mapping[str, Any], ...]) -> None:
    """Refuse what this host would get wrong."""
    unknown = {binding["type"] for binding in bindings} - {HTTP, SERVICE_BUS, TIMER, "http"}
    if unknown:
        raise HostError(f"{name}: this host does not know the binding {', '.join(sorted(unknown))}")
    if trigger.get("cardinality") == "MANY":
        raise HostError(f"{name}: this host calls a function with one message at a time (cardinality ONE)")
