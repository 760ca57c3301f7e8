"""JSON values by their shapes, both ways: functions made once a shape, as this is the hot path.

`Reader` turns what `json.loads` gave into parameters, `Writer` a result into what `json.dumps` takes; `CborReader` and
`CborWriter` do it for CBOR, whose blobs and times have types of their own. A function is None where the value stays
as it is.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from modelwright.protocol import cbor, text, timestamps

Convert = Callable[[Any], Any]


def is_document(shape: Shape) -> bool:
    """Whether the shape is a free JSON document, whose content is nobody's model."""
    return bool(getattr(shape, "is_document_type", False))


class _Compiler:
    """Makes the functions of one service's shapes; a recursive shape finds its own while it is being made."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str | None], Convert | None] = {}

    def shape(self, shape: Shape) -> Convert | None:
        key = (shape.name, shape.serialization.get("timestampFormat"))
        if key not in self._made:
            self._made[key] = self._later(key)
            self._made[key] = self._make(shape)
        return self._made[key]

    def _later(self, key: tuple[str, str | None]) -> Convert:
        def convert(value: Any) -> Any:
            found = self._made[key]
            return value if found is None else found(value)

        return convert

    def _make(self, shape: Shape) -> Convert | None:
        match shape:
            case StructureShape():
                return None if is_document(shape) else self._structure(shape)
            case ListShape():
                return self._list(self.shape(shape.member))
            case MapShape():
                return self._map(self.shape(shape.value))
            case _:
                return self._scalar(shape)

    def structure(self, shape: StructureShape) -> Convert:
        """The function for a structure that is no document."""
        key = (shape.name, shape.serialization.get("timestampFormat"))
        made = self._made.get(key) or self.shape(shape)
        assert made is not None
        return made

    def _structure(self, shape: StructureShape) -> Convert:
        raise NotImplementedError

    def _list(self, item: Convert | None) -> Convert | None:
        raise NotImplementedError

    def _map(self, item: Convert | None) -> Convert | None:
        raise NotImplementedError

    def _scalar(self, shape: Shape) -> Convert | None:
        raise NotImplementedError


class Reader(_Compiler):
    """JSON -> parameters. Names become the model's, null members are dropped, wrong types stay as they are."""

    def _structure(self, shape: StructureShape) -> Convert:
        members = {
            member.serialization.get("name", name): (name, self.shape(member)) for name, member in shape.members.items()
        }
        unknown = ("", None)

        def convert(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            result = {}
            for key, item in value.items():
                if item is not None:
                    name, inner = members.get(key, unknown)
                    result[name or key] = item if inner is None else inner(item)
            return result

        return convert

    def _list(self, item: Convert | None) -> Convert | None:
        if item is None:
            return None

        def convert(value: Any) -> Any:
            return [None if one is None else item(one) for one in value] if isinstance(value, list) else value

        return convert

    def _map(self, item: Convert | None) -> Convert | None:
        if item is None:
            return None

        def convert(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            return {key: None if one is None else item(one) for key, one in value.items()}

        return convert

    def _scalar(self, shape: Shape) -> Convert | None:
        return {"timestamp": _read_time, "blob": text.blob, "float": _read_float, "double": _read_float}.get(
            shape.type_name
        )


def _read_time(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return text.time(value)


def _read_float(value: Any) -> Any:
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


class CborReader(Reader):
    """CBOR -> parameters: blobs are bytes already."""

    def _scalar(self, shape: Shape) -> Convert | None:
        return _read_time if shape.type_name == "timestamp" else None


class Writer(_Compiler):
    """A result -> JSON. Members that the model doesn't have, or that travel in headers, are left out."""

    def _structure(self, shape: StructureShape) -> Convert:
        members = {
            name: (member.serialization.get("name", name), self.shape(member))
            for name, member in shape.members.items()
            if "location" not in member.serialization
        }

        def convert(value: Mapping[str, Any]) -> dict[str, Any]:
            result = {}
            for name, item in value.items():
                if item is not None and name in members:
                    key, inner = members[name]
                    result[key] = item if inner is None else inner(item)
            return result

        return convert

    def _list(self, item: Convert | None) -> Convert | None:
        return list if item is None else lambda value: [item(one) for one in value]

    def _map(self, item: Convert | None) -> Convert | None:
        return dict if item is None else lambda value: {key: item(one) for key, one in value.items()}

    def _scalar(self, shape: Shape) -> Convert | None:
        match shape.type_name:
            case "timestamp":
                form = shape.serialization.get("timestampFormat", "unixTimestamp").lower()
                return timestamps.unix if form == "unixtimestamp" else lambda value: timestamps.write(value, form)
            case "blob":
                return lambda value: base64.b64encode(value).decode()
            case "float" | "double":
                return _write_float
            case _:
                return None


def _write_float(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


class CborWriter(Writer):
    """A result -> CBOR."""

    def _scalar(self, shape: Shape) -> Convert | None:
        return {"timestamp": cbor.Time, "float": float, "double": float}.get(shape.type_name)


@cache
def reader(service: str) -> Reader:
    return Reader()


@cache
def cbor_reader(service: str) -> CborReader:
    return CborReader()


@cache
def writer(service: str) -> Writer:
    return Writer()


@cache
def cbor_writer(service: str) -> CborWriter:
    return CborWriter()
