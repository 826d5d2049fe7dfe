"""What `host.json`, the settings file and the file of keys say."""

from __future__ import annotations

import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMESPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2}(?:\.\d{1,7})?)")
_SETTING = re.compile(r"%([^%]+)%")
#: How the names of settings begin that stand for values of `host.json`.
_OVERRIDE = "AzureFunctionsJobHost__"


class HostError(Exception):
    """The host cannot run this app. The message says why, in words for the person who started it."""


@dataclass(frozen=True)
class Options:
    """The part of `host.json` that this host follows. Times are seconds.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-service-bus (extension 5.x,
    flat keys).
    """

    route_prefix: str = "api"
    function_timeout: float = 1800.0
    auto_complete: bool = True
    max_lock_renewal: float = 300.0
    max_calls: int = 16
    max_sessions: int = 8
    session_idle: float = 60.0
    prefetch: int = 0


@dataclass(frozen=True)
class Keys:
    """What callers of HTTP functions must show: `default` for the level FUNCTION, `master` for every
    level.
    """

    master: str
    default: str


def read_options(app_dir: Path) -> Options:
    """The options in `host.json`, where settings like `AzureFunctionsJobHost__functionTimeout` win; what is
    not said is as in Azure.

    Source: https://learn.microsoft.com/azure/azure-functions/functions-host-json#override-hostjson-values
    """
    path = app_dir / "host.json"
    host: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for name, value in os.environ.items():
        if name.startswith(_OVERRIDE):
            _override(host, name.removeprefix(_OVERRIDE).split("__"), value)
    extensions = host.get("extensions", {})
    bus = extensions.get("serviceBus", {})
    usual = Options()
    return Options(
        route_prefix=extensions.get("http", {}).get("routePrefix", usual.route_prefix),
        function_timeout=_seconds(host.get("functionTimeout"), usual.function_timeout),
        auto_complete=bus.get("autoCompleteMessages", usual.auto_complete),
        max_lock_renewal=_seconds(bus.get("maxAutoLockRenewalDuration"), usual.max_lock_renewal),
        max_calls=bus.get("maxConcurrentCalls", usual.max_calls),
        max_sessions=bus.get("maxConcurrentSessions", usual.max_sessions),
        session_idle=_seconds(bus.get("sessionIdleTimeout"), usual.session_idle),
        prefetch=bus.get("prefetchCount", usual.prefetch),
    )


def _override(host: dict[str, Any], place: list[str], value: str) -> None:
    """Put a value, written as in JSON or as bare text, where the names lead."""
    for name in place[:-1]:
        host = host.setdefault(name, {})
    try:
        host[place[-1]] = json.loads(value)
    except ValueError:
        host[place[-1]] = value


def apply_settings(path: Path | None) -> dict[str, Any]:
    """Put the `Values` of a file like `local.settings.json` into the environment, whose own values win.
    Returns the whole file.
    """
    if path is None:
        return {}
    settings: dict[str, Any] = json.loads(path.read_text())
    for name, value in settings.get("Values", {}).items():
        os.environ.setdefault(name, str(value))
    return settings


def read_keys(settings: dict[str, Any], path: Path) -> Keys:
    """The keys under `Keys` in the settings file, else those in the file `path`, made at the first start."""
    if "Keys" in settings:
        return Keys(**settings["Keys"])
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(
            json.dumps({"master": secrets.token_urlsafe(32), "default": secrets.token_urlsafe(32)})
        )
    return Keys(**json.loads(path.read_text()))


def resolve(value: Any) -> Any:
    """Text with every `%SETTING%` replaced from the environment; anything else unchanged. Raises HostError
    when a setting is missing.
    """
    return _SETTING.sub(_setting, value) if isinstance(value, str) else value


def _setting(match: re.Match[str]) -> str:
    name = match.group(1)
    if name not in os.environ:
        raise HostError(f"the setting {name} is missing: a trigger refers to %{name}%")
    return os.environ[name]


def _seconds(text: str | None, usual: float) -> float:
    """Seconds of a .NET TimeSpan, for instance `00:05:00`."""
    if text is None:
        return usual
    match = _TIMESPAN.fullmatch(text)
    if match is None:
        raise HostError(f"host.json: {text!r} is not a time of the form [d.]hh:mm:ss")
    days, hours, minutes, seconds = match.groups(default="0")
    return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + float(seconds)
