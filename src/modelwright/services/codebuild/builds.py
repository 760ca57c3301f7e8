"""Builds: StartBuild, StopBuild, RetryBuild, BatchGetBuilds, ListBuilds, ListBuildsForProject, BatchDeleteBuilds."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.lifecycles.build_document import state_change, submitted
from modelwright.services.codebuild.base import (
    ARTIFACTS,
    BUILD,
    CACHE,
    LOGS,
    PROJECT,
    SOURCE,
    VERSIONS,
    CodeBuildService,
    arn,
    check,
    invalid,
    missing,
    page,
)
from modelwright.services.codebuild.projects import public, running
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.store.database import Transaction
from modelwright.store.history import Event
from modelwright.store.resources import (
    Query,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

LEASE_SECONDS = 60.0
MINUTE = 60.0
MOST = 10_000
"""Builds that a list looks through."""
_GIT = SOURCE["gitSubmodulesConfig"]
_OVERRIDES: Table = {
    **dict.fromkeys(
        (
            *("projectName", "sourceVersion", "sourceTypeOverride", "sourceLocationOverride", "buildspecOverride"),
            *("environmentVariablesOverride", "environmentTypeOverride", "imageOverride", "computeTypeOverride"),
            *("privilegedModeOverride", "timeoutInMinutesOverride", "queuedTimeoutInMinutesOverride"),
            "idempotencyToken",
        ),
        HONOURED,
    ),
    "secondarySourcesOverride": SOURCE,
    "secondarySourcesVersionOverride": VERSIONS,
    "artifactsOverride": ARTIFACTS,
    "secondaryArtifactsOverride": ARTIFACTS,
    "cacheOverride": CACHE,
    "logsConfigOverride": LOGS,
    "gitCloneDepthOverride": HONOURED,
    "gitSubmodulesConfigOverride": _GIT,
    "insecureSslOverride": refused("Sources are on this machine.", False),
    "reportBuildStatusOverride": refused("There is nobody to report to.", False),
    "serviceRoleOverride": recorded("Builds run as the platform's own role."),
    "encryptionKeyOverride": recorded("Objects are not encrypted by keys here."),
    "imagePullCredentialsTypeOverride": recorded("Images are on this machine."),
    "debugSessionEnabled": refused("There are no debug sessions.", False),
    "autoRetryLimitOverride": refused("A build that failed is retried by RetryBuild.", 0),
    "hostKernelOverride": recorded("Builds run on this machine's kernel."),
}


class Builds(CodeBuildService):
    """Runs of projects. Once started, a build's document is the engine's."""

    @operation("StartBuild", members=_OVERRIDES)
    def start_build(self, context: Context, parameters: Document) -> Document:
        """A token is good as long as its build is there (on AWS for five minutes), so that whoever was killed while he
        started a build finds it again."""
        return {"build": public(self._start(context, parameters))}

    @operation("RetryBuild")
    def retry_build(self, context: Context, parameters: Document) -> Document:
        """The same build again, with what it was started with."""
        if "id" not in parameters:
            raise invalid("The build's id must be given")
        with self.database.read() as transaction:
            before = self._find(transaction, parameters["id"])
        token = {"idempotencyToken": parameters["idempotencyToken"]} if "idempotencyToken" in parameters else {}
        asked = {key: value for key, value in before["_request"].items() if key != "idempotencyToken"}
        return {"build": public(self._start(context, {**asked, **token}))}

    @operation("StopBuild")
    def stop_build(self, context: Context, parameters: Document) -> Document:
        """A build that has ended stays as it is."""
        with self.database.write() as transaction:
            document = self._find(transaction, parameters["id"], lock=True)
            if document["buildStatus"] == "IN_PROGRESS" and not document.get("_stopping"):
                document = {**document, "_stopping": True}
                now = self.now()
                replace_resource(transaction, BUILD, document["id"], document, modified=now)
                self.history.append(transaction, f"build/{document['id']}", [Event("StopRequested", {}, now)])
        return {"build": public(document)}

    @operation("BatchGetBuilds", quick=True)
    def batch_get_builds(self, context: Context, parameters: Document) -> Document:
        found, lost = [], []
        with self.database.read() as transaction:
            for name in dict.fromkeys(parameters["ids"]):
                document = find_resource(transaction, BUILD, _identity(name))
                if document is None:
                    lost.append(name)
                else:
                    found.append(public(document))
        return {"builds": found, **({"buildsNotFound": lost} if lost else {})}

    @operation("ListBuilds")
    def list_builds(self, context: Context, parameters: Document) -> Document:
        return self._list(parameters, None)

    @operation("ListBuildsForProject")
    def list_builds_for_project(self, context: Context, parameters: Document) -> Document:
        name = parameters["projectName"]
        with self.database.read() as transaction:
            if find_resource(transaction, PROJECT, name) is None:
                raise missing(f"The provided project {arn(context, f'project/{name}')} does not exist")
        return self._list(parameters, name)

    @operation("BatchDeleteBuilds")
    def batch_delete_builds(self, context: Context, parameters: Document) -> Document:
        deleted, kept = [], []
        with self.database.write() as transaction:
            for name in dict.fromkeys(parameters["ids"]):
                document = find_resource(transaction, BUILD, _identity(name), lock=True)
                if document is None:
                    kept.append({"id": name, "statusCode": "BUILD_NOT_FOUND"})
                elif document["buildStatus"] == "IN_PROGRESS":
                    kept.append({"id": name, "statusCode": "BUILD_IN_PROGRESS"})
                else:
                    delete_resource(transaction, BUILD, document["id"])
                    self.history.forget(transaction, f"build/{document['id']}")
                    deleted.append(document["arn"])
        return {**({"buildsDeleted": deleted} if deleted else {}), "buildsNotDeleted": kept}

    def _start(self, context: Context, parameters: Document) -> Document:
        name, now = parameters["projectName"].rpartition(":project/")[2], self.now()
        request = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()
        token = parameters.get("idempotencyToken")
        identity = f"{name}:{uuid.uuid5(uuid.NAMESPACE_URL, f'{name}/{token}') if token else uuid.uuid4()}"
        with self.database.write() as transaction:
            present = find_resource(transaction, BUILD, identity)
            if present is not None:
                if present["_fingerprint"] != request:
                    raise invalid(f"The idempotency token was used for another request, of build {identity}")
                return present
            project = find_resource(transaction, PROJECT, name, lock=True)
            if project is None:
                raise missing(f"Project cannot be found: {arn(context, f'project/{name}')}")
            limit = project.get("concurrentBuildLimit")
            if limit is not None and running(transaction, name) >= limit:
                raise AwsError(
                    f"Project {name} has a concurrent build limit of {limit}, and as many builds run: wait for one.",
                    code="AccountLimitExceededException",
                )
            number = project.get("_builds", 0) + 1
            project = {**project, "_builds": number}
            document = self._document(context, project, parameters, identity, now)
            document |= {"buildNumber": number, "_fingerprint": request, "_request": parameters}
            replace_resource(transaction, PROJECT, name, project, modified=project["lastModified"])
            insert_resource(
                *(transaction, BUILD, identity, document),
                created=now,
                arn=document["arn"],
                parent=name,
                status="IN_PROGRESS",
            )
            limits = {
                "Limit": MINUTE * document["timeoutInMinutes"],
                "QueueLimit": MINUTE * document["queuedTimeoutInMinutes"],
            }
            created = [Event("Created", limits, now)]
            self.history.open(transaction, f"build/{identity}", "Build", created, lease_until=now + LEASE_SECONDS)
            self.events.emit(
                transaction,
                source="aws.codebuild",
                detail_type="CodeBuild Build State Change",
                detail=state_change(document),
                region=Arn.parse(document["arn"]).region,
                time=now,
                resources=[document["arn"]],
            )
        return document

    def _document(self, context: Context, project: Document, given: Document, identity: str, now: float) -> Document:
        about: Document = {
            "source": _source(project, given),
            "secondarySources": given.get("secondarySourcesOverride", project.get("secondarySources", [])),
            "artifacts": _artifacts(given.get("artifactsOverride") or project["artifacts"], given, project),
            "secondaryArtifacts": given.get("secondaryArtifactsOverride", project.get("secondaryArtifacts", [])),
            "environment": _environment(project["environment"], given),
        }
        check(about, "StartBuild", self.check_image)
        if about["source"]["type"] == "CODEPIPELINE":
            raise invalid(
                f"Project {project['name']} takes its source from CodePipeline: release a change of the pipeline, or "
                "override the source (sourceTypeOverride, sourceLocationOverride)"
            )
        version = given.get("sourceVersion", "" if "sourceTypeOverride" in given else project.get("sourceVersion"))
        if version and about["source"]["type"] == "S3":
            raise UnsupportedOperation.member("StartBuild", "sourceVersion", "Objects in S3 have one version here.")
        initiator = _initiator(context, about["environment"])
        build_arn = arn(context, f"build/{identity}")
        secondary = given.get("secondarySourcesVersionOverride", project.get("secondarySourceVersions"))
        document = {
            "id": identity,
            "arn": build_arn,
            "projectName": project["name"],
            "startTime": now,
            "currentPhase": "QUEUED",
            "buildStatus": "IN_PROGRESS",
            "buildComplete": False,
            "phases": submitted(now),
            "source": about["source"],
            "secondarySources": about["secondarySources"],
            "environment": about["environment"],
            "artifacts": _shown(about["artifacts"]),
            "secondaryArtifacts": [_shown(each) for each in about["secondaryArtifacts"]],
            "cache": {"type": "NO_CACHE"},
            "serviceRole": given.get("serviceRoleOverride", project["serviceRole"]),
            "logs": _logs(context, project, given, identity),
            "timeoutInMinutes": given.get("timeoutInMinutesOverride", project["timeoutInMinutes"]),
            "queuedTimeoutInMinutes": given.get("queuedTimeoutInMinutesOverride", project["queuedTimeoutInMinutes"]),
            "initiator": initiator,
            "encryptionKey": given.get("encryptionKeyOverride", project["encryptionKey"]),
            "_artifacts": about["artifacts"],
            "_secondaryArtifacts": about["secondaryArtifacts"],
        }
        optional = {
            "sourceVersion": version,
            "secondarySourceVersions": secondary,
            "vpcConfig": project.get("vpcConfig"),
        }
        return document | {key: value for key, value in optional.items() if value}

    def _find(self, transaction: Transaction, name: str, *, lock: bool = False) -> Document:
        document = find_resource(transaction, BUILD, _identity(name), lock=lock)
        if document is None:
            raise missing(f"Build {name} does not exist")
        return document

    def _list(self, parameters: Document, project: str | None) -> Document:
        descending = parameters.get("sortOrder", "DESCENDING") == "DESCENDING"
        query = Query(BUILD, parent=project, descending=descending, limit=MOST)
        with self.database.read() as transaction:
            ids = [document["id"] for document in list_resources(transaction, query).documents]
        shown, more = page(ids, parameters)
        return {"ids": shown, **more}


def _source(project: Document, given: Document) -> Document:
    source = dict(project["source"])
    kind = given.get("sourceTypeOverride", source["type"])
    if kind != source["type"]:
        source = {"type": kind, **{key: source[key] for key in ("buildspec",) if key in source}}
    for override, member in (
        ("sourceLocationOverride", "location"),
        ("buildspecOverride", "buildspec"),
        ("gitCloneDepthOverride", "gitCloneDepth"),
    ):
        if override in given:
            source[member] = given[override]
    return source


def _artifacts(artifacts: Document, given: Document, project: Document) -> Document:
    if artifacts["type"] == "CODEPIPELINE" and given.get("sourceTypeOverride"):
        return {"type": "NO_ARTIFACTS"}  # an action without outputs
    if artifacts["type"] != "S3":
        return artifacts
    return {"name": project["name"], "packaging": "NONE", "namespaceType": "NONE", **artifacts}


def _environment(environment: Document, given: Document) -> Document:
    found = dict(environment)
    for override, member in (
        ("environmentTypeOverride", "type"),
        ("imageOverride", "image"),
        ("computeTypeOverride", "computeType"),
        ("privilegedModeOverride", "privilegedMode"),
        ("imagePullCredentialsTypeOverride", "imagePullCredentialsType"),
    ):
        if override in given:
            found[member] = given[override]
    variables = [*environment.get("environmentVariables", []), *given.get("environmentVariablesOverride", [])]
    merged = {each["name"]: {"type": "PLAINTEXT", **each} for each in variables}
    return {**found, "environmentVariables": list(merged.values())}


def _initiator(context: Context, environment: Document) -> str:
    """Who started it. The platform's own services may say for whom, by a variable that CodeBuild sets anyway."""
    variables = environment["environmentVariables"]
    named = [each["value"] for each in variables if each["name"] == "CODEBUILD_INITIATOR"]
    environment["environmentVariables"] = [each for each in variables if each["name"] != "CODEBUILD_INITIATOR"]
    if named and context.source == "engine":
        return str(named[-1])
    return context.principal.arn.split(":", 5)[-1].removeprefix("assumed-role/").removeprefix("user/")


