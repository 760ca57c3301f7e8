"""Scalars as text: what headers, query strings, forms and XML carry, read by their shape.

Rule: text that is none of the shape's type stays text, for `validation` to name.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

from botocore.model import Shape

from modelwright.protocol import timestamps


def read(shape: Shape, text: str) -> Any:
    """The value that `text` means for a scalar shape."""
    convert = _READERS.get(shape.type_name)
    return text if convert is None else convert(text)


def time(value: Any) -> Any:
    seconds = timestamps.read(value) if isinstance(value, str) else None
    return value if seconds is None else seconds


def blob(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode("".join(value.split()), validate=True)
    except (binascii.Error, ValueError):
        return value


def _integer(value: str) -> Any:
    try:
        return int(value) if len(value) <= 32 else value
    except ValueError:
        return value


def _float(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def _boolean(value: str) -> Any:
    return {"true": True, "false": False, "1": True, "0": False}.get(value.lower(), value)


_READERS: dict[str, Callable[[str], Any]] = {
    "timestamp": time,
    "blob": blob,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "boolean": _boolean,
}
