"""An invocation through Modelwright beside the same one through a bare aiohttp reverse proxy.

Both stand before the same container, which sends back what it gets as fast as Python can. The requests are signed once
and replayed as bytes, so the client costs the same on both sides. The two are asked in turns, a slice of time each, so
that a noisy machine disturbs both alike; the ratio is the median over the rounds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import uvloop
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from benchmarks.report import Report
from benchmarks.servers import WITH_BYTECODE, Endpoint, free_port, modelwright, wait_for
from modelwright.config import Settings
from modelwright.images.library import LocalImages

TITLE = "Router: an invocation beside a bare aiohttp proxy"
SIZES = {"1 KiB": 1 << 10, "500 KiB": 500 << 10}
CONNECTIONS = (1, 8, 32)
ROUNDS, SLICE = 15, 0.4
"""Seconds that each side is asked in a round."""
URI = "111122223333.dkr.ecr.us-east-1.amazonaws.com/bench-echo:1"
ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"

SERVE = """#!/usr/bin/env python3
import asyncio, os

class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.got, self.missing = transport, [], None

    def data_received(self, data):
        self.got.append(data)
        if self.missing is None:
            head = b"".join(self.got)
            end = head.find(b"\\r\\n\\r\\n")
            if end < 0:
                return
            at = head.lower().find(b"content-length:", 0, end)
            length = int(head[at + 15 : head.find(b"\\r\\n", at)]) if at >= 0 else 0
            self.got, data = [head[end + 4 :]], head[end + 4 :]
            self.missing = length
        self.missing -= len(data)
        if self.missing <= 0:
            body = b"".join(self.got)
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: %d\\r\\n\\r\\n"
                                 % len(body) + body)
            self.got, self.missing = [], None

async def main():
    server = await asyncio.get_running_loop().create_server(
        Echo, "127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"]), backlog=256)
    await server.serve_forever()

asyncio.run(main())
"""

PROXY = """
import asyncio, sys
import aiohttp, uvloop
from aiohttp import web

async def invocations(request):
    body = await request.read()
    async with request.app["session"].post(sys.argv[2], data=body, headers={"Content-Type": "text/plain"}) as answer:
        return web.Response(body=await answer.read(), status=answer.status, content_type=answer.content_type)

async def session(app):
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app["session"]:
        yield

app = web.Application(client_max_size=1 << 30)
app.cleanup_ctx.append(session)
app.router.add_post("/{path:.*}", invocations)
if sys.argv[3] == "uvloop":
    uvloop.install()
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
"""


def run() -> Report:
    report = Report(
        [
            "body",
            "connections",
            "Modelwright, p50 ms (requests/s)",
            "aiohttp proxy, p50 ms (requests/s)",
            "ratio of p50",
        ]
    )
    with tempfile.TemporaryDirectory() as folder, modelwright() as endpoint:
        port = deploy(endpoint, Path(folder))
        try:
            with proxy(port) as proxy_port:
                for size, length in SIZES.items():
                    for connections in CONNECTIONS:
                        ours, theirs = signed(endpoint, length), bare(proxy_port, length)
                        found = asyncio.run(measure(connections, ours, theirs), debug=False)
                        report.add(size, connections, told(found[0]), told(found[1]), f"{ratio(*found):.2f}x")
        finally:
            remove(endpoint)
    report.note = (
        "Every request of Modelwright's is signed and checked; the proxy (aiohttp server and client, uvloop, body read "
        f"whole) passes on what it gets. {ROUNDS} rounds of {SLICE} s each in turns, before the same container; the "
        "ratio is the median of the rounds' ratios. Aim: at most 1.2x."
    )
    return report


Target = tuple[int, bytes]
"""A port and a request's bytes."""
Slice = list[float]
"""Seconds that each request took."""


async def measure(connections: int, ours: Target, theirs: Target) -> tuple[list[Slice], list[Slice]]:
    found: tuple[list[Slice], list[Slice]] = ([], [])
    clients = [[await connect(port, request) for _ in range(connections)] for port, request in (ours, theirs)]
    for number in range(ROUNDS + 1):
        for at in (0, 1) if number % 2 else (1, 0):
            took = await ask(clients[at])
            if number:  # the first warms up
                found[at].append(took)
    for client in (*clients[0], *clients[1]):
        client.transport.close()
    return found


