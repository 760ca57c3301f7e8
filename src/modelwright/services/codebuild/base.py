"""What CodeBuild's services have in common: which members are honoured, what a project must be like, errors."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.services.dispatch import Context, Document
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.store.database import Database
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History

PROJECT, BUILD = "CodeBuildProject", "CodeBuildBuild"

_GIT = refused("Builds take their source from S3 or CodeCommit, where git needs no further settings.")
_KEYS = recorded("Objects are not encrypted by keys here.")
_PRIVATE = recorded("What is stored is the account's own.")
_FLEET = refused("Builds run on this machine: use computeType.")

SOURCE: Table = {
    "type": HONOURED,
    "location": HONOURED,
    "buildspec": HONOURED,
    "sourceIdentifier": HONOURED,
    "gitCloneDepth": HONOURED,
    "gitSubmodulesConfig": {"fetchSubmodules": refused("Submodules are not fetched.", False)},
    "insecureSsl": refused("Sources are on this machine.", False),
    "reportBuildStatus": refused("There is nobody to report to.", False),
    "buildStatusConfig": {"context": _GIT, "targetUrl": _GIT},
    "auth": {"type": _GIT, "resource": _GIT},
}
ARTIFACTS: Table = {
    **dict.fromkeys(("type", "location", "path", "namespaceType", "name", "packaging"), HONOURED),
    "overrideArtifactName": HONOURED,
    "artifactIdentifier": HONOURED,
    "encryptionDisabled": _KEYS,
    "bucketOwnerAccess": _PRIVATE,
}
CACHE: Table = {
    "type": refused("Every build starts anew; pip's downloads are shared by all.", "NO_CACHE"),
    "location": recorded("Of a cache that there is not."),
    "modes": recorded("Of a cache that there is not."),
    "cacheNamespace": recorded("Of a cache that there is not."),
}
LOGS: Table = {
    "cloudWatchLogs": HONOURED,
    "s3Logs": {
        "status": refused("Logs are in CloudWatch Logs.", "DISABLED"),
        "location": recorded("Of logs that are not written."),
        "encryptionDisabled": _KEYS,
        "bucketOwnerAccess": _PRIVATE,
    },
}
ENVIRONMENT: Table = {
    **dict.fromkeys(("type", "image", "computeType", "environmentVariables", "privilegedMode"), HONOURED),
    "imagePullCredentialsType": recorded("Images are on this machine."),
    "registryCredential": refused("Images are on this machine: push them to ECR."),
    "certificate": refused("Add the certificate in the buildspec."),
    "fleet": _FLEET,
    "computeConfiguration": _FLEET,
    "dockerServer": refused("Images are built by this machine."),
    "hostKernel": recorded("Builds run on this machine's kernel."),
}
VERSIONS: Table = {"sourceIdentifier": HONOURED, "sourceVersion": HONOURED}
PROJECT_MEMBERS: Table = {
    **dict.fromkeys(("name", "description", "sourceVersion", "timeoutInMinutes", "queuedTimeoutInMinutes"), HONOURED),
    "source": SOURCE,
    "secondarySources": SOURCE,
    "secondarySourceVersions": VERSIONS,
    "artifacts": ARTIFACTS,
    "secondaryArtifacts": ARTIFACTS,
    "cache": CACHE,
    "environment": ENVIRONMENT,
    "serviceRole": recorded("Builds run as the platform's own role."),
    "encryptionKey": _KEYS,
    "tags": HONOURED,
    "vpcConfig": {
        name: recorded("Builds use this machine's network.") for name in ("vpcId", "subnets", "securityGroupIds")
    },
    "badgeEnabled": refused("There are no badges.", False),
    "logsConfig": LOGS,
    "fileSystemLocations": refused("Mount nothing: use S3."),
    "buildBatchConfig": refused("Batch builds are not supported: start builds one by one."),
    "concurrentBuildLimit": HONOURED,
    "autoRetryLimit": refused("A build that failed is retried by RetryBuild.", 0),
}

_LINUX = ("LINUX_CONTAINER", "LINUX_GPU_CONTAINER")
_COMPUTE = tuple(f"BUILD_GENERAL1_{size}" for size in ("SMALL", "MEDIUM", "LARGE", "XLARGE", "2XLARGE"))
_SOURCES = ("S3", "CODECOMMIT", "CODEPIPELINE", "NO_SOURCE")


class CodeBuildService:
    """A resource group of CodeBuild's."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        now: Callable[[], float],
        events: EventBus,
        check_image: Callable[[str], None],
    ) -> None:
        """`check_image` raises ValidationException for an image URI that can't be resolved at all."""
        self.database = database
        self.history = history
        self.now = now
        self.events = events
        self.check_image = check_image


def invalid(text: str) -> AwsError:
    return AwsError(text, code="InvalidInputException")


