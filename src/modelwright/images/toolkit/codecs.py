"""Request bodies to numpy arrays and predictions to response bodies, for the three types that AWS's toolkits know."""

from __future__ import annotations

import io
import json
from typing import Any

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
TEXT_TYPES = (JSON, CSV)


class UnsupportedFormat(Exception):
    """A content type or an accept that there is no code for. `status`: 415 or 406."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def decode(body: str | bytes, content_type: str) -> Any:
    """A numpy array. Raises UnsupportedFormat, and ValueError when the body is not of its type."""
    import numpy  # a model with functions of its own may do without

    if content_type == JSON:
        return numpy.array(json.loads(body))
    if content_type == CSV:
        text = body.decode() if isinstance(body, bytes) else body
        table = numpy.genfromtxt(io.StringIO(text), delimiter=",", dtype=numpy.float32, ndmin=1)
        if numpy.isnan(table).any() and "nan" not in text.lower():
            raise ValueError("the CSV has something in it that is not a number")
        return table
    if content_type == NPY:
        return numpy.load(io.BytesIO(body if isinstance(body, bytes) else body.encode()), allow_pickle=False)
    raise UnsupportedFormat(f"content type {content_type}: this model has no input_fn, so it takes {_known()}", 415)


def encode(prediction: Any, accept: str) -> bytes:
    """The body. Raises UnsupportedFormat."""
    if accept == JSON:
        return json.dumps(_plain(prediction)).encode()
    if accept not in (CSV, NPY):
        raise UnsupportedFormat(f"accept {accept}: this model has no output_fn, so it answers {_known()}", 406)
    import numpy

    array = numpy.asarray(prediction.detach().cpu().numpy() if hasattr(prediction, "detach") else prediction)
    stream = io.BytesIO()
    if accept == NPY:
        numpy.save(stream, array, allow_pickle=False)
    else:
        rows = array.reshape(-1, 1) if array.ndim <= 1 else array.reshape(len(array), -1)
        numpy.savetxt(stream, rows, delimiter=",", fmt="%s")
    return stream.getvalue()


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _known() -> str:
    return ", ".join((JSON, CSV, NPY))
