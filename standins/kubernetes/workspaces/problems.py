"""Problems as KAITO's webhook words them: a message and the place it is about (knative.dev/pkg/apis,
FieldError).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from standins.kubernetes.errors import Refused
from standins.kubernetes.kinds import Object

#: A message and the path it is about; empty for a message without one.
Problem = tuple[str, str]
_ADDRESS = "https://kaito-workspace-webhook.kaito-workspace.svc:9443/validate/workspace.kaito.sh?timeout=10s"
_REFERENCE = re.compile(
    r"(?P<path>[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*(:\d+)?(/[A-Za-z0-9]+([._-]+[A-Za-z0-9]+)*)*)"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?"
)


class Panicked(Exception):
    """The webhook's own code broke: the API server gets no answer."""

    def refusal(self) -> Refused:
        """The answer of the API server then (500)."""
        text = (
            'Internal error occurred: failed calling webhook "validation.workspace.kaito.sh": failed to call '
            f'webhook: Post "{_ADDRESS}": EOF'
        )
        cause = {"message": text.removeprefix("Internal error occurred: ")}
        return Refused(500, "InternalError", text, {"causes": [cause]})


def missing(path: str) -> Problem:
    return "missing field(s)", path


def invalid_value(text: str, path: str) -> Problem:
    return f"invalid value: {text}", path


def worded(problems: Iterable[Problem]) -> str:
    """Equal messages share a line with all their paths; lines are sorted. Empty without problems."""
    paths: dict[str, set[str]] = {}
    for message, path in problems:
        paths.setdefault(message, set()).update([path] if path else [])
    return "\n".join(f"{message}: {', '.join(sorted(paths[message]))}" for message in sorted(paths))


def duplicate_names(adapters: list[Object]) -> Iterator[Problem]:
    """Raises `Panicked` for an adapter without a source."""
    if any(adapter.get("source") is None for adapter in adapters):
        raise Panicked
    counted = Counter(adapter["source"].get("name", "") for adapter in adapters)
    yield from (
        (f"Duplicate adapter source name found: {name}", "") for name, count in counted.items() if count > 1
    )


def image_problem(image: str) -> str | None:
    """Why a text names no image (github.com/distribution/reference)."""
    whole = _REFERENCE.fullmatch(image)
    if whole is None:
        return "invalid reference format"
    first, slash, rest = whole["path"].partition("/")
    is_registry = slash and (set(first) & {".", ":"} or first == "localhost" or first.lower() != first)
    repository = rest if is_registry else whole["path"]
    if repository.lower() != repository:
        shown = repository if slash else f"library/{repository}"
        return f"invalid reference format: repository name ({shown}) must be lowercase"
    return None if not set(repository) & {":"} else "invalid reference format"


def selector_problem(selector: Object) -> str | None:
    """Why a label selector cannot be read as a map of labels (apimachinery, `LabelSelectorAsMap`)."""
    for expression in selector.get("matchExpressions", []):
        operator = expression["operator"]
        if operator in ("NotIn", "Exists", "DoesNotExist"):
            return f'operator "{operator}" cannot be converted into the old label selector format'
        if operator != "In":
            return f'"{operator}" is not a valid selector operator'
        if len(expression.get("values", [])) != 1:
            return (
                f'operator "{operator}" without a single value cannot be converted into the old label '
                "selector format"
            )
    return None


def selected(selector: Object) -> Object:
    """The labels that a selector asks for, by name."""
    found = {
        expression["key"]: expression["values"][0] for expression in selector.get("matchExpressions", [])
    }
    return {**(selector.get("matchLabels") or {}), **found}
