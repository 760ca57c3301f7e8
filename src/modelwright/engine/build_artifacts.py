"""What a build leaves in its folder -> objects, where the project wants them."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.engine.build_plan import PRIMARY
from modelwright.engine.outputs import Tree, upload_tree
from modelwright.objects.base import ObjectStore

Document = Mapping[str, Any]


def store_artifacts(objects: ObjectStore, document: Document, folder: Path, told: Document) -> dict[str, Any]:
    """Store them; what the build's document says of them. `told` is the container's, by key. Raises AwsError."""
    found: dict[str, Any] = {}
    wanted = [(PRIMARY, document["_artifacts"])]
    wanted += [(f"secondary-{i}", each) for i, each in enumerate(document["_secondaryArtifacts"])]
    secondary = []
    for key, each in wanted:
        about = told.get(key)
        if each["type"] != "S3" or not isinstance(about, dict):
            continue
        name = str(about.get("name") or "") if each.get("overrideArtifactName") else ""
        stored = _store(objects, document, each, name, Tree(folder, f"artifacts/{key}"))
        if key == PRIMARY:
            found["Artifacts"] = stored
        else:
            secondary.append({**stored, "artifactIdentifier": each["artifactIdentifier"]})
    return found | ({"SecondaryArtifacts": secondary} if secondary else {})


def place(document: Document, wanted: Document, name: str = "") -> tuple[str, str]:
    """(bucket, key) of an artifact: the archive's, or the folder's."""
    identity = document["id"].rpartition(":")[2] if wanted.get("namespaceType") == "BUILD_ID" else ""
    parts = [wanted.get("path", ""), identity, name or wanted.get("name") or document["projectName"]]
    key = "/".join(filter(None, (part.strip("/") for part in parts)))
    key = posixpath.normpath(key) if key else ""
    return wanted["location"].removeprefix("arn:aws:s3:::"), "" if key == "." else key.lstrip("/")


def _store(objects: ObjectStore, document: Document, wanted: Document, name: str, tree: Tree) -> dict[str, Any]:
    bucket, key = place(document, wanted, name)
    if wanted.get("packaging") != "ZIP":
        upload_tree(
            objects, Tree(tree.base, f"{tree.relative}/files"), f"s3://{bucket}/{key}/" if key else f"s3://{bucket}/"
        )
        return {"location": f"arn:aws:s3:::{bucket}/{key}"}
    folder = tree.path()
    if folder is None:
        return {"location": f"arn:aws:s3:::{bucket}/{key}"}
    descriptor = os.open(folder / "artifact.zip", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("artifact.zip is no plain file")
        sha, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        while block := file.read(1 << 20):
            sha.update(block)
            md5.update(block)
        objects.put_file(bucket, key, folder / "artifact.zip")
    return {"location": f"arn:aws:s3:::{bucket}/{key}", "sha256sum": sha.hexdigest(), "md5sum": md5.hexdigest()}
