"""Where requests and the catalogue live in the repository, and what was probably meant to live there."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache

from shared import names

DEFAULT_PATTERNS = ("tenant-access/config/*/access.yaml", "developer-requests/*/access.yaml")
DEFAULT_CATALOG_PATH = "platform/config/model_catalog.yaml"

_ALIKE = 0.85
"""How alike two names are (0 to 1) before one is taken for a misspelling of the other."""


@dataclass(frozen=True, slots=True)
class RequestPaths:
    """The patterns of the paths that hold requests: exactly one segment of each is `*`, the team's folder.

    Raises `ValueError` for a pattern of another form.
    """

    patterns: tuple[str, ...] = DEFAULT_PATTERNS

    def __post_init__(self) -> None:
        for pattern in self.patterns:
            segments = pattern.split("/")
            if segments.count("*") != 1 or pattern.count("*") != 1 or "" in segments or segments[-1] == "*":
                raise ValueError(
                    f"the request path {pattern!r} must be relative and have one folder '*', as in "
                    f"{DEFAULT_PATTERNS[0]!r}"
                )

    def folder(self, path: str) -> str | None:
        """The team's folder in a path that holds a request, else None."""
        for pattern in self.patterns:
            before, after = pattern.split("*")
            end = len(path) - len(after)
            if len(before) <= end and path.startswith(before) and path.endswith(after):
                folder = path[len(before) : end]
                if "/" not in folder:
                    return folder
        return None

    def folders_of(self, team: str) -> tuple[str, ...]:
        """The folders in which a request of the team may stand."""
        stems = [pattern.split("/") for pattern in self.patterns]
        return tuple(
            "/".join([*stem[: stem.index("*")], folder])
            for stem in stems
            for folder in (team, f"{names.FOLDER_PREFIX}{team}")
        )

    def team_of(self, path: str) -> str | None:
        """The team whose request belongs at this path: `alpha` for the folders `alpha` and `team-alpha`."""
        folder = self.folder(path)
        return None if folder is None else folder.removeprefix(names.FOLDER_PREFIX)

    def encloses(self, path: str) -> bool:
        """Whether the path is a folder above requests, where a symbolic link or submodule would hide them."""
        segments = path.split("/")
        return any(_begins(pattern.split("/")[:-1], segments) for pattern in self.patterns)

    def near_miss(self, path: str) -> str | None:
        """Advice for a file that was probably meant as a request, but stands where requests are not read;
        else None.
        """
        if self.folder(path) is not None:
            return None
        for pattern in self.patterns:
            meant = _meant_request(path.split("/"), pattern.split("/"))
            if meant is not None:
                return (
                    f"Requests are only read from {pattern}, so this file would be ignored. Did you mean "
                    f"{meant}?"
                )
        return None


def catalog_near_miss(path: str, catalog_path: str) -> str | None:
    """Advice for a file that was probably meant as the catalogue, but stands elsewhere; else None."""
    wanted, segments = catalog_path.split("/"), path.split("/")
    if path == catalog_path or len(wanted) != len(segments) or not all(map(_alike, segments, wanted)):
        return None
    return (
        f"The catalogue is only read from {catalog_path}, so this file would be ignored. Rename it, or "
        "remove it."
    )


def encloses(path: str, paths: RequestPaths, catalog_path: str) -> bool:
    """Whether a link or submodule at this path would hide requests or the catalogue."""
    return paths.encloses(path) or catalog_path.startswith(path + "/")


def _begins(wanted: list[str], segments: list[str]) -> bool:
    return len(segments) <= len(wanted) and all(
        want in ("*", got) for want, got in zip(wanted, segments, strict=False)
    )


def _meant_request(segments: list[str], wanted: list[str]) -> str | None:
    star = wanted.index("*")
    above, below = wanted[:star], wanted[star + 1 :]
    head, rest = segments[:star], segments[star:]
    if len(head) < star or not all(map(_alike, head, above)) or not _alike(segments[-1], wanted[-1]):
        return None
    if len(segments) == len(wanted) and not all(map(_alike, rest[1:], below)):
        return None
    team = rest[0] if len(rest) > 1 else "<team>"
    return "/".join([*above, team, *below])


@lru_cache(maxsize=4096)
def _alike(written: str, wanted: str) -> bool:
    """Asked of every file of the repository, and the same folders come again and again. Most names are of
    another length.
    """
    one, other = _stem(written), _stem(wanted)
    if 2 * min(len(one), len(other)) < _ALIKE * (len(one) + len(other)):
        return False
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    return matcher.quick_ratio() >= _ALIKE and matcher.ratio() >= _ALIKE


def _stem(name: str) -> str:
    """The name without case, separators and the ending that tells YAML: what people get wrong first."""
    folded = name.casefold().replace("_", "").replace("-", "")
    return folded.removesuffix(".txt").removesuffix(".yml").removesuffix(".yaml").removesuffix(".json")
