"""What names, labels and annotations may look like:
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ .
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from standins.kubernetes.kinds import NAMESPACE, Kind, Object
from standins.kubernetes.schema import Violation

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start "
    "and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must "
    "start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used "
    "for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_ALL_ANNOTATIONS = 256 * 1024


def label_problem(name: str) -> str | None:
    """Why a name is no DNS label."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    return None if _LABEL.fullmatch(name) else _LABEL_RULE


def dotless_label_problems(name: str) -> Iterator[str]:
    """Everything for which a name is no DNS label (apimachinery, `IsDNS1123Label`)."""
    if len(name) > 63:
        yield "must be no more than 63 characters"
    if not _LABEL.fullmatch(name):
        yield "must not contain dots" if "." in name and _SUBDOMAIN.fullmatch(name) else _LABEL_RULE


def subdomain_problem(name: str) -> str | None:
    """Why a name is no DNS subdomain (apimachinery, `IsDNS1123Subdomain`)."""
    said = ["must be no more than 253 characters"] if len(name) > 253 else []
    said += [] if _SUBDOMAIN.fullmatch(name) else [_SUBDOMAIN_RULE]
    return ", ".join(said) or None


def name_problem(kind: Kind, name: str) -> str | None:
    if kind.group == "rbac.authorization.k8s.io":
        return "may not contain '/'" if "/" in name else "may not contain '%'" if "%" in name else None
    if kind.resource == NAMESPACE.resource:
        return label_problem(name)
    if len(name) > 253:
        return "must be no more than 253 characters"
    return None if _SUBDOMAIN.fullmatch(name) else _SUBDOMAIN_RULE


def metadata_problems(kind: Kind, value: Object) -> Iterator[Violation]:
    """What is wrong with the name, the labels and the annotations."""
    metadata = value["metadata"]
    if problem := name_problem(kind, metadata["name"]):
        yield Violation(
            "metadata.name", "FieldValueInvalid", f'Invalid value: "{metadata["name"]}": {problem}'
        )
    for name, text in metadata.get("labels", {}).items():
        if problem := _key_problem(name):
            yield Violation("metadata.labels", "FieldValueInvalid", f'Invalid value: "{name}": {problem}')
        if problem := value_problem(text):
            yield Violation("metadata.labels", "FieldValueInvalid", f'Invalid value: "{text}": {problem}')
    annotations = metadata.get("annotations", {})
    for name in annotations:
        if problem := _key_problem(name.lower()):
            yield Violation(
                "metadata.annotations", "FieldValueInvalid", f'Invalid value: "{name}": {problem}'
            )
    if sum(len(name.encode()) + len(text.encode()) for name, text in annotations.items()) > _ALL_ANNOTATIONS:
        yield Violation(
            "metadata.annotations",
            "FieldValueTooLong",
            f"Too long: may not be more than {_ALL_ANNOTATIONS} bytes",
        )


def _key_problem(key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if slash and (not _SUBDOMAIN.fullmatch(prefix) or len(prefix) > 253):
        return f"prefix part {_SUBDOMAIN_RULE}"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    return None if _QUALIFIED.fullmatch(name) else _KEY_RULE


def value_problem(text: str) -> str | None:
    """Why a text is no value of a label."""
    if len(text) > 63:
        return "must be no more than 63 characters"
    return None if not text or _QUALIFIED.fullmatch(text) else _VALUE_RULE
