"""The user's inference functions, and what stands in for those that are missing, by framework.

model_fn(model_dir), input_fn(body, content_type), predict_fn(data, model), output_fn(prediction, accept), or
transform_fn(model, body, content_type, accept) in place of the last three; each may take a `context` more.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import codecs
from .code import UserError

Function = Callable[..., Any]


class Handler:
    """A loaded model and its functions. `respond` is the whole way of a request."""

    def __init__(self, folder: Path | None, program: str | None, model_dir: Path, framework: str) -> None:
        """Import the user's module and load the model. Raises whatever the user's code raises, and UserError."""
        module = _module(folder, program)
        functions = {name: getattr(module, name, None) for name in ("input_fn", "predict_fn", "output_fn")}
        self._transform = getattr(module, "transform_fn", None)
        if self._transform is not None and any(functions.values()):
            raise UserError(
                "transform_fn takes the place of input_fn, predict_fn and output_fn: define one or the others"
            )
        defaults = Defaults(framework, model_dir)
        self._input: Function = functions["input_fn"] or defaults.input_fn
        self._predict: Function = functions["predict_fn"] or defaults.predict_fn
        self._output: Function = functions["output_fn"] or defaults.output_fn
        self._model = _call(getattr(module, "model_fn", None) or defaults.model_fn, [str(model_dir)], None)

    def respond(self, body: bytes, content_type: str, accept: str, context: Any) -> tuple[bytes, str]:
        """The response's body and content type."""
        data: str | bytes = body.decode() if content_type in codecs.TEXT_TYPES else body
        if self._transform is not None:
            result = _call(self._transform, [self._model, data, content_type, accept], context)
        else:
            decoded = _call(self._input, [data, content_type], context)
            prediction = _call(self._predict, [decoded, self._model], context)
            result = _call(self._output, [prediction, accept], context)
        kind = accept
        if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], str):
            result, kind = result
        if isinstance(result, str):
            result = result.encode()
        if not isinstance(result, bytes | bytearray | memoryview):
            result = codecs.encode(result, codecs.JSON)
        return bytes(result), kind


class Defaults:
    """The functions that AWS's image of a framework has when the user gives none."""

    def __init__(self, framework: str, model_dir: Path) -> None:
        self._framework = framework
        self._model_dir = model_dir

    def model_fn(self, model_dir: str) -> Any:
        """The model that the framework's own training leaves behind, where its form is known."""
        folder = Path(model_dir)
        if self._framework == "huggingface" and (folder / "config.json").is_file():
            from transformers import pipeline

            return pipeline(os.environ.get("HF_TASK") or None, model=model_dir)
        if self._framework == "pytorch" and (folder / "model.pt").is_file():
            import torch

            return torch.jit.load(str(folder / "model.pt"), map_location="cpu").eval()
        if self._framework == "xgboost" and (folder / "xgboost-model").is_file():
            return _booster(folder / "xgboost-model")
        if self._framework == "sklearn":
            for name in ("model.joblib", "model.pkl"):
                if (folder / name).is_file():
                    import joblib

                    return joblib.load(folder / name)
        files = ", ".join(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else "nothing"
        raise UserError(
            f"no model_fn: define one in the inference script. There is no model to load: {model_dir} has {files}"
        )

    def input_fn(self, body: str | bytes, content_type: str) -> Any:
        if self._framework == "huggingface" and content_type == codecs.JSON:
            import json

            return json.loads(body)
        if self._framework == "xgboost" and content_type in ("text/libsvm", "text/x-libsvm"):
            return _libsvm(body if isinstance(body, str) else body.decode())
        array = codecs.decode(body, content_type)
        if self._framework == "pytorch":
            import torch

            return torch.from_numpy(array.astype("float32") if array.dtype.kind in "fiu" else array)
        if content_type == codecs.CSV and array.ndim == 1 and self._framework in ("sklearn", "xgboost"):
            text = body if isinstance(body, str) else body.decode()
            rows = [line for line in text.splitlines() if line.strip()]
            return array.reshape(len(rows), -1)
        return array

    def predict_fn(self, data: Any, model: Any) -> Any:
        if self._framework == "huggingface":
            inputs = data.pop("inputs", data) if isinstance(data, dict) else data
            return model(inputs, **(data.get("parameters") or {} if isinstance(data, dict) else {}))
        if self._framework == "pytorch":
            import torch

            with torch.no_grad():
                return model(data)
        if self._framework == "xgboost" and type(model).__name__ == "Booster":
            import xgboost

            return model.predict(data if isinstance(data, xgboost.DMatrix) else xgboost.DMatrix(data))
        return model.predict(data)

    def output_fn(self, prediction: Any, accept: str) -> tuple[bytes, str]:
        return codecs.encode(prediction, accept), accept


def _module(folder: Path | None, program: str | None) -> Any:
    if folder is None or not folder.is_dir():
        if program:
            raise UserError(f"SAGEMAKER_PROGRAM is {program}, but there is no {folder}")
        return None
    name = program or "inference.py"
    if not (folder / name).is_file():
        if program:
            raise UserError(f"SAGEMAKER_PROGRAM: there is no {program} in {folder}")
        return None
    sys.path[:0] = [str(path) for path in (folder, folder / "lib") if path.is_dir()]
    return importlib.import_module(name.removesuffix(".py").replace("/", "."))


def _call(function: Function, arguments: list[Any], context: Any) -> Any:
    """Call with the context where the function takes one argument more."""
    try:
        count = len(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        count = len(arguments)
    return function(*arguments, context) if count == len(arguments) + 1 else function(*arguments)


def _booster(file: Path) -> Any:
    import xgboost

    try:
        booster = xgboost.Booster()
        booster.load_model(str(file))
        return booster
    except xgboost.core.XGBoostError:
        with file.open("rb") as stream:
            return pickle.load(stream)  # older training scripts pickle it, as AWS's own image does


def _libsvm(text: str) -> Any:
    """Rows of `[label] index:value ...`, dense."""
    import numpy

    rows = [dict(pair.split(":") for pair in line.split() if ":" in pair) for line in text.splitlines() if line.strip()]
    width = max((int(index) for row in rows for index in row), default=0) + 1
    table = numpy.full((len(rows), width), numpy.nan, dtype=numpy.float32)
    for number, row in enumerate(rows):
        for index, value in row.items():
            table[number, int(index)] = float(value)
    return table
