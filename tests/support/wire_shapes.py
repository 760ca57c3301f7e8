"""Values from botocore's shapes for the wire's tests: Hypothesis strategies, one minimal example, and what is equal."""

from __future__ import annotations

import datetime
import math
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape
from hypothesis import strategies as st

PLAIN = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","), min_size=1, max_size=12)
UNICODE = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
XML = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs", "Cc", "Cn"], max_codepoint=0xD7FF), st.sampled_from("\r\n\t<>&'\"")
    ),
    max_size=12,
)
BARE = ("uri", "querystring", "header", "headers")


def values(shape: Shape, protocol: str, depth: int = 3, *, output: bool = False) -> st.SearchStrategy[Any]:
    """Values of a shape as they are inside Modelwright, that the protocol can carry."""
    location = shape.serialization.get("location")
    match shape:
        case StructureShape():
            if getattr(shape, "is_document_type", False):
                return st.dictionaries(st.text("abc", min_size=1), st.integers(0, 9), max_size=2)
            return structures(shape, protocol, depth, output=output)
        case ListShape():
            items = values(_located(shape.member, location), protocol, depth - 1, output=output)
            return st.lists(items, min_size=_smallest(protocol, location), max_size=2)
        case MapShape():
            keys = (
                st.text("abcdefgh-", min_size=1, max_size=6)
                if location
                else _strings(shape.key, protocol, location, output=output)
            )
            items = values(_located(shape.value, location), protocol, depth - 1, output=output)
            return st.dictionaries(keys, items, min_size=_smallest(protocol, location), max_size=2)
    match shape.type_name:
        case "boolean":
            return st.booleans()
        case "integer" if location == "statusCode":
            return st.integers(200, 299)
        case "integer":
            return st.integers(-(2**31), 2**31 - 1)
        case "long":
            return st.integers(-(2**53), 2**53)
        case "float" | "double":
            return st.floats(allow_nan=False, allow_infinity=not output, width=32)  # botocore reads "Infinity" as text
        case "timestamp":
            return _times(shape, protocol, location, output=output)
        case "blob":
            return st.binary(max_size=12)
        case _:
            return _strings(shape, protocol, location, output=output)


class _Located:
    """A list's item, which travels where the list does."""

    def __new__(cls, shape: Shape, location: str) -> Shape:
        copy = type(shape)(shape.name, shape._shape_model, shape._shape_resolver)
        copy.serialization["location"] = location
        return copy


def _located(shape: Shape, location: str | None) -> Shape:
    return _Located(shape, location) if location else shape


def _smallest(protocol: str, location: str | None) -> int:
    """Nothing and an empty list look the same in forms, XML and headers."""
    return 0 if protocol in ("json", "rest-json", "smithy-rpc-v2-cbor") and location is None else 1


