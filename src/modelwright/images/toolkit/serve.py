"""`serve`: the inference host of a framework image, /ping and /invocations on port 8080.

Loads the user's SAGEMAKER_PROGRAM and the model, then listens: an answer to /ping means that the model is there.
A process handles one request at a time, as in AWS's images, so the user's code need not be thread-safe; connections
wait in threads. SAGEMAKER_MODEL_SERVER_WORKERS asks for more processes, each with its own model (default 1).
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .code import BASE, CODE, UserError, fetch, install_requirements
from .codecs import JSON, UnsupportedFormat
from .handlers import Handler

MODEL = BASE / "model"
DEFAULT_PORT = 8080
LARGEST_BODY = int(os.environ.get("MODELWRIGHT_LARGEST_REQUEST") or 1 << 30)


def main() -> int:
    """Serve until told to stop; returns the exit code."""
    try:
        folder = _code()
        if folder is not None:
            install_requirements(folder)
        workers = max(1, int(os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or 1))
        listener = _bind()
        return _work(listener, folder) if workers == 1 else _supervise(listener, folder, workers)
    except UserError as error:
        print(f"serve: {error}", file=sys.stderr)
        return 1


def _code() -> Path | None:
    location = os.environ.get("SAGEMAKER_SUBMIT_DIRECTORY")
    if location:
        return fetch(location, CODE)
    packed = MODEL / "code"
    return packed if packed.is_dir() else (CODE if CODE.is_dir() else None)


def _bind() -> socket.socket:
    """Bound, but not listening yet: nobody gets a connection before a model is loaded."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Loopback alone: in the process runtime a container shares the machine's network, and whoever asks is on it.
    port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT") or DEFAULT_PORT)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise UserError(f"port {port} can't be had: {error}") from error
    return listener


def _work(listener: socket.socket, folder: Path | None) -> int:
    try:
        handler = Handler(
            folder, os.environ.get("SAGEMAKER_PROGRAM"), MODEL, os.environ.get("MODELWRIGHT_FRAMEWORK", "")
        )
    except UserError:
        raise
    except Exception:
        traceback.print_exc()
        print("serve: the model could not be loaded", file=sys.stderr)
        return 1
    server = Server(listener, handler)
    # Not in the handler itself: shutdown() waits for the loop that the signal interrupted.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown, daemon=True).start())
    print(f"serve: ready on port {listener.getsockname()[1]}", flush=True)
    server.serve_forever(poll_interval=0.2)
    server.server_close()
    return 0


def _supervise(listener: socket.socket, folder: Path | None, workers: int) -> int:
    """One process a worker; when one ends, all end: whoever started this starts it again."""
    children: list[int] = []
    listener.setblocking(False)  # a connection wakes all workers and one gets it: the others must not wait for the next
    # Held back until each side can heed it; else it would end this process alone, or be a failure of a worker.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for _ in range(workers):
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            code = 1
            try:
                code = _work(listener, folder)
            except UserError as error:
                print(f"serve: {error}", file=sys.stderr)
            finally:
                sys.stdout.flush()
                os._exit(code)
        children.append(child)
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        for child in children:
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    ended, status = os.wait()
    children.remove(ended)
    if not stopped:
        stop()
    while children:
        children.remove(os.wait()[0])
    return os.waitstatus_to_exitcode(status) if not stopped or status else 0


class Server(ThreadingHTTPServer):
    """`handler` takes one request at a time."""

    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, listener: socket.socket, handler: Handler) -> None:
        super().__init__(listener.getsockname(), Request, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_address = listener.getsockname()
        self.handler = handler
        self.turn = threading.Lock()
        self.server_activate()


class Context:
    """What a handler function with a parameter more gets: the request's headers, and the response's."""

    def __init__(self, headers: dict[str, str], model_dir: Path) -> None:
        self.headers = headers
        self.system_properties = {"model_dir": str(model_dir), "gpu_id": None}
        self.response_headers: dict[str, str] = {}

    def get_request_header(self, index: int, key: str) -> str | None:
        return next((value for name, value in self.headers.items() if name.lower() == key.lower()), None)

    def get_all_request_header(self, index: int) -> dict[str, str]:
        return self.headers

    def set_response_header(self, index: int, key: str, value: str) -> None:
        self.response_headers[key] = value


class Request(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server
    wbufsize = -1  # head and body in one packet
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """/ping, and /execution-parameters for batch transform."""
        if self.path == "/ping":
            self._answer(200, b"\n", "text/plain")
        elif self.path == "/execution-parameters":
            content = {"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 6}
            self._answer(200, json.dumps(content).encode(), JSON)
        else:
            self._refuse(404, f"{self.path}: there is /ping and /invocations")

    def do_POST(self) -> None:
        """/invocations."""
        if self.path.partition("?")[0] != "/invocations":
            self.close_connection = True
            self._refuse(404, f"{self.path}: there is /ping and /invocations")
            return
        try:
            body = self._body()
        except ValueError as error:
            self.close_connection = True
            self._refuse(400, str(error))
            return
        content_type = self.headers.get("Content-Type") or os.environ.get("SAGEMAKER_DEFAULT_CONTENT_TYPE") or JSON
        context = Context(dict(self.headers.items()), MODEL)
        try:
            with self.server.turn:
                result, kind = self.server.handler.respond(
                    body, content_type.split(";")[0].strip().lower(), self._accept(), context
                )
        except UnsupportedFormat as error:
            self._refuse(error.status, str(error))
        except UnicodeDecodeError as error:
            self._refuse(400, f"the body is not {content_type}: {error}")
        except Exception as error:
            traceback.print_exc()
            self._refuse(int(getattr(error, "status_code", 500)), f"{type(error).__name__}: {error}")
        else:
            self._answer(200, result, kind, context.response_headers)

    def _accept(self) -> str:
        default = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or JSON
        wanted = (self.headers.get("Accept") or "").split(",")[0].split(";")[0].strip().lower()
        return default if wanted in ("", "*/*") else wanted

    def _body(self) -> bytes:
        """Raises ValueError for a body that is not framed as HTTP says, or too long."""
        if "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
            blocks, size = [], 0
            while length := int(self.rfile.readline().split(b";")[0].strip() or b"0", 16):
                size += length
                self._check_length(size)
                blocks.append(self.rfile.read(length))
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b"\n", b""):
                pass
            return b"".join(blocks)
        length = int(self.headers.get("Content-Length") or 0)
        self._check_length(length)
        return self.rfile.read(length)

    def _check_length(self, length: int) -> None:
        if not 0 <= length <= LARGEST_BODY:
            raise ValueError(f"the body has {length} bytes; at most {LARGEST_BODY} are taken")

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, json.dumps({"code": status, "message": message}).encode(), JSON)

    def _answer(self, status: int, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value.replace("\r", " ").replace("\n", " "))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Requests to /ping would drown all else."""
        if self.path != "/ping":
            print(f"{self.address_string()} {format % args}", flush=True)
