"""Tags of a stack's resources, brought from what they were to what they are to be, each service by its own calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelwright.errors import AwsError

Act = Callable[[str, str, Mapping[str, Any]], dict[str, Any]]
Tags = Mapping[str, str]


def tags_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """By key; values are texts."""
    return {str(tag["Key"]): str(tag.get("Value", "")) for tag in properties.get("Tags", [])}


def retag(service: str, act: Act, where: str, old: Tags, new: Tags) -> None:
    """`where` is what the service calls the resource: an ARN, or a name. Tags that others have put there stay."""
    gone = sorted(set(old) - set(new))
    changed = {key: value for key, value in new.items() if old.get(key) != value}
    if service == "s3":
        _retag_bucket(act, where, gone, changed)
        return
    put, remove = _CALLS[service]
    if gone:
        operation, parameters = remove(where, gone)
        try:
            act(service, operation, parameters)
        except AwsError as error:
            if "failed to satisfy constraint" not in error.message:  # else what can't be a key is none
                raise
    if changed:
        operation, parameters = put(where, changed)
        act(service, operation, parameters)


def _retag_bucket(act: Act, bucket: str, gone: Sequence[str], changed: Tags) -> None:
    """S3 knows only all of them at once."""
    if not gone and not changed:
        return
    try:
        there = act("s3", "GetBucketTagging", {"Bucket": bucket})["TagSet"]
    except AwsError as error:
        if error.code != "NoSuchTagSet":
            raise
        there = []
    tags = {tag["Key"]: tag["Value"] for tag in there if tag["Key"] not in gone} | dict(changed)
    if tags:
        act("s3", "PutBucketTagging", {"Bucket": bucket, "Tagging": {"TagSet": as_list(tags)}})
    else:
        act("s3", "DeleteBucketTagging", {"Bucket": bucket})


def as_list(tags: Tags, *, lower: bool = False) -> list[dict[str, str]]:
    """As most services want them."""
    key, value = ("key", "value") if lower else ("Key", "Value")
    return [{key: name, value: text} for name, text in tags.items()]


_Put = Callable[[str, Tags], tuple[str, dict[str, Any]]]
_Remove = Callable[[str, Sequence[str]], tuple[str, dict[str, Any]]]

_CALLS: Mapping[str, tuple[_Put, _Remove]] = {
    "sagemaker": (
        lambda where, tags: ("AddTags", {"ResourceArn": where, "Tags": as_list(tags)}),
        lambda where, keys: ("DeleteTags", {"ResourceArn": where, "TagKeys": list(keys)}),
    ),
    "iam": (
        lambda where, tags: ("TagRole", {"RoleName": where, "Tags": as_list(tags)}),
        lambda where, keys: ("UntagRole", {"RoleName": where, "TagKeys": list(keys)}),
    ),
    "codecommit": (
        lambda where, tags: ("TagResource", {"resourceArn": where, "tags": dict(tags)}),
        lambda where, keys: ("UntagResource", {"resourceArn": where, "tagKeys": list(keys)}),
    ),
    "codepipeline": (
        lambda where, tags: ("TagResource", {"resourceArn": where, "tags": as_list(tags, lower=True)}),
        lambda where, keys: ("UntagResource", {"resourceArn": where, "tagKeys": list(keys)}),
    ),
    "events": (
        lambda where, tags: ("TagResource", {"ResourceARN": where, "Tags": as_list(tags)}),
        lambda where, keys: ("UntagResource", {"ResourceARN": where, "TagKeys": list(keys)}),
    ),
    "logs": (
        lambda where, tags: ("TagLogGroup", {"logGroupName": where, "tags": dict(tags)}),
        lambda where, keys: ("UntagLogGroup", {"logGroupName": where, "tags": list(keys)}),
    ),
}
