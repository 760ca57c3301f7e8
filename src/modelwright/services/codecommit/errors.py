"""CodeCommit's errors: a code for each thing that can be wrong."""

from __future__ import annotations

from modelwright.errors import AwsError


def error(code: str, message: str) -> AwsError:
    """`code` without its `Exception`."""
    return AwsError(message, code=f"{code}Exception")


def no_repository(name: str) -> AwsError:
    return error("RepositoryDoesNotExist", f"{name} does not exist")


def no_branch(name: str) -> AwsError:
    return error("BranchDoesNotExist", f"The branch {name} does not exist in this repository.")


def bad_branch(name: str, why: str = "git has no such names for branches") -> AwsError:
    return error("InvalidBranchName", f"The branch name '{name}' is not valid: {why}.")


def bad_path(path: str) -> AwsError:
    return error("InvalidPath", f"The path '{path}' is not valid: it must be a path below the repository's root.")


def no_file(path: str, where: str) -> AwsError:
    return error("FileDoesNotExist", f"The file {path} does not exist in {where}.")


def bad_token() -> AwsError:
    return error("InvalidContinuationToken", "nextToken is not valid: pass on the token of the previous page.")