async def ask(clients: list[Client]) -> Slice:
    end = time.perf_counter() + SLICE
    await asyncio.gather(*(client.drive(end) for client in clients))
    return [seconds for client in clients for seconds in client.taken()]


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.took: list[float] = []
        self.missing: int | None = None
        self.head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def drive(self, end: float) -> asyncio.Future[None]:
        self.end = end
        self.done = asyncio.get_running_loop().create_future()
        self.send()
        return self.done

    def taken(self) -> Slice:
        took, self.took = self.took, []
        return took

    def send(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if self.missing is None:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self.head.startswith(b"HTTP/1.1 200"):
                self.done.set_exception(RuntimeError(self.head[:2000]))
                return
            at = self.head.lower().find(b"content-length:", 0, end)
            length = int(self.head[at + 15 : self.head.find(b"\r\n", at)])
            self.missing = length - (len(self.head) - end - 4)
            self.head = b""
        else:
            self.missing -= len(data)
        if self.missing == 0:
            now = time.perf_counter()
            self.took.append(now - self.began)
            self.missing = None
            if now < self.end:
                self.send()
            else:
                self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed"))


async def connect(port: int, request: bytes) -> Client:
    _, client = await asyncio.get_running_loop().create_connection(lambda: Client(request), "127.0.0.1", port)
    return client


def told(slices: list[Slice]) -> str:
    took = [seconds for one in slices for seconds in one]
    return f"{statistics.median(took) * 1000:.2f} ({len(took) / (SLICE * len(slices)):.0f})"


def ratio(ours: list[Slice], theirs: list[Slice]) -> float:
    return statistics.median(
        statistics.median(one) / statistics.median(other) for one, other in zip(ours, theirs, strict=True)
    )


def signed(endpoint: Endpoint, length: int) -> Target:
    address = urlsplit(endpoint.url)
    path = "/endpoints/bench/invocations"
    body = b"x" * length
    request = AWSRequest("POST", endpoint.url + path, data=body, headers={"Content-Type": "text/plain"})
    SigV4Auth(Credentials(endpoint.access_key, endpoint.secret_key), "sagemaker", "us-east-1").add_auth(request)
    return address.port or 80, raw(path, {"Host": address.netloc, **dict(request.prepare().headers)}, body)


def bare(port: int, length: int) -> Target:
    head = {"Host": f"127.0.0.1:{port}", "Content-Type": "text/plain", "Content-Length": str(length)}
    return port, raw("/endpoints/bench/invocations", head, b"x" * length)


def raw(path: str, headers: dict[str, str], body: bytes) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def deploy(endpoint: Endpoint, folder: Path) -> int:
    """An endpoint `bench` of the echo; the port of its container."""
    assert endpoint.home is not None
    (folder / "serve").write_text(SERVE)
    (folder / "serve").chmod(0o755)
    (folder / "Dockerfile").write_text(
        "FROM python:3.11\nLABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true\n"
        'COPY serve /opt/program/serve\nENV PATH="/opt/program:$PATH"\n'
    )
    LocalImages(Settings.load({"home": endpoint.home}, {})).build(folder, URI, lambda line: None)
    client = endpoint.client("sagemaker")
    client.create_model(ModelName="bench", PrimaryContainer={"Image": URI}, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "v", "ModelName": "bench", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"
    }  # fmt: skip
    client.create_endpoint_config(EndpointConfigName="bench", ProductionVariants=[variant])
    client.create_endpoint(EndpointName="bench", EndpointConfigName="bench")
    wait_for(lambda: client.describe_endpoint(EndpointName="bench")["EndpointStatus"] == "InService")
    for specification in endpoint.home.glob("jobs/**/*.json"):
        with_port = specification.read_text()
        if "SAGEMAKER_BIND_TO_PORT" in with_port:
            return found_port(json.loads(with_port))
    raise RuntimeError("the container's port is written down nowhere")


def found_port(value: object) -> int:
    """The value of SAGEMAKER_BIND_TO_PORT, wherever it stands."""
    if isinstance(value, dict):
        if "SAGEMAKER_BIND_TO_PORT" in value:
            return int(value["SAGEMAKER_BIND_TO_PORT"])
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        if port := found_port(item):
            return port
    return 0


def remove(endpoint: Endpoint) -> None:
    client = endpoint.client("sagemaker")
    client.delete_endpoint(EndpointName="bench")
    client.get_waiter("endpoint_deleted").wait(EndpointName="bench", WaiterConfig={"Delay": 1})


@contextmanager
def proxy(container: int, loop: str = "uvloop") -> Iterator[int]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", PROXY, str(port), f"http://127.0.0.1:{container}/invocations", loop], env=WITH_BYTECODE
    )
    try:
        wait_for(lambda: answers(port))
        yield port
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> bool:
    import socket

    with socket.create_connection(("127.0.0.1", port), 1):
        return True


uvloop.install()