def _shown(artifacts: Document) -> Document:
    """What a build tells of artifacts before they are there."""
    if artifacts["type"] != "S3":
        return {"location": ""}
    path = "/".join(filter(None, (artifacts.get("path", "").strip("/"), artifacts.get("name", ""))))
    found: dict[str, Any] = {"location": f"arn:aws:s3:::{artifacts['location'].removeprefix('arn:aws:s3:::')}/{path}"}
    return found | {key: artifacts[key] for key in ("artifactIdentifier", "overrideArtifactName") if key in artifacts}


def _logs(context: Context, project: Document, given: Document, identity: str) -> Document:
    config: Document = given.get("logsConfigOverride") or project.get("logsConfig") or {}
    watch = config.get("cloudWatchLogs", {"status": "ENABLED"})
    logs: Document = {"cloudWatchLogs": watch, "s3Logs": {"status": "DISABLED"}}
    if watch["status"] == "DISABLED":
        return logs
    group = watch.get("groupName") or f"/aws/codebuild/{project['name']}"
    stream = "/".join(filter(None, (watch.get("streamName"), identity.rpartition(":")[2])))
    where = str(Arn("logs", context.region, context.account, f"log-group:{group}:log-stream:{stream}"))
    link = f"https://console.aws.amazon.com/cloudwatch/home?region={context.region}#logsV2:log-groups/log-group/"
    escaped = group.replace("/", "$252F")
    return {
        "groupName": group,
        "streamName": stream,
        "cloudWatchLogsArn": where,
        "deepLink": f"{link}{escaped}/log-events/{stream.replace('/', '$252F')}",
        **logs,
    }


def _identity(text: str) -> str:
    """Of an id or an ARN."""
    return text.rpartition(":build/")[2]
