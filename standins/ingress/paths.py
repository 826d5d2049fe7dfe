"""Paths as proxies read and rewrite them."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from standins.ingress.habits import Habits
from standins.kubernetes.kinds import Object

_UNRESERVED = re.compile(r"%(?:2[dDeE]|3[0-9]|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aAeE])")
_SLASH = re.compile("%2[fF]")
#: What nginx leaves as it is when it writes a path anew.
_PLAIN = "/~!$&'()*+,;=:@"


@dataclass(frozen=True)
class Refusal:
    """An answer of the proxy itself, with the address to go to for a redirection."""

    status: int
    location: str = ""


def read(habits: Habits, path: str) -> str | Refusal:
    """The path that routes are compared with."""
    if "%00" in path or "#" in path or not path.startswith("/"):
        return Refusal(400)
    if habits.escaped_slash == "redirected" and _SLASH.search(path):
        return Refusal(307, _SLASH.sub("/", path))
    if habits.escaped_slash == "decoded":
        path = unquote(path)
    else:
        path = _UNRESERVED.sub(lambda found: unquote(found[0]), path).replace("\\", "/")
    return _resolved(re.sub("//+", "/", path) if habits.merges_slashes else path)


def rewritten(habits: Habits, path: str, match: Object, rule: Object) -> str | Refusal:
    """The path that the pod sees; `match` is what the rule was chosen by."""
    for each in rule.get("filters", []):
        if change := (each.get("urlRewrite") or {}).get("path"):
            if change["type"] == "ReplaceFullPath":
                return str(change["replaceFullPath"])
            return _prefix_replaced(habits, path, match["path"]["value"], change["replacePrefixMatch"])
    return _escaped(habits, path)


def _prefix_replaced(habits: Habits, path: str, prefix: str, to: str) -> str | Refusal:
    if prefix.endswith("/") and len(prefix) > 1 and path == prefix[:-1]:
        if habits.proxy == "nginx":
            return Refusal(301, prefix)
        if habits.merges_slashes:  # Envoy Gateway's expression does not match: the path stays
            return path
    rest = path[len(prefix.rstrip("/")) :]
    if to == "/":
        return _escaped(habits, "/" + rest.lstrip("/"))
    return _escaped(habits, to.rstrip("/") + rest)


def _escaped(habits: Habits, path: str) -> str:
    return quote(path, safe=_PLAIN) if habits.escaped_slash == "decoded" else path


def _resolved(path: str) -> str:
    """Without `.` and `..`; slashes stay as many as they are."""
    if "/." not in path:
        return path
    parts: list[str] = []
    for part in path.split("/")[1:]:
        if part == "..":
            parts[-1:] = []
        elif part != ".":
            parts.append(part)
    ends = "/" if posixpath.basename(path) in (".", "..") and parts else ""
    return "/" + "/".join(parts) + ends
