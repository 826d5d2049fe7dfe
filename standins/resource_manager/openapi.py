"""Import of an OpenAPI 3.0 document into an API:
https://learn.microsoft.com/azure/api-management/import-api-from-oas
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from standins.resource_manager.arm import Json, invalid

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True)
class Import:
    """What a document says of an API. `operations` is None when nothing was imported: the operations stay as
    they are.
    """

    properties: Json
    operations: dict[str, Json] | None


def read_openapi(text: str) -> Import:
    """Name, description, address and operations (name -> properties). Raises 400 ValidationError."""
    try:
        document = yaml.safe_load(text)  # JSON is YAML
    except yaml.YAMLError as error:
        raise _unreadable(str(error)) from error
    if not isinstance(document, dict) or not str(document.get("openapi", "")).startswith("3.0"):
        raise _unreadable("The document is not OpenAPI 3.0.")
    info, paths = document.get("info"), document.get("paths")
    if (
        not isinstance(info, dict)
        or "title" not in info
        or "version" not in info
        or not isinstance(paths, dict)
    ):
        raise _unreadable("info.title, info.version and paths are required.")
    properties = {"displayName": info["title"], "description": info.get("description")}
    if servers := document.get("servers"):
        properties["serviceUrl"] = servers[0]["url"]
    return Import(properties, _operations(paths))


def _operations(paths: Json) -> dict[str, Json]:
    operations: dict[str, Json] = {}
    for path, item in paths.items():
        for method in _METHODS:
            if method not in item:
                continue
            name = item[method].get("operationId") or re.sub(r"\W+", "-", f"{method}{path}").strip("-")
            if name in operations:
                raise _unreadable(f"The operationId '{name}' stands twice.")
            operations[name] = _operation(method, path, item)
    return operations


def _operation(method: str, path: str, item: Json) -> Json:
    operation: Json = item[method]
    parameters: list[dict[str, Any]] = [*item.get("parameters", []), *operation.get("parameters", [])]
    declared = {parameter["name"]: parameter for parameter in parameters if parameter.get("in") == "path"}
    template = [
        _template_parameter(name, declared.get(name, {})) for name in re.findall(r"\{([^{}]+)\}", path)
    ]
    shown = {
        "displayName": operation.get("summary") or operation.get("operationId") or path,
        "method": method.upper(),
    }
    return shown | {
        "urlTemplate": path,
        "templateParameters": template,
        "description": operation.get("description"),
    }


def _template_parameter(name: str, declared: Json) -> Json:
    return {
        "name": name,
        "required": True,
        "type": declared.get("schema", {}).get("type", "string"),
        "values": [],
    }


def _unreadable(reason: str) -> Exception:
    return invalid(("representation", f"Parsing error(s): {reason}"))
