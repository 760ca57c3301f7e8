"""A model's data, from S3 into the folder that becomes /opt/ml/model.

An archive is somebody else's: a name that would leave the folder, a link out of it, a device or a file with special
permissions is refused with its name, and nothing of it is kept. Data of a model package is what was registered, by its
ETag, or it is refused too. Errors are AwsError.
"""

from __future__ import annotations

import posixpath
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.engine.inputs import restore, split_uri
from modelwright.errors import ValidationException
from modelwright.objects.base import ObjectStore
from modelwright.objects.tags import model_data_tag


def place_model(objects: ObjectStore, container: Mapping[str, Any], folder: Path) -> None:
    """Fill `folder` (it exists and is empty) with a container's model data, where it has any."""
    _check_tag(objects, container)
    _place(objects, container, folder)
    _check_tag(objects, container)  # it may have been overwritten meanwhile


def _check_tag(objects: ObjectStore, container: Mapping[str, Any]) -> None:
    registered = container.get("ModelDataETag")
    if registered is None:
        return
    found = model_data_tag(objects, container)
    if found != registered:
        uri = container.get("ModelDataUrl") or container["ModelDataSource"]["S3DataSource"]["S3Uri"]
        raise ValidationException(
            f"The model data {uri} is not what the model package was registered with: its ETag was {registered} and is "
            f"{found or 'gone'} now. Register it as a new version, and have that one approved."
        )


def _place(objects: ObjectStore, container: Mapping[str, Any], folder: Path) -> None:
    if "ModelDataUrl" in container:
        _unpack(objects, container["ModelDataUrl"], folder)
        return
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if source is None:
        return
    uri = source["S3Uri"]
    if source.get("CompressionType") == "Gzip":
        _unpack(objects, uri, folder)
    elif source.get("S3DataType") == "S3Object":
        bucket, key = split_uri(uri)
        (folder / posixpath.basename(key)).write_bytes(objects.read(bucket, key))
    elif restore(objects, uri, folder) == 0:
        raise ValidationException(f"There is no model data under {uri}.")


def _unpack(objects: ObjectStore, uri: str, folder: Path) -> None:
    bucket, key = split_uri(uri)
    path = objects.path(bucket, key)
    try:
        with tarfile.open(path, "r:*") as archive:
            for member in archive:
                _check_name(member.name, uri)
                try:
                    archive.extract(member, folder, filter="data")
                except tarfile.FilterError as error:
                    raise ValidationException(f"The model archive {uri} is not safe to unpack: {error}.") from error
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise ValidationException(f"The model archive {uri} can't be unpacked: {error}.") from error


def _check_name(name: str, uri: str) -> None:
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise ValidationException(
            f"The model archive {uri} is not safe to unpack: '{name}' would be written outside of /opt/ml/model."
        )
