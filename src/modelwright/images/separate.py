"""The image builder as a process of its own: an order comes as a line of JSON, what goes on and the record go out so.

Whoever started it can kill it with all that it runs; it ends by itself when its standard input does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelwright.config import Settings
from modelwright.errors import ModelwrightError
from modelwright.images.library import LocalImages
from modelwright.images.store import Record


def main() -> None:
    order = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        _tell(record=asdict(_build(order)))
    except ModelwrightError as error:
        _tell(error=str(error))
    except Exception as error:  # a context that can't be read, a disk that is full: one line, as of any builder
        _tell(error=f"the image builder failed: {type(error).__name__}: {error}")


def _build(order: dict[str, Any]) -> Record:
    settings = Settings(**{**order["settings"], "home": Path(order["settings"]["home"])})
    return LocalImages(settings).make(
        Path(order["folder"]),
        lambda line: _tell(line=line),
        dockerfile=Path(order["dockerfile"]),
        arguments=order["arguments"],
        target=order["target"],
        fresh=order["fresh"],
        names={name: Record(**{**each, "notes": tuple(each["notes"])}) for name, each in order["names"].items()},
    )


def _tell(**message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_input() -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
