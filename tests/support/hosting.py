"""Endpoints for tests of the engine: an image whose `serve` does as its environment says, and short words for calls."""

import asyncio
import sys
import textwrap

from modelwright.engine.ports import BINDS_TO_PORT
from modelwright.images.environments import interpreter_folders
from modelwright.runtimes.base import Image
from modelwright.store import logs
from support.platform import CONTEXT, ROLE, Images

SERVE = textwrap.dedent("""\
    #!{python}
    import json, os, sys, time, urllib.error, urllib.request
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    MODE = os.environ.get("MODE", "")
    port = 8080 if MODE == "stubborn" else int(os.environ["SAGEMAKER_BIND_TO_PORT"])
    print("serve", sys.argv[1:], MODE, flush=True)
    if MODE == "crash":
        print("there is no such weight", flush=True)
        sys.exit(3)
    if MODE == "lookup":
        urllib.request.urlopen("http://models.example/weights", timeout=20)
    if MODE == "mute":
        time.sleep(3600)
    began = time.time()

    def reach(url):
        try:
            return str(urllib.request.urlopen(os.path.expandvars(url), timeout=20).status)
        except urllib.error.HTTPError as error:
            return str(error.code)
        except OSError as error:
            return "no: " + str(error)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if Path("/tmp/frozen").exists():
                time.sleep(60)
            if MODE == "never":
                self.answer(503, b"not yet")
            elif MODE == "slow" and time.time() < began + 1:
                self.answer(500, b"soon")
            else:
                self.answer(200, b"")

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if body == b"die":
                os._exit(9)
            if body == b"freeze":
                Path("/tmp/frozen").touch()
            if body == b"teapot":
                return self.answer(418, b"short and stout")
            if body.startswith(b"sleep "):
                time.sleep(float(body.split()[1]))
            if body in (b"pieces", b"cut"):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for number in range(3):
                    self.wfile.write(b"6\\r\\npiece%d\\r\\n" % number)
                    time.sleep(0.05)
                    if body == b"cut":
                        os._exit(1)
                return self.wfile.write(b"0\\r\\n\\r\\n")
            if body == b"files":
                found = sorted(str(p.relative_to("/opt/ml")) for p in Path("/opt/ml").rglob("*") if p.is_file())
                return self.answer(200, json.dumps(found).encode())
            if body.startswith(b"reach "):
                return self.answer(200, reach(body.split()[1].decode()).encode())
            if body == b"environment":
                return self.answer(200, json.dumps(sorted(os.environ)).encode())
            if MODE == "sour":
                return self.answer(500, b"sour")
            if body == b"who" or MODE == "echo-who":
                return self.answer(200, json.dumps([os.environ.get("NAME"), began]).encode())
            if os.environ.get("APPEND"):
                told = [self.headers.get(name) for name in ("Content-Type", "Accept")]
                return self.answer(200, b"%s %s(%s)" % (body, os.environ["APPEND"].encode(), " ".join(told).encode()),
                                   "text/" + os.environ["APPEND"])
            self.answer(200, body)

        def answer(self, status, body, kind=None):
            self.send_response(status)
            self.send_header("Content-Type", kind or self.headers.get("Content-Type") or "text/plain")
            self.send_header("X-Amzn-SageMaker-Custom-Attributes", self.headers.get(
                "X-Amzn-SageMaker-Custom-Attributes", ""))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
    """)


class ServingImages(Images):
    """Beside the others: `server`, which brings its own `serve`; `adaptable`, which says that it listens anywhere."""

    def __init__(self, folder):
        super().__init__()
        program = folder / "image" / "opt" / "program"
        program.mkdir(parents=True, exist_ok=True)
        (program / "serve").write_text(SERVE.format(python=sys._base_executable))
        (program / "serve").chmod(0o755)
        self._root = folder / "image"

    def ready(self, uri):
        if uri not in ("server", "adaptable"):
            return super().ready(uri)
        environment = {"PATH": "/opt/program:/usr/local/bin:/usr/bin:/bin"}
        return Image(
            uri,
            "sha256:server",
            root=self._root,
            environment=environment,
            visible=tuple(interpreter_folders()),
            labels={BINDS_TO_PORT: "true"} if uri == "adaptable" else {},
        )


class Endpoints:
    """Calls about endpoints on a platform."""

    def __init__(self, platform):
        self.platform = platform
        self.call = platform.call

    def model(self, name, *, data=None, image="server", isolated=False, **environment):
        container = {"Image": image, "Environment": {"NAME": name, **environment}}
        if data:
            container["ModelDataUrl"] = data
        more = {"EnableNetworkIsolation": True} if isolated else {}
        self.call("CreateModel", ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE, **more)

    def several(self, name, *containers, mode="Serial"):
        """A model of several containers: of each its name and its environment."""
        made = [
            {"Image": "server", "Environment": environment, **({"ContainerHostname": host} if host else {})}
            for host, environment in containers
        ]
        execution = {"Mode": mode}
        self.call(
            "CreateModel", ModelName=name, Containers=made, InferenceExecutionConfig=execution, ExecutionRoleArn=ROLE
        )

    def config(self, name, **variants):
        """Of each variant: its model, or (model, count, weight)."""
        made = []
        for variant, what in variants.items():
            model, count, weight = what if isinstance(what, tuple) else (what, 1, 1)
            made.append(
                {
                    "VariantName": variant,
                    "ModelName": model,
                    "InitialInstanceCount": count,
                    "InitialVariantWeight": weight,
                    "InstanceType": "ml.m5.large",
                }
            )
        self.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=made)

    def create(self, name, config):
        self.call("CreateEndpoint", EndpointName=name, EndpointConfigName=config)

    def quickly(self, name, **environment):
        """Model, configuration and endpoint of one name; the document when it has settled."""
        self.model(name, **environment)
        self.config(name, one=name)
        self.create(name, name)
        return self.settled(name)

    def describe(self, name):
        return self.call("DescribeEndpoint", EndpointName=name)

    def settled(self, name, timeout=60):
        self.platform.until(lambda: self.describe(name)["EndpointStatus"] in ("InService", "Failed"), timeout)
        return self.describe(name)

    def delete(self, name):
        self.call("DeleteEndpoint", EndpointName=name)
        self.platform.until(lambda: self.platform.document("Endpoint", name) is None)

    async def ask(self, name, body, **more):
        return await self.platform.dispatcher.acall(
            CONTEXT, "sagemaker-runtime", "InvokeEndpoint", {"EndpointName": name, "Body": body, **more}
        )

    def invoke(self, name, body=b"hello", **more):
        async def act():
            try:
                return await self.ask(name, body, **more)
            finally:
                await self.platform.router.aclose()

        return asyncio.run(act())

    def log(self, name):
        """All lines of all its instances."""
        with self.platform.database.read() as transaction:
            streams = logs.list_streams(transaction, f"/aws/sagemaker/Endpoints/{name}")
            return [event.message for stream in streams for event in logs.read_events(transaction, [stream])]
