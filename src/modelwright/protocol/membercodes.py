"""The codes of services that have one for each member that is missing or wrong, instead of one for all. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACE = re.compile(r" at '([^'.]+)")

_CODECOMMIT: Mapping[str, tuple[str, str]] = {
    "repositoryName": ("RepositoryNameRequired", "InvalidRepositoryName"),
    "oldName": ("RepositoryNameRequired", "InvalidRepositoryName"),
    "newName": ("RepositoryNameRequired", "InvalidRepositoryName"),
    "repositoryNames": ("RepositoryNamesRequired", "InvalidRepositoryName"),
    "repositoryDescription": ("", "InvalidRepositoryDescription"),
    "branchName": ("BranchNameRequired", "InvalidBranchName"),
    "defaultBranchName": ("BranchNameRequired", "InvalidBranchName"),
    "commitId": ("CommitIdRequired", "InvalidCommitId"),
    "commitIds": ("CommitIdsListRequired", "InvalidCommitId"),
    "parentCommitId": ("ParentCommitIdRequired", "InvalidParentCommitId"),
    "afterCommitSpecifier": ("CommitRequired", "InvalidCommit"),
    "blobId": ("BlobIdRequired", "InvalidBlobId"),
    "filePath": ("PathRequired", "InvalidPath"),
    "folderPath": ("PathRequired", "InvalidPath"),
    "fileContent": ("FileContentRequired", "FileContentSizeLimitExceeded"),
    "fileMode": ("FileModeRequired", "InvalidFileMode"),
    "sortBy": ("", "InvalidSortBy"),
    "order": ("", "InvalidOrder"),
    "resourceArn": ("ResourceArnRequired", "InvalidResourceArn"),
    "tags": ("TagsMapRequired", "InvalidTagsMap"),
    "tagKeys": ("TagKeysListRequired", "InvalidTagKeysList"),
}
_NESTED = re.compile(r" at '(?:putFiles|deleteFiles|setFileModes)\.[^']*?\.([A-Za-z]+)'")


def member_code(service: str, violation: str) -> str | None:
    """The code for a violation (as `validation` words it); None where the service has one for all."""
    if service != "codecommit":
        return None
    found = _NESTED.search(violation) or _PLACE.search(violation)
    required, invalid = _CODECOMMIT.get(found[1] if found else "", ("", ""))
    code = required if violation.startswith("Value null") and required else invalid
    return f"{code}Exception" if code else None
