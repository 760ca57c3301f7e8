"""Commits made by the API: CreateCommit, PutFile, DeleteFile.

All of it or nothing: the new objects are written first, then the branch moves, and only from the parent that the caller
has seen. What is refused leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from modelwright.repositories.names import BRANCHES, TAGS, is_object_id, split_path
from modelwright.repositories.objects import (
    EXECUTABLE,
    FILE,
    SUBMODULE,
    SYMLINK,
    Entry,
    Identity,
    NewObject,
    format_commit,
)
from modelwright.repositories.repository import Reader, ReferenceMoved, ReferenceRefused, Repository
from modelwright.services.codecommit.base import MOST_BYTES, CodeCommitService, check_branch
from modelwright.services.codecommit.edits import KEEP, Folder
from modelwright.services.codecommit.errors import bad_branch, bad_path, error, no_branch, no_file
from modelwright.services.codecommit.files import mode_name
from modelwright.services.dispatch import Context, Document, operation

MOST_ENTRIES = 100
MOST_TOGETHER = 20 * 1024 * 1024
MOST_MESSAGE = 20 * 1024
MOST_NAME = 1000
_MODES = {"NORMAL": FILE, "EXECUTABLE": EXECUTABLE, "SYMLINK": SYMLINK}


@dataclass
class _Work:
    """A commit in the making."""

    document: Document
    repository: Repository
    reader: Reader
    branch: str
    parent: str | None
    root: Folder
    objects: list[NewObject] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    before: dict[str, Entry | None] = field(default_factory=dict)

    def find(self, path: str) -> Entry | None:
        return self.root.find(_parts(path))

    def put(self, path: str, entry: Entry) -> None:
        self._touch(path)
        self.root.put(_parts(path), entry, path)

    def delete(self, path: str, keep_folder: bool) -> Entry:
        """What was there. Raises FileDoesNotExistException."""
        found = self.find(path)
        if found is None or found.mode == SUBMODULE:
            raise no_file(path, f"the branch {self.branch}")
        self._touch(path)
        keep = self._blob(b"") if keep_folder and _parts(path)[-1] != KEEP else None
        self.root.delete(_parts(path), keep)
        return found

    def content(self, path: str, content: bytes, mode: int) -> Entry:
        """A new file's entry. Raises FileContentSizeLimitExceededException."""
        if len(content) > MOST_BYTES:
            raise error(
                "FileContentSizeLimitExceeded",
                f"{path} has {len(content)} bytes; the API takes {MOST_BYTES}. Push it with git.",
            )
        return Entry(mode, self._blob(content).id)

    def _blob(self, content: bytes) -> Entry:
        blob = NewObject("blob", content)
        self.objects.append(blob)
        return Entry(FILE, blob.id)

    def _touch(self, path: str) -> None:
        if path not in self.before:
            self.before[path] = self.find(path)
            self.touched.append(path)