def structures(
    shape: StructureShape, protocol: str, depth: int = 3, *, output: bool = False
) -> st.SearchStrategy[dict[str, Any]]:
    """Some of a structure's members: what must be in the path always, others as luck has it."""

    def choose(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(
            {name: values(shape.members[name], protocol, depth - 1, output=output) for name in names}
        )

    members = {name: member for name, member in shape.members.items() if not _streams(member)}
    always = [
        name
        for name, member in members.items()
        if member.serialization.get("location") == "uri"
        or member.serialization.get("hostLabel")
        or (
            name in shape.required_members
            and (member.serialization.get("location") == "querystring" or name == "CopySource")
        )
    ]
    others = [
        name
        for name, member in members.items()
        if name not in always and (depth > 0 or not isinstance(member, StructureShape | ListShape | MapShape))
    ]
    if getattr(shape, "is_tagged_union", False):
        others = others or [name for name in members if name not in always]
    if not others:
        return choose(always)
    picked = st.lists(st.sampled_from(others), unique=True, max_size=4, min_size=min(1, len(others)))
    if getattr(shape, "is_tagged_union", False):
        picked = st.lists(st.sampled_from(others), min_size=1, max_size=1)
    return picked.flatmap(lambda names: choose([*always, *names]))


def _streams(shape: Shape) -> bool:
    return bool(
        shape.serialization.get("streaming")
        or shape.serialization.get("eventstream")
        or getattr(shape, "is_event_stream", False)
    )


def _strings(shape: Shape, protocol: str, location: str | None, *, output: bool) -> st.SearchStrategy[Any]:
    if shape.metadata.get("enum"):
        return st.sampled_from(shape.metadata["enum"])
    if shape.serialization.get("jsonvalue"):
        return st.dictionaries(st.text("ab", min_size=1), st.integers(0, 9))
    if shape.serialization.get("hostLabel"):
        return st.text("abc123-", min_size=1, max_size=6)
    if location in BARE:
        return PLAIN
    if protocol in ("query", "rest-xml"):
        return XML if output else XML.map(lambda text: text.replace("\r", ""))  # which botocore writes bare
    return UNICODE


def _times(shape: Shape, protocol: str, location: str | None, *, output: bool) -> st.SearchStrategy[float]:
    form = shape.serialization.get("timestampFormat", "").lower()
    whole = form == "rfc822" or (location == "header" and not form)
    if whole:
        return st.integers(0, 4_000_000_000).map(float)
    return st.integers(0, 4_000_000_000_000).map(lambda milliseconds: milliseconds / 1000)


def minimal(shape: Shape | None, depth: int = 4) -> Any:
    """The smallest value that says something: every required member, and what the path needs."""
    match shape:
        case None:
            return {}
        case StructureShape():
            if getattr(shape, "is_tagged_union", False):
                names = list(shape.members)[:1]
            else:
                names = list(shape.required_members)
            names += [name for name, member in shape.members.items() if member.serialization.get("location") == "uri"]
            return {name: minimal(shape.members[name], depth - 1) for name in dict.fromkeys(names)} if depth else {}
        case ListShape():
            return [minimal(shape.member, depth - 1)]
        case MapShape():
            return {"key": minimal(shape.value, depth - 1)}
    match shape.type_name:
        case "boolean":
            return True
        case "integer" | "long":
            return max(1, shape.metadata.get("min", 1))
        case "float" | "double":
            return 0.5
        case "timestamp":
            return 1_700_000_000.0
        case "blob":
            return b"blob"
    if shape.metadata.get("enum"):
        return shape.metadata["enum"][0]
    return "a" * max(8, shape.metadata.get("min", 0))


def for_botocore(shape: Shape | None, value: Any) -> Any:
    """The same value as a caller of boto3 writes it: times are datetimes."""
    match shape:
        case StructureShape() if not getattr(shape, "is_document_type", False):
            return {name: for_botocore(shape.members[name], item) for name, item in value.items()}
        case ListShape():
            return [for_botocore(shape.member, item) for item in value]
        case MapShape():
            return {key: for_botocore(shape.value, item) for key, item in value.items()}
    if shape is not None and shape.type_name == "timestamp":
        seconds, fraction = divmod(round(value * 1000), 1000)
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC).replace(microsecond=fraction * 1000)
    return value


def from_botocore(shape: Shape | None, value: Any) -> Any:
    """What botocore's parser gives, as it is inside Modelwright."""
    match shape:
        case StructureShape() if not getattr(shape, "is_document_type", False):
            return {
                name: from_botocore(shape.members[name], item) for name, item in value.items() if name in shape.members
            }
        case ListShape():
            return [from_botocore(shape.member, item) for item in value]
        case MapShape():
            return {key: from_botocore(shape.value, item) for key, item in value.items()}
    if isinstance(value, datetime.datetime):
        return round(value.timestamp(), 3)
    return value


def same(one: Any, other: Any, *, exact: bool) -> bool:
    """Whether two values are equal; without `exact`, what is empty counts as absent."""
    if not exact:
        one, other = _without_empty(one), _without_empty(other)
    return _same(one, other)


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        cleaned = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in cleaned.items() if item not in ({}, [], "", None, b"")}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=0.0006) or one == other
    return type(one) is type(other) and one == other


def input_of(operation: OperationModel, protocol: str) -> st.SearchStrategy[dict[str, Any]]:
    return structures(operation.input_shape, protocol) if operation.input_shape is not None else st.just({})


def output_of(operation: OperationModel, protocol: str) -> st.SearchStrategy[dict[str, Any]]:
    return (
        structures(operation.output_shape, protocol, output=True) if operation.output_shape is not None else st.just({})
    )
