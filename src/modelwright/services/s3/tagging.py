"""The tags of objects."""

from __future__ import annotations

from typing import Any

from modelwright.objects.directory import DirectoryStore
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.s3.parameters import begin, check_tags


class Tagging:
    """Get, put and delete an object's tags; its LastModified stays."""

    def __init__(self, store: DirectoryStore) -> None:
        self._store = store

    @operation("GetObjectTagging", quick=True)
    def get_object_tagging(self, context: Context, parameters: dict[str, Any]) -> Document:
        info = self._store.head(begin(context, "GetObjectTagging", parameters), parameters["Key"])
        return {"TagSet": [{"Key": key, "Value": value} for key, value in info.tags.items()]}

    @operation("PutObjectTagging")
    def put_object_tagging(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises InvalidTag, BadRequest."""
        bucket = begin(context, "PutObjectTagging", parameters)
        tags = check_tags(parameters["Tagging"]["TagSet"], limit=10)
        self._store.tag(bucket, parameters["Key"], tags)
        return {}

    @operation("DeleteObjectTagging")
    def delete_object_tagging(self, context: Context, parameters: dict[str, Any]) -> Document:
        self._store.tag(begin(context, "DeleteObjectTagging", parameters), parameters["Key"], {})
        return {}
