"""Files as they are in a commit: GetFile, GetFolder, GetBlob."""

from __future__ import annotations

from typing import Any

from modelwright.repositories.names import is_object_id, split_path
from modelwright.repositories.objects import EXECUTABLE, SUBMODULE, SYMLINK, TREE
from modelwright.repositories.repository import Reader
from modelwright.services.codecommit.base import MOST_BYTES, CodeCommitService, meant
from modelwright.services.codecommit.commits import entry_at
from modelwright.services.codecommit.errors import bad_path, error, no_file
from modelwright.services.dispatch import Context, Document, operation


class Files(CodeCommitService):
    """What a commit holds."""

    @operation("GetFile")
    def get_file(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises FileDoesNotExistException, FileTooLargeException."""
        document = self.find(parameters["repositoryName"])
        repository = self.open(document)
        parts = split_path(parameters["filePath"])
        if not parts:
            raise bad_path(parameters["filePath"])
        with repository.reader() as reader:
            commit_id = meant(repository, reader, document, parameters.get("commitSpecifier"))
            commit = reader.commit(commit_id)
            assert commit is not None
            entry = entry_at(reader, commit.tree, parts)
            if entry is None or entry.mode in (TREE, SUBMODULE):
                raise no_file(parameters["filePath"], f"the commit {commit_id}")
            content = _content(reader, entry.id)
        return {
            "commitId": commit_id,
            "blobId": entry.id,
            "filePath": b"/".join(parts).decode(),
            "fileMode": mode_name(entry.mode),
            "fileSize": len(content),
            "fileContent": content,
        }

    @operation("GetFolder")
    def get_folder(self, _: Context, parameters: dict[str, Any]) -> Document:
        """One level of it. Raises FolderDoesNotExistException."""
        document = self.find(parameters["repositoryName"])
        repository = self.open(document)
        parts = split_path(parameters["folderPath"])
        if parts is None:
            raise bad_path(parameters["folderPath"])
        folder = b"/".join(parts).decode()
        with repository.reader() as reader:
            commit_id = meant(repository, reader, document, parameters.get("commitSpecifier"))
            commit = reader.commit(commit_id)
            assert commit is not None
            found = entry_at(reader, commit.tree, parts)
            if found is None or found.mode != TREE:
                raise error("FolderDoesNotExist", f"The folder {folder} does not exist in the commit {commit_id}.")
            entries = reader.tree(found.id)
        result: Document = {
            "commitId": commit_id,
            "folderPath": folder,
            "treeId": found.id,
            **{member: [] for member in ("subFolders", "files", "symbolicLinks", "subModules")},
        }
        for raw, entry in entries.items():
            name = raw.decode("utf-8", "replace")
            place = {"absolutePath": f"{folder}/{name}" if folder else name, "relativePath": name}
            if entry.mode == TREE:
                result["subFolders"].append({"treeId": entry.id, **place})
            elif entry.mode == SUBMODULE:
                result["subModules"].append({"commitId": entry.id, **place})
            else:
                kind = "symbolicLinks" if entry.mode == SYMLINK else "files"
                result[kind].append({"blobId": entry.id, **place, "fileMode": mode_name(entry.mode)})
        return result

    @operation("GetBlob")
    def get_blob(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises BlobIdDoesNotExistException, FileTooLargeException."""
        blob = parameters["blobId"]
        if not is_object_id(blob):
            raise error("InvalidBlobId", f"'{blob}' is not a full blob id.")
        with self.open(self.find(parameters["repositoryName"])).reader() as reader:
            found = reader.header(blob)
            if found is None or found[1] != "blob":
                raise error("BlobIdDoesNotExist", f"The blob {blob} does not exist.")
            return {"content": _content(reader, blob)}


def mode_name(mode: int) -> str:
    """A file mode as AWS calls it."""
    return {EXECUTABLE: "EXECUTABLE", SYMLINK: "SYMLINK"}.get(mode, "NORMAL")


def _content(reader: Reader, blob: str) -> bytes:
    header = reader.header(blob)
    if header is not None and header[2] > MOST_BYTES:
        raise error(
            "FileTooLarge", f"The file has {header[2]} bytes; the API hands out {MOST_BYTES}. Clone the repository."
        )
    found = reader.read(blob)
    assert found is not None
    return found[1]
