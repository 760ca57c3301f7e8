"""Repositories: making, finding, renaming and deleting them, and their tags."""

from __future__ import annotations

import uuid
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import ValidationException
from modelwright.repositories.names import BRANCHES
from modelwright.services.codecommit.announcements import REFERENCES, REPOSITORY
from modelwright.services.codecommit.base import CodeCommitService, check_branch, find_repository
from modelwright.services.codecommit.errors import bad_token, error, no_branch
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.store.database import Transaction
from modelwright.store.resources import (
    Query,
    Sort,
    delete_resource,
    find_by_arn,
    find_resource,
    get_tags,
    insert_resource,
    list_resources,
    put_tags,
    remove_tags,
    replace_resource,
)

PAGE = 1000
MOST_NAMES = 25
MOST_TAGS = 50

CREATE_MEMBERS: Table = {
    "repositoryName": HONOURED,
    "repositoryDescription": HONOURED,
    "tags": HONOURED,
    "kmsKeyId": refused("There are no KMS keys here: leave it out."),
}
_SORTS: dict[str, Sort] = {"repositoryName": "name", "lastModifiedDate": "modified"}


class CodeRepositories(CodeCommitService):
    """CreateRepository and what belongs to it."""

    @operation("CreateRepository", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises RepositoryNameExistsException, InvalidRepositoryNameException."""
        name = parameters["repositoryName"]
        _check_name(name)
        tags = _tags(parameters.get("tags", {}))
        now = self.now()
        document: Document = {
            "accountId": context.account,
            "repositoryId": str(uuid.uuid4()),
            "repositoryName": name,
            "Arn": _arn(context.region, context.account, name),
            "cloneUrlHttp": _clone_url(context.region, name),
            "creationDate": now,
            "lastModifiedDate": now,
        }
        if parameters.get("repositoryDescription"):
            document["repositoryDescription"] = parameters["repositoryDescription"]
        with self.database.read() as transaction:
            _check_free(transaction, name)
        self.repositories.create(document["repositoryId"])
        try:
            with self.database.write() as transaction:
                _check_free(transaction, name)
                insert_resource(transaction, REPOSITORY, name, document, created=now, arn=document["Arn"])
                references = {"Name": name, "References": {}}
                insert_resource(transaction, REFERENCES, document["repositoryId"], references, created=now)
                put_tags(transaction, document["Arn"], tags)
        except BaseException:
            self.repositories.delete(document["repositoryId"])
            raise
        return {"repositoryMetadata": document}

    @operation("GetRepository", quick=True)
    def get(self, _: Context, parameters: dict[str, Any]) -> Document:
        return {"repositoryMetadata": self.find(parameters["repositoryName"])}

    @operation("BatchGetRepositories", quick=True)
    def batch_get(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Those that there are, and the names of the others."""
        names = list(dict.fromkeys(parameters["repositoryNames"]))
        if not names:
            raise error("RepositoryNamesRequired", "At least one repository name is required.")
        if len(names) > MOST_NAMES:
            raise error("MaximumRepositoryNamesExceeded", f"At most {MOST_NAMES} repository names are allowed.")
        with self.database.read() as transaction:
            found = {name: find_resource(transaction, REPOSITORY, name) for name in names}
        return {
            "repositories": [document for document in found.values() if document is not None],
            "repositoriesNotFound": [name for name, document in found.items() if document is None],
        }

    @operation("ListRepositories", quick=True)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """By name, ascending, unless said otherwise."""
        query = Query(
            REPOSITORY,
            sort=_SORTS[parameters.get("sortBy", "repositoryName")],
            descending=parameters.get("order", "ascending") == "descending",
            limit=PAGE,
            token=parameters.get("nextToken"),
        )
        try:
            with self.database.read() as transaction:
                page = list_resources(transaction, query)
        except ValidationException:
            raise bad_token() from None
        members = ("repositoryName", "repositoryId")
        result: Document = {
            "repositories": [{member: document[member] for member in members} for document in page.documents]
        }
        if page.next_token is not None:
            result["nextToken"] = page.next_token
        return result

    @operation("DeleteRepository")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Deletes all of it. One that isn't there is no error, as on AWS."""
        with self.database.write() as transaction:
            document = find_resource(transaction, REPOSITORY, parameters["repositoryName"], lock=True)
            if document is None:
                return {}
            delete_resource(transaction, REPOSITORY, document["repositoryName"])
            delete_resource(transaction, REFERENCES, document["repositoryId"])
        self.repositories.delete(document["repositoryId"])
        return {"repositoryId": document["repositoryId"]}

    @operation("UpdateRepositoryName")
    def rename(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Its id, references and tags stay; ARN and URL follow the name."""
        new = parameters["newName"]
        _check_name(new)
        now = self.now()
        with self.database.write() as transaction:
            document = find_repository(transaction, parameters["oldName"], lock=True)
            if new == document["repositoryName"]:
                return {}
            _check_free(transaction, new)
            tags = get_tags(transaction, document["Arn"])
            place = Arn.parse(document["Arn"])
            delete_resource(transaction, REPOSITORY, document["repositoryName"])
            document |= {
                "repositoryName": new,
                "Arn": _arn(place.region, place.account, new),
                "cloneUrlHttp": _clone_url(place.region, new),
                "lastModifiedDate": now,
            }
            insert_resource(transaction, REPOSITORY, new, document, created=now, arn=document["Arn"])
            put_tags(transaction, document["Arn"], tags)
            told = find_resource(transaction, REFERENCES, document["repositoryId"], lock=True)
            replace_resource(
                transaction, REFERENCES, document["repositoryId"], {**(told or {}), "Name": new}, modified=now
            )
        return {}

    @operation("UpdateRepositoryDescription")
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        """An empty description takes it away."""
        self._change(
            parameters["repositoryName"], repositoryDescription=parameters.get("repositoryDescription") or None
        )
        return {}

    @operation("UpdateDefaultBranch")
    def set_default_branch(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises BranchDoesNotExistException."""
        branch = parameters["defaultBranchName"]
        check_branch(branch)
        document = self.find(parameters["repositoryName"])
        repository = self.open(document)
        if repository.reference(BRANCHES + branch) is None:
            raise no_branch(branch)
        self._change(parameters["repositoryName"], defaultBranch=branch)
        repository.set_head(branch)
        return {}

    def _change(self, name: str, **values: str | None) -> None:
        now = self.now()
        with self.database.write() as transaction:
            document = find_repository(transaction, name, lock=True)
            document |= {**values, "lastModifiedDate": now}
            document = {key: value for key, value in document.items() if value is not None}
            replace_resource(transaction, REPOSITORY, name, document, modified=now)

    # Tags

    @operation("TagResource")
    def tag(self, _: Context, parameters: dict[str, Any]) -> Document:
        tags = _tags(parameters["tags"])
        with self.database.write() as transaction:
            arn = _tagged(transaction, parameters["resourceArn"])
            try:
                put_tags(transaction, arn, tags)
            except ValidationException as refusal:
                raise error("TooManyTags", refusal.message) from refusal
        return {}

    @operation("UntagResource")
    def untag(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.write() as transaction:
            remove_tags(transaction, _tagged(transaction, parameters["resourceArn"]), parameters["tagKeys"])
        return {}

    @operation("ListTagsForResource", quick=True)
    def list_tags(self, _: Context, parameters: dict[str, Any]) -> Document:
        """All of them: there are at most fifty."""
        if "nextToken" in parameters:
            raise bad_token()
        with self.database.read() as transaction:
            tags = get_tags(transaction, _tagged(transaction, parameters["resourceArn"]))
        return {"tags": {tag["Key"]: tag["Value"] for tag in tags}}


def _arn(region: str, account: str, name: str) -> str:
    return str(Arn("codecommit", region, account, name))


def _clone_url(region: str, name: str) -> str:
    return f"https://git-codecommit.{region}.amazonaws.com/v1/repos/{name}"


def _check_name(name: str) -> None:
    if name.endswith(".git") or name in (".", "..") or not name.isascii():
        raise error(
            "InvalidRepositoryName",
            f"The repository name '{name}' is not valid: letters, digits, '.', '_' and '-', not ending in .git.",
        )


def _check_free(transaction: Transaction, name: str) -> None:
    if find_resource(transaction, REPOSITORY, name) is not None:
        raise error("RepositoryNameExists", f"Repository named {name} already exists")


def _tags(given: dict[str, str]) -> list[dict[str, str]]:
    """As the store keeps them. Raises InvalidSystemTagUsageException, TooManyTagsException."""
    for key in given:
        if key.lower().startswith("aws:"):
            raise error("InvalidSystemTagUsage", f"Tag key '{key}': the prefix aws: is reserved.")
    if len(given) > MOST_TAGS:
        raise error("TooManyTags", f"A repository has at most {MOST_TAGS} tags.")
    return [{"Key": key, "Value": value} for key, value in given.items()]


def _tagged(transaction: Transaction, arn: str) -> str:
    try:
        place = Arn.parse(arn)
    except ValidationException:
        place = None
    if place is None or place.service != "codecommit":
        raise error("InvalidResourceArn", f"'{arn}' is not the ARN of a repository.")
    found = find_by_arn(transaction, arn)
    if found is None or found[0] != REPOSITORY:
        raise error("RepositoryDoesNotExist", f"{arn} does not exist")
    return arn