class Changes(CodeCommitService):
    """What makes commits."""

    @operation("PutFile")
    def put_file(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Add or change one file. Raises SameFileContentException."""
        path = parameters["filePath"]
        _check_paths([path])
        _check_who(parameters, "name")
        document, repository = self._begin(parameters)
        with repository.reader() as reader:
            work = self._work(document, repository, reader, parameters)
            entry = work.content(path, parameters["fileContent"], _MODES[parameters.get("fileMode", "NORMAL")])
            present = work.find(path)
            if present == entry:
                raise error("SameFileContent", f"{path} has just that content in the branch {work.branch}.")
            work.put(path, entry)
            message = parameters.get("commitMessage") or f"{'Edited' if present else 'Added'} {path}"
            commit, tree = self._commit(context, work, parameters, "name", message)
        self.announcements.announce(document["repositoryName"], context.principal.arn)
        return {"commitId": commit, "blobId": entry.id, "treeId": tree}

    @operation("DeleteFile")
    def delete_file(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises FileDoesNotExistException."""
        path = parameters["filePath"]
        _check_paths([path])
        _check_who(parameters, "name")
        document, repository = self._begin(parameters)
        with repository.reader() as reader:
            work = self._work(document, repository, reader, parameters)
            gone = work.delete(path, parameters.get("keepEmptyFolders", False))
            message = parameters.get("commitMessage") or f"Deleted {path}"
            commit, tree = self._commit(context, work, parameters, "name", message)
        self.announcements.announce(document["repositoryName"], context.principal.arn)
        return {"commitId": commit, "blobId": gone.id, "treeId": tree, "filePath": path}

    @operation("CreateCommit")
    def create_commit(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Any number of changes in one commit. Raises NoChangeException where nothing differs."""
        puts, deletes = parameters.get("putFiles", []), parameters.get("deleteFiles", [])
        modes = parameters.get("setFileModes", [])
        _check_entries(puts, deletes, modes)
        _check_who(parameters, "authorName")
        document, repository = self._begin(parameters)
        keep = parameters.get("keepEmptyFolders", False)
        with repository.reader() as reader:
            work = self._work(document, repository, reader, parameters)
            sources = {put["filePath"]: work.find(put["sourceFile"]["filePath"]) for put in puts if "sourceFile" in put}
            # What goes makes room for what comes: a file may become a folder in one commit.
            for each in deletes:
                work.delete(each["filePath"], keep)
            for put in puts:
                if put.get("sourceFile", {}).get("isMove") and work.find(put["sourceFile"]["filePath"]) is not None:
                    work.delete(put["sourceFile"]["filePath"], keep)
            for put in puts:
                work.put(put["filePath"], _put_entry(work, put, sources))
            for each in modes:
                present = work.find(each["filePath"])
                if present is None or present.mode == SUBMODULE:
                    raise no_file(each["filePath"], f"the branch {work.branch}")
                work.put(each["filePath"], Entry(_MODES[each["fileMode"]], present.id))
            added, updated, deleted = _outcome(work)
            if not (added or updated or deleted) and work.parent is not None:
                raise error("NoChange", f"The branch {work.branch} has all of this already.")
            message = parameters.get("commitMessage") or _message(added, updated, deleted)
            commit, tree = self._commit(context, work, parameters, "authorName", message)
        self.announcements.announce(document["repositoryName"], context.principal.arn)
        return {
            "commitId": commit,
            "treeId": tree,
            "filesAdded": added,
            "filesUpdated": updated,
            "filesDeleted": deleted,
        }

    def _begin(self, parameters: dict[str, Any]) -> tuple[Document, Repository]:
        branch = parameters["branchName"]
        if branch.startswith(TAGS):
            raise error("BranchNameIsTagName", f"{branch} is the name of a tag.")
        check_branch(branch)
        document = self.find(parameters["repositoryName"])
        return document, self.open(document)

    def _work(self, document: Document, repository: Repository, reader: Reader, parameters: dict[str, Any]) -> _Work:
        """Where the commit goes on. Raises AwsError where the caller has not seen the branch as it is."""
        branch, parent = parameters["branchName"], parameters.get("parentCommitId")
        tip = repository.reference(BRANCHES + branch)
        if parent is not None and not is_object_id(parent):
            raise error("InvalidParentCommitId", f"'{parent}' is not a full commit id.")
        if tip is None:
            references = repository.references()
            if any(name.startswith(BRANCHES) for name in references):
                raise no_branch(branch)
            if TAGS + branch in references:
                raise error("BranchNameIsTagName", f"{branch} is the name of a tag.")
            if parent is not None:
                raise error("ParentCommitDoesNotExist", f"The commit {parent} does not exist: there is none yet.")
            return _Work(document, repository, reader, branch, None, Folder(reader, None))
        if parent is None:
            raise error(
                "ParentCommitIdRequired", f"The branch {branch} has commits: parentCommitId must be its last, {tip}."
            )
        commit = reader.commit(parent)
        if commit is None:
            raise error("ParentCommitDoesNotExist", f"The commit {parent} does not exist.")
        if parent != tip:
            raise _outdated(branch, tip)
        return _Work(document, repository, reader, branch, tip, Folder(reader, commit.tree))

    def _commit(
        self, context: Context, work: _Work, parameters: dict[str, Any], name_member: str, message: str
    ) -> tuple[str, str]:
        """(commit, tree) once the branch points to it."""
        caller = context.principal.arn
        name = _plain(parameters.get(name_member, "")) or caller.rpartition("/")[2]
        who = Identity(name, parameters.get("email", ""), int(self.now()))
        objects = list(work.objects)
        tree = work.root.write(objects)
        parents = [] if work.parent is None else [work.parent]
        commit = NewObject("commit", format_commit(tree, parents, who, who, message))
        work.repository.write([*objects, commit])
        try:
            work.repository.set_reference(BRANCHES + work.branch, commit.id, work.parent, caller)
        except ReferenceMoved as moved:
            tip = work.repository.reference(BRANCHES + work.branch)
            raise _outdated(work.branch, tip or "gone") from moved
        except ReferenceRefused as refusal:
            raise bad_branch(work.branch, str(refusal)) from refusal
        return commit.id, tree


def _outdated(branch: str, tip: str) -> Exception:
    return error(
        "ParentCommitIdOutdated", f"parentCommitId is not the last commit of the branch {branch}, which is {tip}."
    )


def _put_entry(work: _Work, put: Document, sources: dict[str, Entry | None]) -> Entry:
    """What a put file becomes."""
    path = put["filePath"]
    if "sourceFile" not in put:
        return work.content(path, put["fileContent"], _MODES[put.get("fileMode", "NORMAL")])
    source = sources[path]
    if source is None or source.mode == SUBMODULE:
        raise no_file(put["sourceFile"]["filePath"], f"the branch {work.branch}")
    return Entry(_MODES[put["fileMode"]] if "fileMode" in put else source.mode, source.id)


def _outcome(work: _Work) -> tuple[list[Document], list[Document], list[Document]]:
    """(filesAdded, filesUpdated, filesDeleted): what really differs."""
    added: list[Document] = []
    updated: list[Document] = []
    deleted: list[Document] = []
    for path in work.touched:
        before, after = work.before[path], work.find(path)
        if before == after:
            continue
        kept = after or before
        assert kept is not None
        told = {"absolutePath": path, "blobId": kept.id, "fileMode": mode_name(kept.mode)}
        (deleted if after is None else updated if before is not None else added).append(told)
    return added, updated, deleted


def _message(added: list[Document], updated: list[Document], deleted: list[Document]) -> str:
    what = [("Added", added), ("Edited", updated), ("Deleted", deleted)]
    lines = [f"{verb} {each['absolutePath']}" for verb, files in what for each in files]
    return lines[0] if len(lines) == 1 else f"Changed {len(lines)} files\n\n" + "\n".join(lines)


def _parts(path: str) -> list[bytes]:
    parts = split_path(path)
    if not parts:
        raise bad_path(path)
    return parts


def _check_paths(paths: Iterable[str]) -> None:
    """Raises InvalidPathException, PathRequiredException."""
    for path in paths:
        if not path:
            raise error("PathRequired", "filePath is required.")
        if path.startswith("/") or path.endswith("/"):
            raise bad_path(path)
        _parts(path)


def _check_entries(puts: list[Document], deletes: list[Document], modes: list[Document]) -> None:
    """What can be wrong with a commit's entries among themselves."""
    if not (puts or deletes or modes):
        raise error("FileEntryRequired", "A commit needs at least one of putFiles, deleteFiles and setFileModes.")
    if len(puts) + len(deletes) + len(modes) > MOST_ENTRIES:
        raise error("MaximumFileEntriesExceeded", f"A commit by the API changes at most {MOST_ENTRIES} files.")
    paths = [each["filePath"] for each in (*puts, *deletes, *modes)]
    _check_paths(paths)
    moved = []
    for put in puts:
        _check_source(put)
        if put.get("sourceFile", {}).get("isMove"):
            moved.append(put["sourceFile"]["filePath"])
    every = [*paths, *moved]
    if twice := next((path for path in every if every.count(path) > 1), None):
        raise error("SamePathRequest", f"{twice} is named more than once.")
    written = {put["filePath"] for put in puts}
    for path in sorted(written):
        above = path.rpartition("/")[0]
        while above:
            if above in written:
                raise error("PutFileEntryConflict", f"{above} can't be a file and the folder of {path}.")
            above = above.rpartition("/")[0]
    together = sum(len(put.get("fileContent", b"")) for put in puts)
    if together > MOST_TOGETHER:
        raise error(
            "FolderContentSizeLimitExceeded", f"The files have {together} bytes together; at most {MOST_TOGETHER}."
        )


def _check_source(put: Document) -> None:
    path = put["filePath"]
    if "sourceFile" in put and "fileContent" in put:
        raise error("FileContentAndSourceFileSpecified", f"{path} has both fileContent and sourceFile.")
    if "sourceFile" not in put and "fileContent" not in put:
        raise error("SourceFileOrContentRequired", f"{path} has neither fileContent nor sourceFile.")
    if "sourceFile" in put:
        _check_paths([put["sourceFile"]["filePath"]])
        if _parts(put["sourceFile"]["filePath"])[-1] == KEEP:
            raise error("RestrictedSourceFile", ".gitkeep files can't be copied or moved.")


def _check_who(parameters: dict[str, Any], name_member: str) -> None:
    """Author, e-mail and message."""
    if len(parameters.get(name_member, "")) > MOST_NAME:
        raise error("NameLengthExceeded", f"{name_member} is longer than {MOST_NAME} characters.")
    email = parameters.get("email", "")
    if len(email) > MOST_NAME or _plain(email) != email or " " in email:
        raise error("InvalidEmail", f"'{email[:100]}' is not an e-mail address.")
    message = parameters.get("commitMessage", "")
    if len(message.encode("utf-8", "replace")) > MOST_MESSAGE:
        raise error("CommitMessageLengthExceeded", f"commitMessage is longer than {MOST_MESSAGE} bytes.")
    for member in (name_member, "commitMessage"):
        if "\0" in parameters.get(member, ""):
            raise error("InvalidCommit", f"{member} must not hold a null character.")


def _plain(name: str) -> str:
    """A name without what git's commits can't hold in one."""
    return "".join(letter for letter in name if letter.isprintable() and letter not in "<>").strip()
