"""Saying what changed in a repository: the event `CodeCommit Repository State Change`, for pushes and the API alike.

Git moves a reference, the database tells of it; a crash may come between. So the references that were announced are
kept in a document, and `announce` compares them with the repository's own: it is called after every change and at every
start, and says what nobody has said yet. What happened meanwhile, and who did it, is in the references' logs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from modelwright.arns import Arn
from modelwright.repositories.git import GitFailed
from modelwright.repositories.home import FIRST_BRANCH, Repositories
from modelwright.repositories.names import BRANCHES, TAGS
from modelwright.repositories.repository import Repository
from modelwright.services.dispatch import Document
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.resources import Query, find_resource, list_resources, replace_resource

REPOSITORY = "CodeCommitRepository"
REFERENCES = "CodeCommitReferences"
"""`{"References": {full name: object id}}` by repository id: what was announced."""
DETAIL_TYPE = "CodeCommit Repository State Change"


class Announcements:
    """Keeps documents and events in step with git's references."""

    def __init__(
        self,
        *,
        database: Database,
        repositories: Repositories,
        events: EventBus,
        now: Callable[[], float],
        account: str,
    ) -> None:
        self._database = database
        self._repositories = repositories
        self._events = events
        self._now = now
        self._nobody = str(Arn("iam", "", account, "root"))
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def start(self) -> None:
        """After a start: announce what the process before did not come to announce, clear away what it left."""
        documents = self._documents()
        self._repositories.sweep([document["repositoryId"] for document in documents])
        for document in documents:
            name, repository = document["repositoryName"], self._repositories.open(document["repositoryId"])
            settled = repository.settled(wait=False)  # asked before: what moves after is told later
            self.announce(name)
            if not settled:  # a child of the process before has not noticed its end yet
                threading.Thread(target=self._later, args=(name, repository), daemon=True).start()

    def document(self, name: str) -> Document | None:
        """The repository of that name, or None."""
        with self._database.read() as transaction:
            return find_resource(transaction, REPOSITORY, name)

    def announce(self, name: str, who: str | None = None) -> None:
        """Tell what differs from what was told. `who` did it, where the references' logs do not know."""
        document = self.document(name)
        if document is None:
            return
        repository = self._repositories.open(document["repositoryId"])
        with self._lock_of(document["repositoryId"]):
            try:
                present = repository.references()
            except (GitFailed, OSError):
                if not repository.path.exists():
                    return  # deleted meanwhile
                raise
            self._tell(document["repositoryId"], repository, present, who or self._nobody)

    def _tell(self, repository_id: str, repository: Repository, present: Mapping[str, str], who: str) -> None:
        with self._database.read() as transaction:
            told = find_resource(transaction, REFERENCES, repository_id)
        if told is None:
            return
        known: dict[str, str] = told["References"]
        if known == present:
            return
        changes = [change for change in _changes(repository, known, present, who) if _kind(change[0]) is not None]
        now = self._now()
        with self._database.write() as transaction:
            document = _by_id(transaction, repository_id, told["Name"])
            if document is None:
                return
            branches = [name.removeprefix(BRANCHES) for name in present if name.startswith(BRANCHES)]
            if branches and "defaultBranch" not in document:
                document["defaultBranch"] = _first_branch(repository, branches)
                repository.set_head(document["defaultBranch"])
            document["lastModifiedDate"] = now
            replace_resource(transaction, REPOSITORY, document["repositoryName"], document, modified=now)
            replace_resource(
                transaction, REFERENCES, repository_id, {**told, "References": dict(present)}, modified=now
            )
            for name, old, new, by in changes:
                self._emit(transaction, document, _detail(document, name, old, new, by), now)

    def _emit(self, transaction: Transaction, document: Document, detail: Document, now: float) -> None:
        self._events.emit(
            transaction,
            source="aws.codecommit",
            detail_type=DETAIL_TYPE,
            detail=detail,
            resources=(document["Arn"],),
            region=Arn.parse(document["Arn"]).region,
            time=now,
        )

    def _later(self, name: str, repository: Repository) -> None:
        repository.settled(wait=True)
        self.announce(name)

    def _documents(self) -> list[Document]:
        documents: list[Document] = []
        token: str | None = None
        with self._database.read() as transaction:
            while True:
                page = list_resources(transaction, Query(REPOSITORY, limit=1000, token=token))
                documents += page.documents
                token = page.next_token
                if token is None:
                    return documents

    def _lock_of(self, repository_id: str) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(repository_id, threading.Lock())


def _by_id(transaction: Transaction, repository_id: str, name: str) -> Document | None:
    document = find_resource(transaction, REPOSITORY, name, lock=True)
    return document if document is not None and document["repositoryId"] == repository_id else None


def _first_branch(repository: Repository, branches: list[str]) -> str:
    """The default branch of what was pushed first."""
    wanted = repository.head().removeprefix(BRANCHES)
    return next((name for name in (wanted, FIRST_BRANCH, "master") if name in branches), sorted(branches)[0])


def _changes(
    repository: Repository, known: Mapping[str, str], present: Mapping[str, str], who: str
) -> Iterator[tuple[str, str, str, str]]:
    """(reference, old, new, who) of every step from what was told to what is; '' where it was not or is not."""
    for name in sorted({*known, *present}):
        old, new = known.get(name, ""), present.get(name, "")
        if old == new:
            continue
        if not new:
            yield name, old, "", who
            continue
        for update in _steps(repository, name, old, new):
            yield name, update[0], update[1], update[2] or who


def _steps(repository: Repository, name: str, old: str, new: str) -> list[tuple[str, str, str]]:
    """The updates that the reference's log has between the two; one of nobody's where it can't tell."""
    steps: list[tuple[str, str, str]] = []
    for update in reversed(repository.log_of(name)):
        if not steps and update.new != new:
            break  # the reference moved on since it was read: then the rest is the next announcement's
        steps.insert(0, (update.old, update.new, update.who))
        if update.old == old:
            return steps
    return [(old, new, "")]


def _kind(name: str) -> str | None:
    return "branch" if name.startswith(BRANCHES) else "tag" if name.startswith(TAGS) else None


def _detail(document: Document, name: str, old: str, new: str, who: str) -> Document:
    detail: Document = {
        "event": "referenceCreated" if not old else "referenceUpdated" if new else "referenceDeleted",
        "repositoryName": document["repositoryName"],
        "repositoryId": document["repositoryId"],
        "referenceType": _kind(name),
        "referenceName": name.removeprefix(BRANCHES).removeprefix(TAGS),
        "referenceFullName": name,
        "callerUserArn": who,
    }
    if new:
        detail["commitId"] = new
    if old:
        detail["oldCommitId"] = old
    return detail
