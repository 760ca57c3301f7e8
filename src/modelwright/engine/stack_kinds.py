"""All resource types of stacks: the plain rows, and those of code and events, which take more than one call each.

Rule: what AWS's own operations would refuse is refused by them; here names of members are translated, nothing more.
"""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from modelwright.engine import stack_types
from modelwright.engine.stack_registry import CodeRepository, ModelPackageGroup, Project, why_project_failed
from modelwright.engine.stack_roles import Policy, Role
from modelwright.engine.stack_stores import Bucket, LogGroup
from modelwright.engine.stack_types import Act, Read, Row, Unchangeable, Waits, adopting, only, parameters_of
from modelwright.errors import AwsError, ValidationException

_MOST_FILES = 100
"""In one CreateCommit."""


def _missing(text: str) -> AwsError:
    return AwsError(text, code="NotFound", status=404)


class _Repository:
    """AWS::CodeCommit::Repository, with the code that it begins with."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], read: Read, region: str = "") -> None:
        only(properties, "RepositoryName", "RepositoryDescription", "Code", "Tags")
        code = properties.get("Code")
        files = list(_seed(code, read)) if code else []
        given: dict[str, Any] = {"repositoryName": name}
        if properties.get("RepositoryDescription"):
            given["repositoryDescription"] = properties["RepositoryDescription"]
        if properties.get("Tags"):
            given["tags"] = {tag["Key"]: str(tag["Value"]) for tag in properties["Tags"]}
        adopting(act, "codecommit", "CreateRepository", given)
        if code and files:
            self._commit(act, name, str(code.get("BranchName", "main")), files)

    def _commit(self, act: Act, name: str, branch: str, files: list[dict[str, Any]]) -> None:
        pages = [files[start : start + _MOST_FILES] for start in range(0, len(files), _MOST_FILES)]
        for page in pages:
            request = {"repositoryName": name, "branchName": branch, "putFiles": page}
            request |= {"commitMessage": "Initial commit by AWS CodeCommit", "authorName": "AWS CloudFormation"}
            tip = self._tip(act, name, branch)
            if tip and len(pages) == 1:
                return
            try:
                act("codecommit", "CreateCommit", {**request, **({"parentCommitId": tip} if tip else {})})
            except AwsError as error:
                if not error.code.startswith("NoChange"):
                    raise

    def _tip(self, act: Act, name: str, branch: str) -> str:
        try:
            found = act("codecommit", "GetBranch", {"repositoryName": name, "branchName": branch})
        except AwsError as error:
            if error.code.startswith("BranchDoesNotExist"):
                return ""
            raise
        return str(found["branch"]["commitId"])

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        found: dict[str, Any] = act("codecommit", "GetRepository", {"repositoryName": name})["repositoryMetadata"]
        host, _, path = found["cloneUrlHttp"].partition("//")[2].partition("/")
        return {**found, "cloneUrlSsh": f"ssh://{host}/{path}"}

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """The code is of the creation only, as on AWS."""
        only(new, "RepositoryName", "RepositoryDescription", "Code", "Tags")
        if old.get("RepositoryName") != new.get("RepositoryName"):
            raise Unchangeable("Modelwright can't change the property RepositoryName of a repository in place yet.")
        described = new.get("RepositoryDescription", "")
        about = {"repositoryName": name, "repositoryDescription": described}
        act("codecommit", "UpdateRepositoryDescription", about)

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        act("codecommit", "DeleteRepository", {"repositoryName": name})


def _seed(code: Mapping[str, Any], read: Read) -> Iterator[dict[str, Any]]:
    """The files of a zip in S3, as CreateCommit wants them."""
    only(code, "BranchName", "S3")
    place = code["S3"]
    try:
        archive = zipfile.ZipFile(io.BytesIO(read(place["Bucket"], place["Key"])))
    except zipfile.BadZipFile:
        raise ValidationException(f"Code: s3://{place['Bucket']}/{place['Key']} is not a zip file.") from None
    with archive:
        for info in archive.infolist():
            if not info.is_dir():
                runs = (info.external_attr >> 16) & stat.S_IXUSR
                mode = "EXECUTABLE" if runs else "NORMAL"
                yield {"filePath": info.filename, "fileContent": archive.read(info), "fileMode": mode}


class _BuildProject:
    """AWS::CodeBuild::Project."""

    def _given(self, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        if properties.get("Visibility", "PRIVATE") != "PRIVATE":
            raise ValidationException("Visibility: builds are private here. Leave it out.")
        return {**{key: value for key, value in properties.items() if key != "Visibility"}, "Name": name}

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        given = parameters_of("codebuild", "CreateProject", self._given(name, properties), lower=True)
        adopting(act, "codebuild", "CreateProject", given)

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        found = act("codebuild", "BatchGetProjects", {"names": [name]})["projects"]
        if not found:
            raise _missing(f"Project {name} does not exist.")
        return dict(found[0])

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        empty: Mapping[str, Any] = {
            **{"Description": "", "Tags": [], "TimeoutInMinutes": 60, "QueuedTimeoutInMinutes": 480},
            **{"SecondarySources": [], "SecondaryArtifacts": [], "SecondarySourceVersions": []},
        }
        gone = {key: empty[key] for key in old if key not in new and key in empty}
        unset = ("Name", "Visibility")
        lost = sorted(key for key in old if key not in new and key not in empty and key not in unset)
        if lost:
            raise ValidationException(
                f"Modelwright can't take the property {lost[0]} from a project yet: give a value."
            )
        given = parameters_of("codebuild", "UpdateProject", {**gone, **self._given(name, new)}, lower=True)
        act("codebuild", "UpdateProject", given)

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        act("codebuild", "DeleteProject", {"name": name})


class _CodePipeline:
    """AWS::CodePipeline::Pipeline."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        adopting(act, "codepipeline", "CreatePipeline", self._given("CreatePipeline", name, properties))

    def _given(self, operation: str, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        declared = {key: value for key, value in properties.items() if key not in ("Tags", "RestartExecutionOnUpdate")}
        given: dict[str, Any] = {"Pipeline": {**declared, "Name": name}}
        if properties.get("Tags") and operation == "CreatePipeline":
            given["Tags"] = properties["Tags"]
        return parameters_of("codepipeline", operation, given, lower=True)

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        found = act("codepipeline", "GetPipeline", {"name": name})
        return {**found["pipeline"], "Arn": found["metadata"]["pipelineArn"]}

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        act("codepipeline", "UpdatePipeline", self._given("UpdatePipeline", name, new))
        if str(new.get("RestartExecutionOnUpdate", "false")).lower() == "true":
            act("codepipeline", "StartPipelineExecution", {"name": name})

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        act("codepipeline", "DeletePipeline", {"name": name})


class _Rule:
    """AWS::Events::Rule, with its targets."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        self._put(act, name, properties)

    def _put(self, act: Act, name: str, properties: Mapping[str, Any]) -> None:
        given = {key: value for key, value in properties.items() if key != "Targets"}
        if given.pop("EventBusName", "default") != "default":
            raise ValidationException("Rules of stacks are the default bus's: leave EventBusName out.")
        if "EventPattern" in given and not isinstance(given["EventPattern"], str):
            given["EventPattern"] = json.dumps(given["EventPattern"])
        act("events", "PutRule", parameters_of("events", "PutRule", {**given, "Name": name}))
        if properties.get("Targets"):
            targets = {"Rule": name, "Targets": properties["Targets"]}
            answer = act("events", "PutTargets", parameters_of("events", "PutTargets", targets))
            for failed in answer.get("FailedEntries", []):
                raise ValidationException(f"Target {failed['TargetId']}: {failed.get('ErrorMessage')}")

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        return act("events", "DescribeRule", {"Name": name})

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self._put(act, name, new)
        self._remove(act, name, keep={target["Id"] for target in new.get("Targets", [])})

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        self._remove(act, name, keep=set())
        act("events", "DeleteRule", {"Name": name})

    def _remove(self, act: Act, name: str, keep: set[str]) -> None:
        found = act("events", "ListTargetsByRule", {"Rule": name})["Targets"]
        gone = [target["Id"] for target in found if target["Id"] not in keep]
        if gone:
            act("events", "RemoveTargets", {"Rule": name, "Ids": gone})


class _SageMakerPipeline:
    """AWS::SageMaker::Pipeline."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        token = {"ClientRequestToken": hashlib.sha256(f"stack/{name}".encode()).hexdigest()[:40]}
        adopting(act, "sagemaker", "CreatePipeline", {**self._given("CreatePipeline", name, properties), **token})

    def _given(self, operation: str, name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
        given = {key: value for key, value in properties.items() if key != "PipelineDefinition"}
        definition = properties.get("PipelineDefinition", {})
        only(definition, "PipelineDefinitionBody", "PipelineDefinitionS3Location")
        if "PipelineDefinitionBody" in definition:
            given["PipelineDefinition"] = definition["PipelineDefinitionBody"]
        if "PipelineDefinitionS3Location" in definition:
            place = definition["PipelineDefinitionS3Location"]
            names = {"Bucket": "Bucket", "Key": "ObjectKey", "Version": "VersionId"}
            only(place, *names)
            given["PipelineDefinitionS3Location"] = {names[key]: value for key, value in place.items()}
        return parameters_of("sagemaker", operation, {**given, "PipelineName": name})

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        return act("sagemaker", "DescribePipeline", {"PipelineName": name})

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        act("sagemaker", "UpdatePipeline", self._given("UpdatePipeline", name, new))

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        token = hashlib.sha256(f"stack/{name}/delete".encode()).hexdigest()[:40]
        act("sagemaker", "DeletePipeline", {"PipelineName": name, "ClientRequestToken": token})


ROWS: Mapping[str, Row] = {
    **stack_types.ROWS,
    "AWS::SageMaker::ModelPackageGroup": Row(
        *("sagemaker", "CreateModelPackageGroup", "DescribeModelPackageGroup", "DeleteModelPackageGroup"),
        "ModelPackageGroupName",
        values={
            "Ref": "ModelPackageGroupArn",
            "ModelPackageGroupArn": "ModelPackageGroupArn",
            "ModelPackageGroupName": "ModelPackageGroupName",
            "ModelPackageGroupStatus": "ModelPackageGroupStatus",
            "CreationTime": "CreationTime",
        },
        arn="ModelPackageGroupArn",
        custom=ModelPackageGroup(),
    ),
    "AWS::CodeCommit::Repository": Row(
        *("codecommit", "CreateRepository", "GetRepository", "DeleteRepository", "repositoryName"),
        values={"Ref": "repositoryId", "Name": "repositoryName", "Arn": "Arn"}
        | {"CloneUrlHttp": "cloneUrlHttp", "CloneUrlSsh": "cloneUrlSsh"},
        arn="Arn",
        custom=_Repository(),
    ),
    "AWS::CodeBuild::Project": Row(
        *("codebuild", "CreateProject", "BatchGetProjects", "DeleteProject", "name"),
        values={"Ref": "name", "Arn": "arn"},
        tagged=False,  # UpdateProject takes them
        custom=_BuildProject(),
    ),
    "AWS::CodePipeline::Pipeline": Row(
        *("codepipeline", "CreatePipeline", "GetPipeline", "DeletePipeline", "name"),
        values={"Ref": "name", "Version": "version"},
        arn="Arn",
        custom=_CodePipeline(),
    ),
    "AWS::Events::Rule": Row(
        *("events", "PutRule", "DescribeRule", "DeleteRule", "Name"),
        values={"Ref": "Name", "Arn": "Arn"},
        arn="Arn",
        custom=_Rule(),
    ),
    "AWS::SageMaker::Pipeline": Row(
        *("sagemaker", "CreatePipeline", "DescribePipeline", "DeletePipeline", "PipelineName"),
        values={"Ref": "PipelineName"},
        arn="PipelineArn",
        custom=_SageMakerPipeline(),
    ),
    "AWS::SageMaker::Project": Row(
        *("sagemaker", "CreateProject", "DescribeProject", "DeleteProject", "ProjectName"),
        values={"Ref": "ProjectArn", "ProjectArn": "ProjectArn", "ProjectId": "ProjectId"}
        | {"ProjectStatus": "ProjectStatus", "CreationTime": "CreationTime"},
        arn="ProjectArn",
        waits=Waits(
            "ProjectStatus",
            good=("CreateCompleted", "UpdateCompleted", "UpdateFailed"),
            bad=("CreateFailed", "DeleteFailed"),
            deleting=("DeleteInProgress",),
            undeletable=("CreateInProgress", "UpdateInProgress"),
            reason=why_project_failed,
        ),
        custom=Project(),
    ),
    "AWS::SageMaker::CodeRepository": Row(
        *("sagemaker", "CreateCodeRepository", "DescribeCodeRepository", "DeleteCodeRepository", "CodeRepositoryName"),
        values={"Ref": "CodeRepositoryArn", "CodeRepositoryName": "CodeRepositoryName"},
        arn="CodeRepositoryArn",
        custom=CodeRepository(),
    ),
    "AWS::S3::Bucket": Row(
        *("s3", "CreateBucket", "HeadBucket", "DeleteBucket", "Bucket"),
        values={"Ref": "{name}", "Arn": "arn:aws:s3:::{name}", "DomainName": "{name}.s3.amazonaws.com"}
        | {"RegionalDomainName": "{name}.s3.{region}.amazonaws.com"},
        custom=Bucket(),
    ),
    "AWS::IAM::Role": Row(
        *("iam", "CreateRole", "GetRole", "DeleteRole", "RoleName"),
        values={"Ref": "RoleName", "Arn": "Arn", "RoleId": "RoleId"},
        custom=Role(),
    ),
    "AWS::IAM::Policy": Row(
        *("iam", "PutRolePolicy", "GetRolePolicy", "DeleteRolePolicy", "PolicyName"),
        values={"Ref": "{name}", "Id": "{name}"},
        tagged=False,
        custom=Policy(),
    ),
    "AWS::Logs::LogGroup": Row(
        *("logs", "CreateLogGroup", "DescribeLogGroups", "DeleteLogGroup", "logGroupName"),
        values={"Ref": "{name}", "Arn": "arn:aws:logs:{region}:{account}:log-group:{name}:*"},
        custom=LogGroup(),
    ),
}
