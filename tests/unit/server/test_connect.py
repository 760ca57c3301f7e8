"""The front of the port: whom it answers itself, whom it tunnels, whom it refuses."""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import uvloop
from uvicorn.config import Config
from uvicorn.server import ServerState

from modelwright.server.authority import Authority
from modelwright.server.connect import Front, Proxy
from modelwright.server.connection import HEAD_BYTES, HttpConnection
from modelwright.server.upstream import Upstream

AWS = "sts.us-east-1.amazonaws.com"


async def echo(scope, receive, send) -> None:
    """Answers with what it saw of the request."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    text = f"{scope['scheme']} {scope['method']} {scope['path']} ".encode() + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(text))]})
    await send({"type": "http.response.body", "body": text})


class Running:
    """A front on a loop of its own thread."""

    def __init__(self, proxy: Proxy) -> None:
        self.state = ServerState()
        self.proxy = proxy
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        config = Config(echo, log_config=None, lifespan="off", ws="none", access_log=False)
        config.load()

        def http() -> HttpConnection:
            return HttpConnection(config=config, server_state=self.state, app_state={})

        server = await self._loop.create_server(lambda: Front(http, self.proxy, self.state), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for connection in list(self.state.connections):
            connection.shutdown()
        while self.state.connections:  # noqa: ASYNC110  # a set that uvicorn keeps: nothing to wait for
            await asyncio.sleep(0)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def ask(self, request: bytes) -> bytes:
        """Send raw bytes, read to the end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as sock:
            sock.sendall(request)
            return b"".join(iter(lambda: sock.recv(65536), b""))

    def connect(self, target: str) -> socket.socket:
        """CONNECT by hand; the socket inside."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        sock.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(1)
        assert head.startswith(b"HTTP/1.1 200 "), head
        return sock


@contextmanager
def running(proxy: Proxy) -> Iterator[Running]:
    server = Running(proxy)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.open(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def front(authority: Authority) -> Iterator[Running]:
    with running(Proxy(authority, Upstream(), local=True)) as server:
        yield server


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.bundle({})))


@contextmanager
def listener(handle) -> Iterator[int]:
    """A TCP server on a thread, which calls `handle(socket)` for each connection."""
    server = socket.create_server(("127.0.0.1", 0))
    with ThreadPoolExecutor() as pool:

        def accept() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                pool.submit(serve, sock)

        def serve(sock: socket.socket) -> None:
            with sock:
                handle(sock)

        pool.submit(accept)
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()


def test_plain_http(front: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=10)
    for _ in range(3):  # the connection stays
        connection.request("POST", "/a", body=b"hello")
        assert connection.getresponse().read() == b"http POST /a hello"
    connection.close()


@pytest.mark.parametrize("pieces", [[b"G", b"ET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"], [b"C", b"OPY"]])
def test_the_first_bytes_may_come_one_by_one(front: Running, pieces: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", front.port), timeout=10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in [*pieces, b" / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"][: 2 if pieces[0] == b"G" else 3]:
            sock.sendall(piece)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_aws_names_end_here(front: Running, trusting: ssl.SSLContext) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", front.port, context=trusting, timeout=10)
    connection.set_tunnel(AWS, 443)
    for _ in range(3):
        connection.request("POST", "/", body=b"x" * 100_000)
        assert connection.getresponse().read() == b"https POST / " + b"x" * 100_000
    connection.close()


def test_many_connections_at_once(front: Running, trusting: ssl.SSLContext) -> None:
    def ask(number: int) -> bytes:
        connection = http.client.HTTPSConnection("127.0.0.1", front.port, context=trusting, timeout=10)
        connection.set_tunnel(f"b{number % 3}.s3.amazonaws.com", 443)
        connection.request("PUT", f"/{number}")
        try:
            return connection.getresponse().read()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(24))) == [f"https PUT /{number} ".encode() for number in range(24)]


def test_a_client_that_does_not_trust_us_is_no_harm(front: Running, trusting: ssl.SSLContext) -> None:
    stranger = ssl.create_default_context()
    with front.connect(f"{AWS}:443") as sock, pytest.raises(ssl.SSLCertVerificationError):
        stranger.wrap_socket(sock, server_hostname=AWS)
    test_aws_names_end_here(front, trusting)


def test_garbage_instead_of_tls_is_no_harm(front: Running, trusting: ssl.SSLContext) -> None:
    with front.connect(f"{AWS}:443") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in b"".join(iter(lambda: sock.recv(65536), b""))
    test_aws_names_end_here(front, trusting)


def test_other_hosts_are_tunnelled(front: Running) -> None:
    def upper(sock: socket.socket) -> None:
        while data := sock.recv(65536):
            sock.sendall(data.upper())

    with listener(upper) as port, front.connect(f"127.0.0.1:{port}") as sock:
        sock.sendall(b"hello")
        assert sock.recv(100) == b"HELLO"


def test_a_tunnel_passes_on_who_speaks_first(front: Running) -> None:
    with listener(lambda sock: sock.sendall(b"220 ready")) as port, front.connect(f"127.0.0.1:{port}") as sock:
        assert b"".join(iter(lambda: sock.recv(100), b"")) == b"220 ready"


def test_a_tunnel_passes_on_half_closes(front: Running) -> None:
    def count(sock: socket.socket) -> None:
        total = sum(map(len, iter(lambda: sock.recv(65536), b"")))
        sock.sendall(str(total).encode())

    with listener(count) as port, front.connect(f"127.0.0.1:{port}") as sock:
        sock.sendall(b"x" * 5_000_000)
        sock.shutdown(socket.SHUT_WR)
        assert b"".join(iter(lambda: sock.recv(100), b"")) == b"5000000"


def test_a_tunnel_keeps_large_amounts_whole(front: Running) -> None:
    content = bytes(range(256)) * 40_000

    with listener(lambda sock: sock.sendall(content)) as port, front.connect(f"127.0.0.1:{port}") as sock:
        assert b"".join(iter(lambda: sock.recv(65536), b"")) == content


def test_a_host_that_is_not_there(front: Running) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    answer = front.ask(f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"can't tunnel to 127.0.0.1" in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"CONNECT nonsense HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT host:99999 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT :443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT host:443\r\n\r\n", b"400"),
        (b"CONNECT \xff:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT x..amazonaws.com:443 HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT s3.amazonaws.com:80 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT " + b"x" * 10_000, b"431"),
        ((b"GET / HTTP/1.1\r\nx: " + b"y" * HEAD_BYTES)[: HEAD_BYTES + 1], b"431"),
        ((b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * HEAD_BYTES)[: HEAD_BYTES + 1], b"431"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
def test_what_is_refused(front: Running, request_: bytes, status: bytes) -> None:
    assert front.ask(request_).split(b" ", 2)[1] == status


def test_a_head_that_does_not_end_is_cut_off(front: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.server.connection.HEAD_SECONDS", 0.05)
    assert front.ask(b"GET / HTTP/1.1\r\nhost: x\r\n").split(b" ", 2)[1] == b"408"


def test_a_connection_that_says_nothing_is_cut_off(front: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.server.connect._HEAD_SECONDS", 0.05)
    assert front.ask(b"") == b""


def test_no_proxy_for_other_machines(authority: Authority) -> None:
    with running(Proxy(authority, Upstream(), local=False)) as server:
        answer = server.ask(b"CONNECT example.com:443 HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 403 ")
        assert b"loopback" in answer
        assert server.ask(b"CONNECT s3.amazonaws.com:443 HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 403 ")


class TestUpstream:
    """A machine whose way out is a proxy."""

    @staticmethod
    def proxy(seen: list[bytes], status: bytes = b"200 OK", early: bytes = b""):
        def handle(sock: socket.socket) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(1)
            seen.append(head)
            sock.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n" + early)
            if data := sock.recv(100):
                sock.sendall(data.upper())

        return handle

    def test_tunnels_go_through_it(self, authority: Authority) -> None:
        seen: list[bytes] = []
        with listener(self.proxy(seen, early=b"hi ")) as port:
            upstream = Upstream.of({"HTTPS_PROXY": f"http://us%40er:secret@127.0.0.1:{port}"})
            with (
                running(Proxy(authority, upstream, local=True)) as server,
                server.connect("pypi.example:443") as sock,
            ):
                sock.sendall(b"hello")
                assert b"".join(iter(lambda: sock.recv(100), b"")) == b"hi HELLO"
        assert seen[0].startswith(b"CONNECT pypi.example:443 HTTP/1.1\r\nHost: pypi.example:443\r\n")
        assert b"Proxy-Authorization: Basic dXNAZXI6c2VjcmV0\r\n" in seen[0]

    def test_names_of_aws_do_not(self, authority: Authority, trusting: ssl.SSLContext) -> None:
        seen: list[bytes] = []
        with listener(self.proxy(seen)) as port:
            upstream = Upstream.of({"https_proxy": f"http://127.0.0.1:{port}"})
            with running(Proxy(authority, upstream, local=True)) as server:
                test_aws_names_end_here(server, trusting)
        assert seen == []

    def test_its_refusal_is_told_without_its_password(self, authority: Authority) -> None:
        with listener(self.proxy([], status=b"407 Proxy Authentication Required")) as port:
            upstream = Upstream.of({"HTTPS_PROXY": f"http://me:secret@127.0.0.1:{port}"})
            with running(Proxy(authority, upstream, local=True)) as server:
                answer = server.ask(b"CONNECT pypi.example:443 HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 502 ")
        assert b"407 Proxy Authentication Required" in answer
        assert b"secret" not in answer

    @pytest.mark.parametrize(
        ("environ", "host", "expected"),
        [
            ({}, "example.com", ""),
            ({"HTTPS_PROXY": "http://p:1"}, "example.com", "http://p:1"),
            ({"HTTPS_PROXY": "http://P:1", "https_proxy": "http://p:2"}, "example.com", "http://p:2"),
            ({"ALL_PROXY": "p:3"}, "example.com", "http://p:3"),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "example.com"}, "www.example.com", ""),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "example.com", ""),
            ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "other.example"}, "example.com", "http://p:1"),
        ],
    )
    def test_which_proxy(self, environ: dict[str, str], host: str, expected: str) -> None:
        assert Upstream.of(environ).proxy_for(host) == expected

    def test_a_server_is_not_its_own_way_out(self) -> None:
        environ = {"HTTPS_PROXY": "http://127.0.0.1:7070/"}
        assert Upstream.of(environ, "http://127.0.0.1:7070").proxy_for("example.com") == ""
        assert Upstream.of(environ, "http://127.0.0.1:7071").proxy_for("example.com") != ""

    def test_a_kind_that_we_do_not_speak(self, authority: Authority) -> None:
        with running(Proxy(authority, Upstream("socks5://127.0.0.1:1080"), local=True)) as server:
            answer = server.ask(b"CONNECT pypi.example:443 HTTP/1.1\r\n\r\n")
        assert b"does not speak" in answer
