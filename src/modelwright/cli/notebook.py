"""Run a notebook and show what its cells print, as they print it.

Stand-alone: it runs in the user's Python, which has nbclient and ipykernel but not Modelwright.
`python notebook.py IN.ipynb OUT.ipynb`: the executed notebook is written also when a cell fails. Exit status: 1 when a
cell fails, 2 when it can't be run at all, 130 when it was interrupted.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any


def main(source: str, target: str) -> int:
    try:
        import ipykernel  # noqa: F401  # the kernel needs it; nbclient would tell late, and with a traceback
        import nbformat
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError
    except ImportError as error:
        return refuse(
            f"{sys.executable} has no {error.name}. Install it there (pip install nbclient ipykernel), "
            "or name another Python: modelwright run --python PATH ..."
        )

    class Client(NotebookClient):  # type: ignore[misc]  # untyped library
        def create_kernel_manager(self) -> Any:
            # The kernel is the Python that runs this, whatever the notebook's metadata or the user's own kernels name.
            specifications = KernelSpecManager(kernel_dirs=[])
            self.km = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=specifications)
            return self.km

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

    try:
        notebook = nbformat.read(source, as_version=4)
    except Exception as error:  # the library's own kinds are many: not JSON, not a notebook, not readable
        return refuse(f"{source} is no notebook that can be read: {' '.join(str(error).split())[:200]}")
    try:
        nbformat.write(notebook, target)  # better told now than after an hour
    except OSError as error:
        return refuse(f"{target} can't be written: {error.strerror}. Name another file: --output FILE")
    interrupts = Interrupts()
    client: Any = Client(
        notebook,
        timeout=None,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        on_notebook_start=lambda **_: interrupts.handle(client),
        resources={"metadata": {"path": str(Path(source).resolve().parent)}},
    )
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError) as error:
        if interrupts.number:
            sys.stderr.write(f"modelwright: interrupted; what was done so far is in {target}\n")
            return 128 + interrupts.number
        is_dead = isinstance(error, DeadKernelError)
        sys.stderr.write("modelwright: the notebook's kernel died (out of memory?)\n" if is_dead else f"{error}\n")
        return 1
    except KeyboardInterrupt:  # before the kernel was there
        return 130
    finally:
        nbformat.write(notebook, target)
    return 0


class Interrupts:
    """Ctrl-C interrupts the running cell, as it would in Jupyter; a second one ends the kernel.

    nbclient's own handlers take the kernel's sockets away under its feet.
    """

    def __init__(self) -> None:
        self.number = 0

    def handle(self, client: Any) -> None:
        """To be called in the client's event loop when the kernel is there."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._interrupt, client, number)

    def _interrupt(self, client: Any, number: int) -> None:
        again, self.number = bool(self.number), number
        end = client.km.shutdown_kernel(now=True) if again else client.km.interrupt_kernel()
        self._ending = asyncio.ensure_future(end)  # kept: the loop itself holds a task only weakly


def refuse(text: str) -> int:
    sys.stderr.write(f"modelwright: {text}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
