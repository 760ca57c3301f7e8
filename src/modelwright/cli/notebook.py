"""Run a notebook and show what its cells print, as they print it.

Stand-alone: it runs in the user's Python, which has nbclient and ipykernel but not Modelwright.
`python notebook.py IN.ipynb OUT.ipynb`: the executed notebook is written also when a cell fails.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def main(source: str, target: str) -> int:
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ImportError as error:
        sys.stderr.write(f"modelwright: {sys.executable} has no {error.name}. pip install nbclient ipykernel\n")
        return 2

    class Client(NotebookClient):  # type: ignore[misc]  # untyped library
        def output(self, outs: list[Any], message: dict[str, Any], display_id: str, cell_index: int) -> Any:
            content = message["content"]
            if message["msg_type"] == "stream":
                stream = sys.stderr if content["name"] == "stderr" else sys.stdout
                stream.write(content["text"])
                stream.flush()
            elif message["msg_type"] in ("execute_result", "display_data"):
                sys.stdout.write(content["data"].get("text/plain", "") + "\n")
                sys.stdout.flush()
            return super().output(outs, message, display_id, cell_index)

    notebook = nbformat.read(source, as_version=4)
    # The kernel is the Python that runs this, whatever the notebook's own metadata names.
    client = Client(
        notebook,
        timeout=None,
        kernel_name="python3",
        resources={"metadata": {"path": str(Path(source).resolve().parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    finally:
        nbformat.write(notebook, target)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
