"""Commits: what they say, what differs between two, which ones changed a file."""

from __future__ import annotations

from typing import Any

from modelwright.repositories.names import is_object_id, split_path
from modelwright.repositories.objects import EMPTY_TREE, TREE, Commit, Entry
from modelwright.repositories.repository import Change, Reader
from modelwright.services.codecommit.base import CodeCommitService, identity, meant, page
from modelwright.services.codecommit.errors import bad_path, error
from modelwright.services.dispatch import Context, Document, operation

MOST_COMMITS = 100
PAGE = 1000


class Commits(CodeCommitService):
    """GetCommit, BatchGetCommits, GetDifferences, ListFileCommitHistory."""

    @operation("GetCommit")
    def get(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises CommitIdDoesNotExistException, InvalidCommitIdException."""
        commit_id = parameters["commitId"]
        repository = self.open(self.find(parameters["repositoryName"]))
        if not is_object_id(commit_id):
            raise error("InvalidCommitId", f"'{commit_id}' is not a full commit id.")
        with repository.reader() as reader:
            commit = reader.commit(commit_id)
        if commit is None:
            raise error("CommitIdDoesNotExist", f"The commit {commit_id} does not exist.")
        return {"commit": _commit(commit)}

    @operation("BatchGetCommits")
    def batch_get(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Those that there are, and an error for each other."""
        ids = list(dict.fromkeys(parameters["commitIds"]))
        if not ids:
            raise error("CommitIdsListRequired", "At least one commit id is required.")
        if len(ids) > MOST_COMMITS:
            raise error("CommitIdsLimitExceeded", f"At most {MOST_COMMITS} commit ids are allowed.")
        repository = self.open(self.find(parameters["repositoryName"]))
        commits: list[Document] = []
        errors: list[Document] = []
        with repository.reader() as reader:
            for commit_id in ids:
                found = reader.commit(commit_id) if is_object_id(commit_id) else None
                if found is not None:
                    commits.append(_commit(found))
                    continue
                code = "CommitIdDoesNotExistException" if is_object_id(commit_id) else "InvalidCommitIdException"
                text = f"There is no commit {commit_id}."
                errors.append({"commitId": commit_id, "errorCode": code, "errorMessage": text})
        return {"commits": commits, "errors": errors}

    @operation("GetDifferences")
    def differences(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Between two commits, or from nothing; a moved file is one change whose sides have different paths."""
        document = self.find(parameters["repositoryName"])
        repository = self.open(document)
        size = parameters.get("MaxResults", PAGE)
        if not 1 <= size <= PAGE:
            raise error("InvalidMaxResults", f"MaxResults must be between 1 and {PAGE}.")
        with repository.reader() as reader:
            after = _tree_of(reader, meant(repository, reader, document, parameters["afterCommitSpecifier"]))
            before = EMPTY_TREE
            if "beforeCommitSpecifier" in parameters:
                before = _tree_of(reader, meant(repository, reader, document, parameters["beforeCommitSpecifier"]))
            paths = [
                _checked_path(reader, tree, parameters[member])
                for tree, member in ((before, "beforePath"), (after, "afterPath"))
                if member in parameters
            ]
        changes = repository.changes(before, after, [] if "" in paths else list(dict.fromkeys(paths)))
        found, more = page(changes, parameters.get("NextToken"), size, "NextToken")
        return {"differences": [_difference(change) for change in found], **more}

    @operation("ListFileCommitHistory")
    def file_history(self, _: Context, parameters: dict[str, Any]) -> Document:
        """The commits that changed a file, the newest first, each with the file as it was then."""
        document = self.find(parameters["repositoryName"])
        repository = self.open(document)
        size = parameters.get("maxResults", PAGE)
        if not 1 <= size <= PAGE:
            raise error("InvalidMaxResults", f"maxResults must be between 1 and {PAGE}.")
        parts = split_path(parameters["filePath"])
        if not parts:
            raise bad_path(parameters["filePath"])
        path = b"/".join(parts).decode()
        with repository.reader() as reader:
            tip = meant(repository, reader, document, parameters.get("commitSpecifier"))
            ids, more = page(repository.history(tip, path), parameters.get("nextToken"), size)
            revisions: list[Document] = []
            later: list[str] = []
            for commit_id in ids:
                commit = reader.commit(commit_id)
                assert commit is not None
                entry = entry_at(reader, commit.tree, parts)
                if entry is not None and entry.mode != TREE:
                    revisions.append(
                        {"commit": _commit(commit), "blobId": entry.id, "path": path, "revisionChildren": later}
                    )
                later = [commit_id]
        return {"revisionDag": revisions, **more}


def entry_at(reader: Reader, tree: str, parts: list[bytes]) -> Entry | None:
    """What a path names in a tree; the tree itself for no parts."""
    entry = Entry(TREE, tree)
    for part in parts:
        found = reader.tree(entry.id).get(part) if entry.mode == TREE else None
        if found is None:
            return None
        entry = found
    return entry


def _tree_of(reader: Reader, commit_id: str) -> str:
    commit = reader.commit(commit_id)
    assert commit is not None  # `meant` has found it
    return commit.tree


def _checked_path(reader: Reader, tree: str, path: str) -> str:
    parts = split_path(path)
    if parts is None:
        raise bad_path(path)
    if entry_at(reader, tree, parts) is None:
        raise error("PathDoesNotExist", f"The path {path} does not exist in the commit.")
    return b"/".join(parts).decode()


def _commit(commit: Commit) -> Document:
    return {
        "commitId": commit.id,
        "treeId": commit.tree,
        "parents": list(commit.parents),
        "message": commit.message,
        "author": identity(commit.author),
        "committer": identity(commit.committer),
        "additionalData": "",
    }


def _difference(change: Change) -> Document:
    result: Document = {"changeType": change.kind}
    for member, side in (("beforeBlob", change.before), ("afterBlob", change.after)):
        if side is not None:
            path, entry = side
            result[member] = {"blobId": entry.id, "path": path, "mode": f"{entry.mode:06o}"}
    return result
