"""What a build's container is told: its sources, its plan, its environment. Made of the build's document.

The engine fetches the sources and reads the buildspec out of them, without unpacking anything: unpacking is done inside
the container, where a hostile archive harms its own build only.
"""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelwright.arns import Arn
from modelwright.buildspec.specification import LIMIT, BuildspecError, Specification, parse
from modelwright.engine.inputs import find_view
from modelwright.engine.values import Call
from modelwright.errors import AwsError
from modelwright.objects.base import ObjectStore

Document = Mapping[str, Any]

ROOT = "/codebuild"
SOURCE = f"{ROOT}/output/src0/src"
PRIMARY = "primary"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DEFAULT = "buildspec.yml"


class BuildFailed(Exception):
    """The build can't go on; AWS's code of the phase's context, and the text."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.context = {"statusCode": code, "message": message}


@dataclass(frozen=True)
class Source:
    """One source. `input`: the file or folder with it, None: there is none (NO_SOURCE)."""

    identifier: str
    location: str
    input: Path | None
    version: str = ""
    """The commit, where it is a git repository."""
    depth: int = 0
    """How much of its history is wanted; 0: all."""

    @property
    def folder(self) -> str:
        return SOURCE if not self.identifier else f"{ROOT}/output/src-{self.identifier}/src"


class Sources:
    """Fetches what a build's sources name into a folder of the engine's."""

    def __init__(self, *, objects: ObjectStore, call: Call, archive: Callable[[str, str, Path], None]) -> None:
        self._objects = objects
        self._call = call
        self._archive = archive

    def fetch(self, document: Document, folder: Path) -> list[Source]:
        """The primary source first. Raises BuildFailed."""
        versions = {
            each["sourceIdentifier"]: each["sourceVersion"] for each in document.get("secondarySourceVersions", [])
        }
        region = Arn.parse(document["arn"]).region
        found = [self._fetch(region, document["source"], document.get("sourceVersion", ""), folder / "0")]
        for number, source in enumerate(document.get("secondarySources", []), 1):
            version = versions.get(source.get("sourceIdentifier", ""), "")
            found.append(self._fetch(region, source, version, folder / str(number)))
        return found

    def _fetch(self, region: str, source: Document, version: str, folder: Path) -> Source:
        kind, location = source["type"], source.get("location", "")
        identifier = source.get("sourceIdentifier", "")
        folder.mkdir(parents=True)
        try:
            if kind == "S3":
                return Source(identifier, location, self._from_s3(location, folder))
            if kind == "CODECOMMIT":
                path, commit = self._from_codecommit(region, location, version, folder)
                return Source(identifier, location, path, commit, source.get("gitCloneDepth", 0))
        except (AwsError, OSError) as error:
            raise BuildFailed("CLIENT_ERROR", f"The source {location} can't be fetched: {error}") from error
        return Source(identifier, location, None)

    def _from_s3(self, location: str, folder: Path) -> Path:
        bucket, _, key = location.removeprefix("arn:aws:s3:::").removeprefix("s3://").partition("/")
        if not key or key.endswith("/"):
            return find_view(self._objects, f"s3://{bucket}/{key}")
        stored, target = self._objects.path(bucket, key), folder / os.path.basename(key)
        try:
            os.link(stored, target)  # it stays when the object is replaced meanwhile; it is mounted read-only
        except OSError:
            shutil.copyfile(stored, target)
        return target

    def _from_codecommit(self, region: str, location: str, version: str, folder: Path) -> tuple[Path, str]:
        name = location.rstrip("/").rpartition("/repos/")[2]
        about = self._call(region, "codecommit", "GetRepository", {"repositoryName": name})["repositoryMetadata"]
        commit = version
        if not _COMMIT.fullmatch(version):
            wanted = version or about.get("defaultBranch")
            if not wanted:
                raise BuildFailed("CLIENT_ERROR", f"The repository {name} is empty: push a commit.")
            asked = {"repositoryName": name, "commitSpecifier": wanted, "folderPath": "/"}  # a branch, a tag, ...
            commit = self._call(region, "codecommit", "GetFolder", asked)["commitId"]
        target = folder / "source.zip"
        self._archive(about["repositoryId"], commit, target)
        return target, commit

    def specification(self, document: Document, source: Source) -> Specification:
        """The build's buildspec. Raises BuildFailed."""
        try:
            return parse(self._text(document["source"].get("buildspec", "").strip(), source))
        except BuildspecError as error:
            raise BuildFailed("YAML_FILE_ERROR", "; ".join(error.problems)) from error
        except (AwsError, OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
            raise BuildFailed("YAML_FILE_ERROR", f"The buildspec can't be read: {error}") from error

    def _text(self, given: str, source: Source) -> str:
        if "\n" in given or given.startswith(("version:", "{")):
            return given
        if given.startswith("arn:aws:s3:::"):
            bucket, _, key = given.removeprefix("arn:aws:s3:::").partition("/")
            return self._objects.read(bucket, key)[:LIMIT].decode()
        name = os.path.normpath(given or _DEFAULT)
        if source.input is None or name.startswith(("/", "..")):
            raise BuildspecError([f"{name}: there is no such file in the source"])
        if source.input.is_dir():
            file = source.input / name
            if not file.resolve().is_relative_to(source.input.resolve()) or not file.is_file():
                raise BuildspecError([f"{name}: there is no such file in the source"])
            return file.read_bytes()[:LIMIT].decode()
        if not zipfile.is_zipfile(source.input):
            raise BuildspecError([f"{source.location} is not a ZIP archive, so there is no {name} in it"])
        with zipfile.ZipFile(source.input) as archive:
            try:
                with archive.open(name) as member:
                    return member.read(LIMIT).decode()
            except KeyError:
                raise BuildspecError([f"{name}: there is no such file in the source {source.location}"]) from None


def make_plan(
    document: Document, specification: Specification, sources: list[Source], notes: list[str]
) -> dict[str, Any]:
    """What `build_tools/runner.py` reads."""
    return {
        "shell": specification.shell,
        "notes": [*notes, *specification.notes],
        "git_credential_helper": specification.git_credential_helper,
        "exported": list(specification.exported),
        "sources": [
            {
                "input": f"input/{i}",
                "folder": each.folder,
                "location": each.location,
                "commit": each.version,
                "depth": each.depth,
            }
            for i, each in enumerate(sources)
            if each.input is not None
        ],
        "phases": [
            {
                "name": phase.name,
                "commands": phase.commands,
                "finally": phase.finally_,
                "on_failure": phase.on_failure,
                "runtime_versions": dict(phase.runtime_versions),
            }
            for phase in specification.phases
        ],
        "artifacts": [
            {
                "key": key,
                "files": made.files,
                "base_directory": made.base_directory,
                "discard_paths": made.discard_paths,
                "exclude_paths": made.exclude_paths,
                "name": made.name,
                "zip": wanted.get("packaging") == "ZIP",
            }
            for key, wanted, made in _wanted(document, specification)
        ],
    }


def _wanted(document: Document, specification: Specification) -> list[tuple[str, Document, Any]]:
    """(our key, what the project wants, what the buildspec has) of each artifact that is stored."""
    found = []
    primary = document["_artifacts"]
    if primary["type"] == "S3" and specification.artifacts is not None:
        found.append((PRIMARY, primary, specification.artifacts))
    for number, each in enumerate(document["_secondaryArtifacts"]):
        made = specification.secondary_artifacts.get(each["artifactIdentifier"])
        if made is not None and each["type"] == "S3":
            found.append((f"secondary-{number}", each, made))
    return found


def environment(document: Document, specification: Specification, sources: list[Source]) -> dict[str, str]:
    """The build's own variables: CodeBuild's, over what the caller and the project say, over the buildspec's."""
    region = Arn.parse(document["arn"]).region
    given = {each["name"]: each["value"] for each in document["environment"].get("environmentVariables", [])}
    commit = next((source.version for source in sources if source.version and not source.identifier), "")
    own = {
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "CI": "true",
        "CODEBUILD_CI": "true",
        "CODEBUILD_BUILD_ARN": document["arn"],
        "CODEBUILD_BUILD_ID": document["id"],
        "CODEBUILD_BUILD_IMAGE": document["environment"]["image"],
        "CODEBUILD_BUILD_NUMBER": str(document["buildNumber"]),
        "CODEBUILD_BUILD_SUCCEEDING": "1",
        "CODEBUILD_INITIATOR": document["initiator"],
        "CODEBUILD_LOG_PATH": document["logs"].get("streamName", ""),
        "CODEBUILD_PROJECT_ARN": document["arn"].rpartition(":")[0].replace(":build/", ":project/"),
        "CODEBUILD_START_TIME": str(int(document["startTime"] * 1000)),
        "CODEBUILD_SRC_DIR": SOURCE,
        "CODEBUILD_SOURCE_REPO_URL": document["source"].get("location", ""),
        "CODEBUILD_SOURCE_VERSION": document.get("sourceVersion", "") or _default_version(document),
        "CODEBUILD_RESOLVED_SOURCE_VERSION": commit,
        "CODEBUILD_KMS_KEY_ID": document.get("encryptionKey", ""),
        "MODELWRIGHT_BUILD": ROOT,
    }
    for source in sources:
        if source.identifier:
            own[f"CODEBUILD_SRC_DIR_{source.identifier}"] = source.folder
    return {**specification.variables, **given, **own}


def _default_version(document: Document) -> str:
    source = document["source"]
    return f"arn:aws:s3:::{source['location']}" if source["type"] == "S3" else ""
