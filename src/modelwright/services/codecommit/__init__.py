"""CodeCommit: repositories that are real git, by AWS's API. The same repositories over git's protocol: `server.git`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelwright.repositories.home import Repositories
from modelwright.services.codecommit.announcements import Announcements
from modelwright.services.codecommit.branches import Branches
from modelwright.services.codecommit.changes import Changes
from modelwright.services.codecommit.commits import Commits
from modelwright.services.codecommit.files import Files
from modelwright.services.codecommit.repositories import CodeRepositories
from modelwright.store.database import Database


def services(
    *, database: Database, repositories: Repositories, announcements: Announcements, now: Callable[[], float]
) -> Iterator[tuple[str, object]]:
    """All of CodeCommit's resource groups."""
    for group in (CodeRepositories, Branches, Commits, Files, Changes):
        yield (
            "codecommit",
            group(database=database, repositories=repositories, announcements=announcements, now=now),
        )