def missing(text: str) -> AwsError:
    return AwsError(text, code="ResourceNotFoundException")


def arn(context: Context, resource: str) -> str:
    return str(Arn("codebuild", context.region, context.account, resource))


def check(about: Mapping[str, Any], operation: str, check_image: Callable[[str], None]) -> None:
    """Whether a project, or a build with its overrides, can be run here. Raises AwsError."""
    source, artifacts = about["source"], about["artifacts"]
    _check_source(source, operation, "source")
    for i, each in enumerate(about.get("secondarySources", [])):
        _check_source(each, operation, f"secondarySources[{i}]")
        if not each.get("sourceIdentifier"):
            raise invalid(f"secondarySources[{i}]: a secondary source needs a sourceIdentifier")
    identifiers = [each["sourceIdentifier"] for each in about.get("secondarySources", [])]
    _unique(identifiers, "sourceIdentifier")
    for name in identifiers:
        if not name.replace("_", "").isalnum() or not name.isascii():
            raise invalid(f"sourceIdentifier {name!r}: letters, digits and underscores are allowed")
    _check_artifacts(artifacts, "artifacts")
    for i, each in enumerate(about.get("secondaryArtifacts", [])):
        _check_artifacts(each, f"secondaryArtifacts[{i}]")
        if not each.get("artifactIdentifier"):
            raise invalid(f"secondaryArtifacts[{i}]: secondary artifacts need an artifactIdentifier")
    _unique([each["artifactIdentifier"] for each in about.get("secondaryArtifacts", [])], "artifactIdentifier")
    if source["type"] == "NO_SOURCE" and not source.get("buildspec"):
        raise invalid("Invalid project source: with NO_SOURCE the buildspec must be given")
    _check_environment(about["environment"], operation, check_image)


def _check_source(source: Mapping[str, Any], operation: str, place: str) -> None:
    kind = source["type"]
    if kind not in _SOURCES:
        raise UnsupportedOperation.member(operation, f"{place}.type = {kind!r}", f"Use one of {', '.join(_SOURCES)}.")
    location = source.get("location", "")
    if kind in ("S3", "CODECOMMIT") and not location:
        raise invalid(f"Invalid project source: {place}.location is missing for type {kind}")
    if kind == "S3" and not location.removeprefix("arn:aws:s3:::").partition("/")[2]:
        raise invalid(f"Invalid project source: {place}.location {location!r} must be BUCKET/KEY")
    if kind == "CODECOMMIT" and "/v1/repos/" not in location:
        raise invalid(f"Invalid project source: {place}.location {location!r} must be a repository's HTTPS clone URL")


def _check_artifacts(artifacts: Mapping[str, Any], place: str) -> None:
    if artifacts["type"] == "S3" and not artifacts.get("location"):
        raise invalid(f"Invalid artifacts: {place}.location must name the bucket for type S3")
    for member in ("path", "name"):
        if ".." in artifacts.get(member, "").split("/"):
            raise invalid(f"Invalid artifacts: {place}.{member} {artifacts[member]!r} leads out of its folder")


def _check_environment(environment: Mapping[str, Any], operation: str, check_image: Callable[[str], None]) -> None:
    kinds = (*_LINUX, "ARM_CONTAINER") if platform.machine() in ("aarch64", "arm64") else _LINUX
    for member, value, known in (
        ("type", environment["type"], kinds),
        ("computeType", environment["computeType"], _COMPUTE),
    ):
        if value not in known:
            text = f"environment.{member} = {value!r}"
            raise UnsupportedOperation.member(operation, text, f"Builds here have {', '.join(known)}.")
    for variable in environment.get("environmentVariables", []):
        if variable.get("type", "PLAINTEXT") != "PLAINTEXT":
            text = f"environmentVariables {variable['name']}: type {variable['type']}"
            raise UnsupportedOperation.member(operation, text, "Give the value as PLAINTEXT.")
        if not variable["name"].replace("_", "a").isalnum() or "\0" in variable["value"]:
            raise invalid(f"The environment variable {variable['name']!r} can't be set")
    try:
        check_image(environment["image"])
    except AwsError as error:
        raise invalid(f"environment.image: {error}") from error


def _unique(names: Sequence[str], member: str) -> None:
    if len(set(names)) != len(names):
        raise invalid(f"{member} must be unique: {', '.join(names)}")


def page(items: Sequence[Any], parameters: Document, size: int = 100) -> tuple[list[Any], Document]:
    """A page by position; the token is the number of what came before."""
    token = parameters.get("nextToken", "0")
    if not token.isdigit():
        raise invalid("Invalid next token: pass on the one of the previous page")
    start = int(token)
    more = {"nextToken": str(start + size)} if start + size < len(items) else {}
    return list(items[start : start + size]), more
