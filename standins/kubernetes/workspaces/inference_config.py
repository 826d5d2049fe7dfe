"""The file `inference_config.yaml` of a Workspace's ConfigMap, as KAITO reads it: as YAML in its webhook,
line by line where it counts nodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

FILE = "inference_config.yaml"
_TYPE = "v1beta1.InferenceConfig"
_MAP = "map[string]string"
#: The binding to libyaml, whose words KAITO's library has too.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NUMBER = re.compile(r"[+-]?[0-9]+")
_MOST = 2**63


class Unreadable(Exception):
    """With the text of `gopkg.in/yaml.v2`."""


def settings(content: str) -> dict[str, str]:
    """The scalars of the section `vllm`, as written. Raises `Unreadable`."""
    loader = _Loader(content)
    try:
        root = loader.get_node() if loader.check_node() else None
    except yaml.MarkedYAMLError as error:
        raise Unreadable(f"yaml: {_where(error)}{error.problem}") from error
    finally:
        loader.dispose()
    wrong: list[str] = []
    found = dict(_settings(root, wrong)) if root is not None else {}
    if wrong:
        raise Unreadable("\n  ".join(["yaml: unmarshal errors:", *wrong]))
    return found


def integer_problem(text: str) -> str | None:
    """Why Go reads no integer from a text."""
    quoted = f'strconv.Atoi: parsing "{text}": '
    if not _NUMBER.fullmatch(text):
        return f"{quoted}invalid syntax"
    return f"{quoted}value out of range" if not -_MOST <= int(text) < _MOST else None


def context(content: str) -> int | None:
    """The context that nodes are counted for: the first `max-model-len` below a line that begins with
    `vllm:`, and only as a bare positive integer.
    """
    base: int | None = None
    for line in content.split("\n"):
        text, indent = line.strip(), len(line) - len(line.lstrip(" \t"))
        if base is None:
            base = indent + 2 if text.startswith("vllm:") else None
            continue
        if text and not text.startswith("#") and indent < base:
            return None
        if text.startswith("max-model-len:"):
            value = text.removeprefix("max-model-len:").strip()
            is_fine = value and integer_problem(value) is None and int(value) > 0
            return int(value) if is_fine else None
    return None


def _where(error: yaml.MarkedYAMLError) -> str:
    """Lines count from 0 in a parser's error, and from 1 in a scanner's."""
    is_scanner = isinstance(error, yaml.scanner.ScannerError)
    if error.problem_mark is not None and error.problem_mark.line:
        return f"line {error.problem_mark.line + is_scanner}: "
    if error.context_mark is not None and error.context_mark.line:
        return f"line {error.context_mark.line}: "
    return ""


def _settings(root: Node, wrong: list[str]) -> Iterator[tuple[str, str]]:
    if not isinstance(root, MappingNode):
        if not _is_null(root):
            wrong.append(_mismatch(root, _TYPE))
        return
    for key, section in root.value:
        if key.value == "vllm":
            yield from _scalars(section, wrong)


def _scalars(section: Node, wrong: list[str]) -> Iterator[tuple[str, str]]:
    if not isinstance(section, MappingNode):
        if not _is_null(section):
            wrong.append(_mismatch(section, _MAP))
        return
    for key, value in section.value:
        if key.tag == "tag:yaml.org,2002:merge":
            yield from _scalars(value, wrong)
        elif isinstance(value, ScalarNode):
            yield str(key.value), value.value
        else:
            wrong.append(_mismatch(value, "string"))


def _is_null(node: Node) -> bool:
    return bool(node.tag == "tag:yaml.org,2002:null")


def _mismatch(node: Node, wanted: str) -> str:
    kind = "!!seq" if isinstance(node, SequenceNode) else "!!map"
    if isinstance(node, ScalarNode):
        text = node.value if len(node.value) <= 10 else f"{node.value[:7]}..."
        kind = f"{node.tag.replace('tag:yaml.org,2002:', '!!')} `{text}`"
    return f"line {node.start_mark.line + 1}: cannot unmarshal {kind} into {wanted}"
