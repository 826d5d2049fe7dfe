"""The checkout of the repository of requests on this machine: where it begins, and its files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shared.documents.problem import listed, visible
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.requests.paths import RequestPaths

if TYPE_CHECKING:
    from shared.branch.review import File


@dataclass(frozen=True, slots=True)
class Places:
    """Where requests and the catalogue are in a checkout."""

    paths: RequestPaths
    catalog_path: str

    def begins_at(self, folder: Path) -> bool:
        """Whether a checkout begins at this folder."""
        heads = {pattern.split("/")[0] for pattern in self.paths.patterns} - {"*"}
        names = [".git", self.catalog_path, *heads]
        return any((folder / name).exists() for name in names)


@dataclass(frozen=True, slots=True)
class Scope:
    """A checkout and the part of it that is shown: `within` is a path in it, empty for all of it."""

    root: Path
    within: str

    def holds(self, path: str) -> bool:
        return not self.within or path == self.within or path.startswith(f"{self.within}/")


def scope_of(path: Path, places: Places) -> Scope:
    """The checkout that a folder or file stands in, and the part that is meant. A folder without a checkout
    around it is one itself.
    """
    if not path.exists():
        raise unusable(f"{path} is not there. Name a checkout, a folder of it, or a file.")
    target = path.resolve()
    root = _root(target, places)
    if root is None:
        raise unusable(f"{path} is in no checkout of a repository of requests.")
    within = target.relative_to(root).as_posix().removeprefix(".")
    if target.is_file() and within != places.catalog_path and places.paths.folder(within) is None:
        raise unusable(f"{within} is not read. Requests are read from {listed(places.paths.patterns)}.")
    return Scope(root, within)


def _root(target: Path, places: Places) -> Path | None:
    around = [target, *target.parents] if target.is_dir() else list(target.parents)
    found = next((folder for folder in around if places.begins_at(folder)), None)
    return target if found is None and target.is_dir() else found


def files_of(folder: Path, places: Places) -> dict[str, File]:
    """Every file of a checkout, by its path in the repository; those that are read with their content."""
    if not folder.is_dir():
        raise unusable(f"{folder} is not a folder. Name the folder that holds the checkout.")
    try:
        return dict(_files(folder, places))
    except OSError as error:
        raise unusable(f"Cannot read {error.filename}: {error.strerror}.") from error


def unusable(message: str) -> typer.Exit:
    """Say what is wrong with the command; the answer ends it with exit status 2."""
    typer.echo(visible(message), err=True)
    return typer.Exit(2)


def _files(root: Path, places: Places) -> Iterator[tuple[str, File]]:
    """Symbolic links are not followed."""
    from shared.branch.repository_state import is_read
    from shared.branch.review import File

    for file, mode in _walk(root):
        name = os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
        read = mode == "100644" and is_read(name, places.paths, places.catalog_path)
        yield name, File(_beginning(file) if read else b"", mode)


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            yield entry, "120000"
        elif entry.is_file():
            yield entry, "100644"
        elif entry.name != ".git" and entry.is_dir():
            yield from _walk(entry)


def _beginning(file: Path) -> bytes:
    with file.open("rb") as opened:
        # One byte more than a file may have tells that it is too large.
        return opened.read(MAX_FILE_BYTES + 1)


def unchanged(path: str, one: Mapping[str, File], other: Mapping[str, File]) -> bool:
    """Whether a file is the same in two checkouts."""
    return path in one and one.get(path) == other.get(path)
