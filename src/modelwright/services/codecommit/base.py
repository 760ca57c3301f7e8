"""What CodeCommit's resource groups share: their collaborators, finding a repository, meaning a commit.

A repository is a document of kind `CodeCommitRepository` by its name and a folder of git's by its id. The references
that were announced by events are a document of their own by the id (`announcements`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from modelwright.repositories.home import Repositories
from modelwright.repositories.names import is_reference
from modelwright.repositories.objects import Identity
from modelwright.repositories.repository import Reader, Repository, resolve
from modelwright.services.codecommit.announcements import REPOSITORY, Announcements
from modelwright.services.codecommit.errors import bad_branch, bad_token, error, no_repository
from modelwright.services.dispatch import Document
from modelwright.store.database import Database, Transaction
from modelwright.store.resources import find_resource

MOST_BYTES = 6 * 1024 * 1024
"""The largest file that goes through the API; git itself takes larger ones."""
_Item = TypeVar("_Item")


class CodeCommitService:
    """A resource group of CodeCommit's."""

    def __init__(
        self,
        *,
        database: Database,
        repositories: Repositories,
        announcements: Announcements,
        now: Callable[[], float],
    ) -> None:
        self.database = database
        self.repositories = repositories
        self.announcements = announcements
        self.now = now

    def find(self, name: str) -> Document:
        """The repository's document. Raises RepositoryDoesNotExistException."""
        with self.database.read() as transaction:
            return find_repository(transaction, name)

    def open(self, document: Document) -> Repository:
        return self.repositories.open(document["repositoryId"])


def find_repository(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    """Raises RepositoryDoesNotExistException."""
    found = find_resource(transaction, REPOSITORY, name, lock=lock)
    if found is None:
        raise no_repository(name)
    return found


def check_branch(name: str) -> None:
    """Raises InvalidBranchNameException."""
    if not is_reference(name) or name.startswith("-"):
        raise bad_branch(name)


def meant(repository: Repository, reader: Reader, document: Document, specifier: str | None) -> str:
    """The commit that a specifier (a branch, tag, commit id; None: the default branch) means. Raises AwsError."""
    commit = resolve(repository, reader, specifier or "HEAD", document.get("defaultBranch"))
    if commit is None:
        raise error(
            "CommitDoesNotExist",
            f"'{specifier or 'HEAD'}' is no commit, branch or tag of the repository {document['repositoryName']}.",
        )
    return commit


def identity(value: Identity) -> Document:
    """A commit's author or committer as AWS tells it."""
    return {"name": value.name, "email": value.email, "date": f"{value.time} {value.zone}"}


def page(
    items: Sequence[_Item], token: str | None, size: int, member: str = "nextToken"
) -> tuple[list[_Item], Document]:
    """A page of what was computed whole, and the member that leads to the next."""
    start = _position(token)
    more: dict[str, Any] = {}
    if start + size < len(items):
        more[member] = base64.urlsafe_b64encode(f"p{start + size}".encode()).decode()
    return list(items[start : start + size]), more


def _position(token: str | None) -> int:
    if token is None:
        return 0
    try:
        text = base64.urlsafe_b64decode(token).decode()
        if text.startswith("p") and text[1:].isdecimal():
            return int(text[1:])
    except (ValueError, binascii.Error):
        pass
    raise bad_token()
