"""Projects: CreateProject, UpdateProject, DeleteProject, BatchGetProjects, ListProjects."""

from __future__ import annotations

from typing import Any

from modelwright.errors import AwsError
from modelwright.services.codebuild.base import (
    BUILD,
    PROJECT,
    PROJECT_MEMBERS,
    CodeBuildService,
    arn,
    check,
    invalid,
    missing,
    page,
)
from modelwright.services.dispatch import Context, Document, operation
from modelwright.store.resources import (
    Query,
    count_resources,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

_SORTS: dict[str, Any] = {"NAME": "name", "CREATED_TIME": "created", "LAST_MODIFIED_TIME": "modified"}
MOST = 5000


class Projects(CodeBuildService):
    """What is built, and how."""

    @operation("CreateProject", members=PROJECT_MEMBERS)
    def create_project(self, context: Context, parameters: Document) -> Document:
        now, name = self.now(), parameters["name"]
        document = {
            "cache": {"type": "NO_CACHE"},
            "timeoutInMinutes": 60,
            "queuedTimeoutInMinutes": 480,
            "encryptionKey": f"arn:aws:kms:{context.region}:{context.account}:alias/aws/s3",
            "badge": {"badgeEnabled": False},
            "projectVisibility": "PRIVATE",
            **{key: value for key, value in parameters.items() if key != "badgeEnabled"},
            "arn": arn(context, f"project/{name}"),
            "created": now,
            "lastModified": now,
        }
        self._complete(document, "CreateProject")
        with self.database.write() as transaction:
            if find_resource(transaction, PROJECT, name) is not None:
                raise AwsError(f"Project already exists: {document['arn']}", code="ResourceAlreadyExistsException")
            insert_resource(transaction, PROJECT, name, document, created=now, arn=document["arn"])
        return {"project": public(document)}

    @operation("UpdateProject", members=PROJECT_MEMBERS)
    def update_project(self, context: Context, parameters: Document) -> Document:
        now, name = self.now(), parameters["name"]
        with self.database.write() as transaction:
            before = find_resource(transaction, PROJECT, name, lock=True)
            if before is None:
                raise missing(f"Project cannot be found: {arn(context, f'project/{name}')}")
            changes = {key: value for key, value in parameters.items() if key != "badgeEnabled"}
            if changes.get("concurrentBuildLimit") == -1:
                changes.pop("concurrentBuildLimit")
                before = {key: value for key, value in before.items() if key != "concurrentBuildLimit"}
            document = {**before, **changes, "lastModified": now}
            self._complete(document, "UpdateProject")
            replace_resource(transaction, PROJECT, name, document, modified=now)
        return {"project": public(document)}

    @operation("DeleteProject")
    def delete_project(self, context: Context, parameters: Document) -> Document:
        """A project that is not there is deleted already, as on AWS. Running builds go on; builds stay."""
        with self.database.write() as transaction:
            delete_resource(transaction, PROJECT, _name(parameters["name"]))
        return {}

    @operation("BatchGetProjects", quick=True)
    def batch_get_projects(self, context: Context, parameters: Document) -> Document:
        found, lost = [], []
        with self.database.read() as transaction:
            for name in dict.fromkeys(parameters["names"]):
                document = find_resource(transaction, PROJECT, _name(name))
                if document is None:
                    lost.append(name)
                else:
                    found.append(public(document))
        return {"projects": found, **({"projectsNotFound": lost} if lost else {})}

    @operation("ListProjects")
    def list_projects(self, context: Context, parameters: Document) -> Document:
        descending = parameters.get("sortOrder", "ASCENDING") == "DESCENDING"
        query = Query(PROJECT, sort=_SORTS[parameters.get("sortBy", "NAME")], descending=descending, limit=MOST)
        with self.database.read() as transaction:
            names = [document["name"] for document in list_resources(transaction, query).documents]
        shown, more = page(names, parameters)
        return {"projects": shown, **more}

    def _complete(self, document: Document, operation_name: str) -> None:
        artifacts = document["artifacts"]
        if artifacts["type"] == "S3":
            defaults = {"name": document["name"], "packaging": "NONE", "namespaceType": "NONE"}
            document["artifacts"] = {**defaults, **artifacts}
        environment = {"environmentVariables": [], "privilegedMode": False, **document["environment"]}
        environment.setdefault("imagePullCredentialsType", "CODEBUILD")
        document["environment"] = environment
        pipeline = (document["source"]["type"] == "CODEPIPELINE", artifacts["type"] == "CODEPIPELINE")
        if pipeline[0] != pipeline[1]:
            raise invalid("Invalid project: source and artifacts must both be of type CODEPIPELINE, or neither")
        if document.get("concurrentBuildLimit", 1) < 1:
            raise invalid("Invalid concurrent build limit: it must be at least 1")
        check(document, operation_name, self.check_image)


def running(transaction: Any, project: str) -> int:
    """How many builds of a project have not ended."""
    return count_resources(transaction, Query(BUILD, parent=project, status="IN_PROGRESS"))


def public(document: Document) -> Document:
    """Without our own members."""
    return {key: value for key, value in document.items() if not key.startswith("_")}


def _name(text: str) -> str:
    """Of a name or an ARN."""
    return text.rpartition(":project/")[2]
