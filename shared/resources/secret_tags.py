"""The tags of a secret: ours, which every write sets, and those of other owners, which every write keeps.

A newer version of Mergekey, or a policy of the company, may add tags to a secret. They are not a difference.
"""

from __future__ import annotations

from collections.abc import Mapping

from shared.resources.key_slots import EXPOSED

_OURS = frozenset(
    {"managed-by", "repository", "team", "commit", "reader", "fingerprint", "withdrawn", EXPOSED}
)
#: https://learn.microsoft.com/azure/key-vault/secrets/about-secrets#secret-tags
MAX_TAGS = 15


def with_others(ours: Mapping[str, str], found: Mapping[str, str] | None) -> dict[str, str]:
    """Our tags, and those of other owners, by name, as far as a secret's limit allows."""
    others = sorted((name, text) for name, text in (found or {}).items() if name not in _OURS)
    return {**dict(others[: MAX_TAGS - len(ours)]), **ours}


def marked(found: Mapping[str, str], mark: Mapping[str, str]) -> dict[str, str]:
    """The existing tags with one more of ours, which replaces a tag of another owner at the limit."""
    return with_others({name: text for name, text in found.items() if name in _OURS} | dict(mark), found)


def equivalent(found: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether they are equal, except for the commit, which is for people. A tag without a text is none: a
    vault may leave it out.
    """
    return _said(found) == _said(wanted)


def _said(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in tags.items() if text and name != "commit"}
