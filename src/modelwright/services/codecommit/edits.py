"""Changing a commit's tree path by path: only the folders on the way to what changes are read and written.

Git's rules hold: a name is a file or a folder, not both; a submodule is nobody's to write below; a folder without
files is none.
"""

from __future__ import annotations

from modelwright.repositories.objects import SUBMODULE, TREE, Entry, NewObject, format_tree
from modelwright.repositories.repository import Reader
from modelwright.services.codecommit.errors import error

KEEP = b".gitkeep"


class Folder:
    """A folder of the new tree. What was not touched stays an Entry."""

    def __init__(self, reader: Reader, tree: str | None) -> None:
        self._reader = reader
        self._names: dict[bytes, Entry | Folder] = {}
        if tree is not None:
            self._names.update(reader.tree(tree))

    def find(self, parts: list[bytes]) -> Entry | None:
        """The file (or submodule) of that path; None where there is none, or a folder."""
        name, rest = parts[0], parts[1:]
        if not rest:
            found = self._names.get(name)
            return found if isinstance(found, Entry) and found.mode != TREE else None
        below = self._below(name)
        return None if below is None else below.find(rest)

    def put(self, parts: list[bytes], entry: Entry, path: str) -> None:
        """Raises AwsError where something else is in the way."""
        name, rest = parts[0], parts[1:]
        found = self._names.get(name)
        if isinstance(found, Entry) and found.mode == SUBMODULE:
            raise error("FilePathConflictsWithSubmodulePath", f"{path} is, or lies in, a submodule.")
        if not rest:
            if found is not None and (isinstance(found, Folder) or found.mode == TREE):
                raise error("FileNameConflictsWithDirectoryName", f"{path} is the name of a folder.")
            self._names[name] = entry
            return
        if isinstance(found, Entry) and found.mode != TREE:
            raise error(
                "DirectoryNameConflictsWithFileName", f"{path} lies below {name.decode('utf-8', 'replace')}, a file."
            )
        below = self._below(name)
        if below is None:
            below = self._names[name] = Folder(self._reader, None)
        below.put(rest, entry, path)

    def delete(self, parts: list[bytes], keep: Entry | None) -> None:
        """The file is there. `keep` is a .gitkeep for the folder that would be empty; without it the folder goes."""
        name, rest = parts[0], parts[1:]
        if not rest:
            del self._names[name]
        else:
            below = self._below(name)
            assert below is not None
            below.delete(rest, keep)
            if not below._names:
                if keep is not None:
                    below._names[KEEP] = keep
                else:
                    del self._names[name]

    def write(self, objects: list[NewObject]) -> str:
        """Add the trees of what was touched to `objects`; the id of this one."""
        entries = [
            (name, Entry(TREE, found.write(objects)) if isinstance(found, Folder) else found)
            for name, found in self._names.items()
        ]
        tree = NewObject("tree", format_tree(entries))
        objects.append(tree)
        return tree.id

    def _below(self, name: bytes) -> Folder | None:
        found = self._names.get(name)
        if isinstance(found, Entry):
            if found.mode != TREE:
                return None
            found = self._names[name] = Folder(self._reader, found.id)
        return found
