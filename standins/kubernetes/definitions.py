"""What the kinds are: `definitions/*.yaml`, spelled out as OpenAPI schemas.

Notation: a word is a type (`string`, `any`: whatever there is); a mapping is an object with these fields, a
required one ends in `!`, and `~` says what else holds for the object; `{~list: items, ...}`,
`{~map: values, ...}` and `{~type: word, ...}` are a list, a map and a value with what else holds for them.
`rules` are messages with their CEL expressions, in blocks; a block with `each` stands for one block an entry,
with the entry in the place of `<key>` (and `<value>`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Node = dict[str, Any]
_FOLDER = Path(__file__).parent / "definitions"
#: The one in C reads the files in a tenth of the time, which every start of the stand-ins and of tests takes.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WORDS = {
    "map": "x-kubernetes-map-type",
    "list": "x-kubernetes-list-type",
    "keys": "x-kubernetes-list-map-keys",
    "open": "x-kubernetes-preserve-unknown-fields",
}


def read(name: str) -> Any:
    """The content of one file."""
    return yaml.load((_FOLDER / name).read_text(), _LOADER)


def expanded(node: Any) -> Node:
    """A schema as OpenAPI writes it."""
    if node == "any":
        return {"x-kubernetes-preserve-unknown-fields": True}
    if node == "quantity":
        return {"type": "string", "format": "quantity"}
    if isinstance(node, str):
        return {"type": node}
    about = {name: part for name, part in node.items() if not name.startswith("~")}
    if "~type" in node:
        return {"type": node["~type"], **_spelled(about)}
    if "~list" in node:
        return {"type": "array", "items": expanded(node["~list"]), **_spelled(about)}
    if "~map" in node:
        return {"type": "object", "additionalProperties": expanded(node["~map"]), **_spelled(about)}
    fields = {name.rstrip("!"): expanded(part) for name, part in about.items()}
    required = [name.rstrip("!") for name in about if name.endswith("!")]
    schema: Node = {"type": "object", **({"properties": fields} if fields else {})}
    return schema | ({"required": required} if required else {}) | _spelled(node.get("~", {}))


def _spelled(words: Node) -> Node:
    rules = [{"message": message, "rule": rule} for message, rule in _rules(words.get("rules", []))]
    spelled = {_WORDS.get(name, name): part for name, part in words.items() if name != "rules"}
    return {**spelled, **({"x-kubernetes-validations": rules} if rules else {})}


def _rules(blocks: Any) -> Iterator[tuple[str, str]]:
    for block in blocks if isinstance(blocks, list) else [blocks]:
        entries = block.get("each", [""])
        for key in entries:
            value = entries[key] if isinstance(entries, dict) else key
            for texts in ((message, rule) for message, rule in block.items() if message != "each"):
                message, rule = (text.replace("<key>", key).replace("<value>", value) for text in texts)
                yield message, rule
