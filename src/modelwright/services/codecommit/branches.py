"""Branches: references below `refs/heads/`."""

from __future__ import annotations

from typing import Any

from modelwright.repositories.names import BRANCHES, is_object_id
from modelwright.repositories.repository import ReferenceMoved, ReferenceRefused
from modelwright.services.codecommit.base import CodeCommitService, check_branch, page
from modelwright.services.codecommit.errors import bad_branch, error, no_branch
from modelwright.services.dispatch import Context, Document, operation

PAGE = 1000


class Branches(CodeCommitService):
    """CreateBranch, GetBranch, ListBranches, DeleteBranch."""

    @operation("CreateBranch")
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises BranchNameExistsException, CommitDoesNotExistException, InvalidCommitIdException."""
        branch, commit = parameters["branchName"], parameters["commitId"]
        check_branch(branch)
        document = self.find(parameters["repositoryName"])
        repository = self.open(document)
        if not is_object_id(commit):
            raise error("InvalidCommitId", f"'{commit}' is not a full commit id.")
        with repository.reader() as reader:
            if reader.commit(commit) is None:
                raise error("CommitDoesNotExist", f"The commit {commit} does not exist.")
        try:
            repository.set_reference(BRANCHES + branch, commit, None, context.principal.arn)
        except ReferenceMoved as moved:
            raise error("BranchNameExists", f"The branch {branch} already exists.") from moved
        except ReferenceRefused as refusal:
            raise bad_branch(branch, str(refusal)) from refusal
        self.announcements.announce(document["repositoryName"], context.principal.arn)
        return {}

    @operation("GetBranch")
    def get(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises BranchDoesNotExistException."""
        for member, code in (("repositoryName", "RepositoryNameRequired"), ("branchName", "BranchNameRequired")):
            if member not in parameters:
                raise error(code, f"{member} is required.")
        branch = parameters["branchName"]
        check_branch(branch)
        commit = self.open(self.find(parameters["repositoryName"])).reference(BRANCHES + branch)
        if commit is None:
            raise no_branch(branch)
        return {"branch": {"branchName": branch, "commitId": commit}}

    @operation("ListBranches")
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """By name."""
        references = self.open(self.find(parameters["repositoryName"])).references()
        names = sorted(name.removeprefix(BRANCHES) for name in references if name.startswith(BRANCHES))
        branches, more = page(names, parameters.get("nextToken"), PAGE)
        return {"branches": branches, **more}

    @operation("DeleteBranch")
    def delete(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises DefaultBranchCannotBeDeletedException. A branch that isn't there is no error, as on AWS."""
        branch = parameters["branchName"]
        check_branch(branch)
        document = self.find(parameters["repositoryName"])
        if branch == document.get("defaultBranch"):
            raise error("DefaultBranchCannotBeDeleted", f"{branch} is the repository's default branch.")
        repository = self.open(document)
        commit = repository.reference(BRANCHES + branch)
        if commit is None:
            return {}
        try:
            repository.delete_reference(BRANCHES + branch, commit, context.principal.arn)
        except ReferenceMoved as moved:
            raise error(
                "ConcurrentReferenceUpdate", f"The branch {branch} was changed by somebody else meanwhile."
            ) from moved
        self.announcements.announce(document["repositoryName"], context.principal.arn)
        return {"deletedBranch": {"branchName": branch, "commitId": commit}}
