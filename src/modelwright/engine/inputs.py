"""A job's inputs: S3 URIs -> mounts. Nothing is copied, and nothing that the job does reaches the stored object.

What an S3 prefix means is AWS's: an exact key is that one file, under its own name; else the prefix is a folder whose
content appears at the target, with or without the slash at its end; else it is the beginning of names.
Errors are AwsError; they become the job's ClientError.
"""

from __future__ import annotations

import json
import os
import posixpath
import shutil
from pathlib import Path
from urllib.parse import quote, urlsplit

from modelwright.engine.opt_ml import Input
from modelwright.errors import AwsError, ValidationException
from modelwright.objects.base import ObjectStore
from modelwright.runtimes.base import Mount


def split_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of `s3://bucket/key`. Raises ValidationException."""
    if not uri.startswith("s3://") or not urlsplit(uri).netloc:
        raise ValidationException(f"'{uri}' is not an S3 URI: it must be s3://bucket/key.")
    bucket, _, key = uri[len("s3://") :].partition("/")
    return bucket, key


def mount_input(objects: ObjectStore, wanted: Input, scratch: Path) -> Mount:
    """The mount of one input. `scratch` is a folder of the job's for what has to be put together.

    Raises AwsError when there is nothing.
    """
    if wanted.manifest:
        return Mount(_from_manifest(objects, wanted, scratch), wanted.target, "cow")
    return Mount(find_view(objects, wanted.uri), wanted.target, "cow")


def find_view(objects: ObjectStore, uri: str) -> Path:
    """The folder of what an S3 prefix means. Raises AwsError."""
    bucket, key = split_uri(uri)
    if key and not key.endswith("/"):
        if next(iter(objects.list(bucket, f"{key}/")), None) is not None:
            return objects.view(bucket, f"{key}/")
        if _exists(objects, bucket, key):
            return objects.view(bucket, key)
    try:
        return objects.view(bucket, key)
    except AwsError as error:
        if error.code != "NoSuchKey":
            raise
        raise ValidationException(
            f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket '
            "exists and that objects exist under that S3 prefix."
        ) from error


def restore(objects: ObjectStore, uri: str, folder: Path) -> int:
    """Copy what is stored under a prefix into a folder that the job owns; how many files. A missing bucket is none."""
    bucket, prefix = split_uri(uri)
    count = 0
    for info in objects.list(bucket, prefix):
        relative = _inside(info.key[len(prefix) :], uri)
        if relative is None:
            continue  # a folder's marker
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(objects.path(bucket, info.key), target)
        count += 1
    return count


def _exists(objects: ObjectStore, bucket: str, key: str) -> bool:
    try:
        objects.head(bucket, key)
    except AwsError as error:
        if error.code in ("NoSuchKey", "404"):
            return False
        raise
    return True


def _from_manifest(objects: ObjectStore, wanted: Input, scratch: Path) -> Path:
    """A folder of links to the objects that a manifest lists: `[{"prefix": "s3://..."}, "a", "b/c"]`."""
    bucket, key = split_uri(wanted.uri)
    try:
        prefix, *names = json.loads(objects.read(bucket, key))
        base = prefix["prefix"]
        if not isinstance(base, str) or not all(isinstance(name, str) for name in names):
            raise TypeError
    except (ValueError, TypeError, KeyError) as error:
        raise ValidationException(
            f'The manifest {wanted.uri} must be a JSON list: {{"prefix": "s3://bucket/path/"}}, then names as text.'
        ) from error
    folder = scratch / "manifests" / quote(wanted.name, safe="").replace(".", "%2E")
    for name in names:
        relative = _inside(name, wanted.uri)
        if relative is None:
            continue
        target = folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _link(objects.path(*split_uri(base + name)), target)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # mounted copy-on-write: the job can't write through it
    except OSError:
        shutil.copyfile(source, target)


def _inside(name: str, source: str) -> str | None:
    """A relative path that stays inside; None for a folder. Raises ValidationException."""
    relative = name.lstrip("/")
    if not relative or relative.endswith("/"):
        return None
    if posixpath.normpath(relative) != relative or relative.startswith("../") or "\0" in relative:
        raise ValidationException(f"'{name}' (from {source}) can't be a file's path in a folder.")
    return relative
