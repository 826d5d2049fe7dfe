"""Unpacks a repository's archive (`.tar.gz`) as a stream, and keeps only the files that are read.

Its content is untrusted: a small download can unpack to more than fits into memory.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Self

from shared.adapters.translate import unexpected
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.errors import Rejected

#: Bytes of the download.
MAX_PACKED_BYTES = 256 * 2**20
#: Bytes that are unpacked at a time. With fewer, or many more, passing files over takes longer.
_BLOCK = 64 * 1024
#: Files are cut after this: one byte more than a request may have tells that it is too large.
CUT_AFTER = MAX_FILE_BYTES + 1
#: Entries that describe the next one, such as a long path, are read into memory at once.
_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of an archive: bytes in all, most of which are passed over; bytes that are kept; entries.

    GitHub lists 100,000 files of a tree; folders have an entry too.
    """

    unpacked: int = 2 * 2**30
    kept: int = 256 * 2**20
    entries: int = 300_000


BOUNDS = Bounds()


def too_large() -> Rejected:
    return Rejected("the repository is too large to be looked at in one download", reason="ArchiveTooLarge")


class _Entry(tarfile.TarInfo):
    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        entry = super().frombuf(buf, encoding, errors)
        if entry.type in _EXTENSIONS and entry.size > CUT_AFTER:
            raise too_large()
        return entry


class _Bounded:
    """The unpacked stream, with a limit of bytes."""

    def __init__(self, stream: gzip.GzipFile, most: int) -> None:
        self._stream = stream
        self._left = most

    def read(self, size: int) -> bytes:
        found = self._stream.read(size)
        self._left -= len(found)
        if self._left < 0:
            raise too_large()
        return found


def unpack(
    system: str, packed: IO[bytes], is_read: Callable[[str], bool], bounds: Bounds = BOUNDS
) -> dict[str, bytes]:
    """Regular files by their path in the repository (the archive's top folder is cut off), where `is_read`
    says so.

    Raises Rejected for what is too large, Unavailable for what is no archive, or was cut off.
    """
    packed.seek(0)
    try:
        with gzip.open(packed) as stream:
            return _kept(_Bounded(stream, bounds.unpacked), is_read, bounds)
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError) as error:
        raise unexpected(system, f"no archive ({type(error).__name__})") from None


def _kept(stream: _Bounded, is_read: Callable[[str], bool], bounds: Bounds) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    room = bounds.kept
    source: Any = stream  # tarfile only reads
    with tarfile.open(fileobj=source, mode="r|", bufsize=_BLOCK, tarinfo=_Entry) as archive:
        for number, member in enumerate(archive):
            if number == bounds.entries:
                raise too_large()
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep every entry until the end
            path = member.name.partition("/")[2]
            content = archive.extractfile(member) if member.isreg() and is_read(path) else None
            if content is None:
                continue
            files[path] = content.read(CUT_AFTER)
            room -= len(files[path])
            if room < 0:
                raise too_large()
    return files
