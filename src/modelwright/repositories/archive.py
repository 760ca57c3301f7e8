"""A commit's files as a zip file: what a pipeline's source action hands on.

The same commit always gives the same bytes: entries in git's order, one date, modes from the tree. Blobs are copied
piece by piece; none is held in memory.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from modelwright.errors import AwsError
from modelwright.repositories.objects import EXECUTABLE, SUBMODULE, SYMLINK
from modelwright.repositories.repository import Repository

_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3


def write_zip(repository: Repository, commit: str, target: Path) -> None:
    """Whole or not at all. Raises AwsError where there is no such commit."""
    with repository.reader() as reader:
        found = reader.commit(commit)
        if found is None:
            raise AwsError(f"The commit {commit} does not exist.", code="CommitDoesNotExistException")
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "w+b") as file, ZipFile(file, "w", ZIP_DEFLATED, compresslevel=6) as archive:
                for path, entry in repository.tree_listing(found.tree):
                    info = ZipInfo(path.decode("utf-8", "replace"), _DATE)
                    info.create_system = _UNIX
                    info.compress_type = ZIP_DEFLATED
                    if entry.mode == SUBMODULE:
                        info.filename += "/"
                        info.external_attr = (stat.S_IFDIR | 0o755) << 16 | 0x10
                        archive.writestr(info, b"")
                        continue
                    info.external_attr = _mode(entry.mode) << 16
                    header = reader.header(entry.id)
                    info.file_size = header[2] if header else 0
                    with archive.open(info, "w") as member:
                        reader.copy(entry.id, member)
            os.replace(temporary, target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _mode(mode: int) -> int:
    if mode == SYMLINK:
        return stat.S_IFLNK | 0o777
    return stat.S_IFREG | (0o755 if mode == EXECUTABLE else 0o644)
