"""The folder of all repositories, by repository id: names, which clients choose and change, never become paths."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection
from pathlib import Path

from modelwright.repositories.archive import write_zip
from modelwright.repositories.git import Git
from modelwright.repositories.repository import Repository

FIRST_BRANCH = "main"
"""What HEAD names until the first push."""


class Repositories:
    """The repositories of one home folder."""

    def __init__(self, folder: Path, *, fsync: bool = True) -> None:
        self._folder = folder
        self.git = Git(folder, fsync=fsync)

    def create(self, repository_id: str) -> Repository:
        """An empty repository. Raises AwsError where this machine has no git."""
        repository = self.open(repository_id)
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.git.run(repository.path, "init", "-q", "--bare", "--template=")
        repository.set_head(FIRST_BRANCH)
        return repository

    def open(self, repository_id: str) -> Repository:
        """The repository of that id. Nothing is looked at yet."""
        return Repository(self.git, self._folder / f"{uuid.UUID(repository_id)}.git")

    def delete(self, repository_id: str) -> None:
        """Delete it if it is there."""
        path = self.open(repository_id).path
        doomed = path.with_name(f"{path.name}.deleted")
        try:
            path.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)

    def sweep(self, known: Collection[str]) -> None:
        """Delete what belongs to none of the known ids: what a crash left of a creation or a deletion."""
        if not self._folder.is_dir():
            return
        kept = {self.open(repository_id).path.name for repository_id in known}
        for path in self._folder.iterdir():
            if path.name.endswith((".git", ".deleted")) and path.name not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def archive(self, repository_id: str, commit: str, target: Path) -> None:
        """Write a commit's files as a zip: the same bytes for the same commit, with file modes and symbolic links.

        Raises AwsError where the repository has no such commit.
        """
        write_zip(self.open(repository_id), commit, target)
