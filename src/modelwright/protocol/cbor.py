"""CBOR (RFC 8949) as far as AWS's rpc-v2-cbor uses it: `loads` and `dumps`.

Times are tag 1 (epoch seconds): `loads` gives the number, `dumps` writes `Time(seconds)`. Floats are doubles.
"""

from __future__ import annotations

import math
import struct
from typing import Any

_LIMIT = 200
"""Deepest nesting that is read."""


class Time(float):
    """Epoch seconds that are to be written as a time."""


def loads(data: bytes) -> Any:
    """The one value that `data` holds. Raises ValueError when it is not CBOR, or not all of it."""
    reader = _Reader(data)
    try:
        value = reader.item(0)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, OverflowError) as error:
        raise ValueError(f"broken at byte {reader.position}: {error}") from None
    if reader.position != len(data):
        raise ValueError(f"{len(data) - reader.position} bytes too many")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def item(self, depth: int) -> Any:
        if depth > _LIMIT:
            raise ValueError("nested too deeply")
        initial = self.data[self.position]
        self.position += 1
        major, info = initial >> 5, initial & 31
        if major == 7:
            return self._simple(info)
        size = None if info == 31 else self._number(info)
        match major:
            case 0:
                return self._definite(size)
            case 1:
                return -1 - self._definite(size)
            case 2:
                return self._bytes(size) if size is not None else b"".join(self._chunks(depth))
            case 3:
                return self._bytes(size).decode() if size is not None else "".join(self._chunks(depth))
            case 4:
                return list(self._items(size, depth))
            case 5:
                return {self.item(depth + 1): self.item(depth + 1) for _ in self._turns(size)}
            case _:
                self._definite(size)  # a tag says how to understand what follows: times are numbers here anyway
                return self.item(depth + 1)

    def _number(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise ValueError("reserved length")
        width = 1 << (info - 24)
        return int.from_bytes(self._bytes(width), "big")

    @staticmethod
    def _definite(size: int | None) -> int:
        if size is None:
            raise ValueError("indefinite number")
        return size

    def _bytes(self, size: int) -> bytes:
        part = self.data[self.position : self.position + size]
        if len(part) != size:
            raise ValueError("cut off")
        self.position += size
        return part

    def _turns(self, size: int | None) -> Any:
        """As many turns as the container has items, or until the break byte."""
        if size is not None:
            yield from range(size)
            return
        while self.data[self.position] != 0xFF:
            yield None
        self.position += 1

    def _items(self, size: int | None, depth: int) -> Any:
        return (self.item(depth + 1) for _ in self._turns(size))

    def _chunks(self, depth: int) -> Any:
        return self._items(None, depth)

    def _simple(self, info: int) -> Any:
        match info:
            case 20:
                return False
            case 21:
                return True
            case 22 | 23:
                return None
            case 25:
                return struct.unpack(">e", self._bytes(2))[0]
            case 26:
                return struct.unpack(">f", self._bytes(4))[0]
            case 27:
                return struct.unpack(">d", self._bytes(8))[0]
        raise ValueError(f"simple value {info}")


def dumps(value: Any) -> bytes:
    """`value` of dicts, lists, strings, bytes, numbers, booleans, None and Time as CBOR."""
    out = bytearray()
    _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: Any) -> None:
    match value:
        case None:
            out.append(0xF6)
        case bool():
            out.append(0xF5 if value else 0xF4)
        case Time():
            out.append(0xC1)
            _write_float(out, float(value))
        case int():
            _write_head(out, 0, value) if value >= 0 else _write_head(out, 1, -1 - value)
        case float():
            _write_float(out, value)
        case str():
            data = value.encode("utf-8", "replace")
            _write_head(out, 3, len(data))
            out += data
        case bytes() | bytearray() | memoryview():
            _write_head(out, 2, len(value))
            out += value
        case list() | tuple():
            _write_head(out, 4, len(value))
            for item in value:
                _write(out, item)
        case dict():
            _write_head(out, 5, len(value))
            for key, item in value.items():
                _write(out, key)
                _write(out, item)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in CBOR")


def _write_float(out: bytearray, value: float) -> None:
    out.append(0xFB)
    out += struct.pack(">d", math.nan if math.isnan(value) else value)


def _write_head(out: bytearray, major: int, number: int) -> None:
    if number < 24:
        out.append(major << 5 | number)
        return
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * width):
            out.append(major << 5 | info)
            out += number.to_bytes(width, "big")
            return
    raise OverflowError(f"{number} is too big for CBOR")
