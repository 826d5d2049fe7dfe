"""Git's own objects: trees, the modes of what is in them, and the ids of files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a Git tree: its blob, its mode (`100644`, `100755`, `120000` symbolic link, `160000`
    submodule), its size in bytes.
    """

    blob: str
    mode: str
    size: int = 0


SYMBOLIC_LINK, SUBMODULE = "120000", "160000"
#: Modes of entries that are not files of this repository.
NOT_REGULAR = frozenset({SYMBOLIC_LINK, SUBMODULE})

#: Path -> entry, for everything in a tree that is not a folder.
Tree = Mapping[str, Entry]


def is_hidden(tree: Tree, path: str) -> bool:
    """Whether a link or a submodule stands at one of the folders above a path, so that the files below it are
    not known.
    """
    folders = path.split("/")[:-1]
    above = ("/".join(folders[: length + 1]) for length in range(len(folders)))
    return any(folder in tree and tree[folder].mode in NOT_REGULAR for folder in above)


def blob_id(content: bytes, digits: int = 40) -> str:
    """Git's object id of a blob (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects): SHA-1, or SHA-256
    for 64 digits.
    """
    header = f"blob {len(content)}\0".encode()
    algorithm = hashlib.sha1 if digits == 40 else hashlib.sha256
    return algorithm(header + content).hexdigest()
