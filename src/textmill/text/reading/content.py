"""The content of a file: as it lies on disk, unpacked, or a member of a zip archive."""

from __future__ import annotations

import contextlib
import errno
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from textmill.base.errors import DataError
from textmill.text.compression import damage_errors, unpacked
from textmill.text.reading.files import ZIP_DAMAGE, ZIP_SUFFIX, InputFile

# Packed content is asked for in these pieces, always: how far a damaged file can be read depends on them.
PIECE_BYTES = 64 << 10
_MAX_PIECE_BYTES = 1 << 20


class DamagedContentError(Exception):
    """Content cannot be read on."""


class Content:
    """Content that is read from its start; where it is damaged, all that comes before can be read."""

    def __init__(self, file: InputFile, opened: Any, is_packed: bool) -> None:
        self._file, self._opened, self._is_packed = file, opened, is_packed
        self._stream: Any = unpacked(opened, file.location)
        more = ZIP_DAMAGE if isinstance(opened, zipfile.ZipExtFile) else ()
        self._damage: tuple[type[Exception], ...] = (*damage_errors(file.location), *more)

    def readinto(self, buffer: memoryview) -> int:
        """Fill the front of a buffer of at least ``PIECE_BYTES``; returns the bytes that were read, 0 at the end.

        Raises:
            DamagedContentError: it is damaged, or is cut short.
            DataError: the file cannot be read.
        """
        try:
            if not self._is_packed:
                return self._stream.readinto(buffer)
            piece = self._stream.read1(PIECE_BYTES)
        except self._damage as error:
            is_cut = isinstance(error, EOFError) or not str(error)
            raise DamagedContentError(
                "it ends in the middle; is the file complete?" if is_cut else str(error)
            ) from error
        except OSError as error:
            raise _damage_or_disk(error, self._file) from error
        buffer[: len(piece)] = piece
        return len(piece)

    def read(self, max_bytes: int) -> bytes | None:
        """Read all there is; None where that is more than ``max_bytes``. Raises as ``readinto``."""
        pieces = []
        num_bytes = 0
        piece_bytes = PIECE_BYTES if self._is_packed else min(max(self._file.size, PIECE_BYTES), _MAX_PIECE_BYTES)
        buffer = memoryview(bytearray(piece_bytes))
        while count := self.readinto(buffer):
            num_bytes += count
            if num_bytes > max_bytes:
                return None
            pieces.append(bytes(buffer[:count]))
        return b"".join(pieces)

    @property
    def disk_bytes(self) -> int:
        """How far the file has been read that is opened, packed as it is."""
        return self._opened.tell()

    def seek(self, offset: int) -> None:
        """Go to an offset of content that is not packed."""
        self._stream.seek(offset)


class OpenArchive:
    """The zip archive that was read last, kept open: its list of members is read once for many of them."""

    def __init__(self) -> None:
        self._path = ""
        self._archive: zipfile.ZipFile | None = None

    def open(self, path: str, member: str) -> IO[bytes]:
        """Open a member of an archive; raises what ``zipfile`` does."""
        if self._archive is None or path != self._path:
            self.close()
            self._archive, self._path = zipfile.ZipFile(path), path
        return self._archive.open(member)

    def close(self) -> None:
        """Close the archive, if one is open."""
        if self._archive is not None:
            self._archive.close()
            self._archive = None


@contextlib.contextmanager
def open_content(file: InputFile, archive: OpenArchive) -> Iterator[Content]:
    """Open a file's content; ``archive`` is where the members of archives are read.

    Raises:
        DamagedContentError: it is in a zip archive that cannot be opened, or is encrypted.
        DataError: the file cannot be opened.
        MissingExtraError: a ``.zst`` without the package ``zstandard``.
    """
    is_zip = bool(file.member) or file.path.lower().endswith(ZIP_SUFFIX)
    with contextlib.ExitStack() as opened:
        try:
            stream: Any
            if is_zip:
                stream = archive.open(file.path, file.member)
            else:
                stream = open(file.path, "rb", buffering=-1 if file.packing else 0)  # noqa: PTH123, SIM115
            opened.enter_context(stream)
        except ZIP_DAMAGE as error:
            raise DamagedContentError(f"{error}") from error
        except OSError as error:
            raise _damage_or_disk(error, file) from error
        yield Content(file, stream, is_zip or bool(file.packing))


def _damage_or_disk(error: OSError, file: InputFile) -> Exception:
    """Tell an archive whose numbers lead out of it, or bz2 in one that is damaged, from a disk that fails."""
    if file.path.lower().endswith(ZIP_SUFFIX) and error.errno in (None, errno.EINVAL):
        return DamagedContentError(str(error))
    return DataError(f"cannot read {file.location}: {error.strerror or error}")
