import contextlib
import http.client
import json
import socket
import subprocess
import threading

import pytest

INFERENCE = """\
import json

def model_fn(model_dir):
    return open(model_dir + "/weights").read()

def input_fn(body, content_type):
    if content_type != "application/json":
        raise ValueError("what is " + content_type)
    return json.loads(body)

def predict_fn(data, model):
    return {"model": model, "data": data}

def output_fn(prediction, accept):
    return json.dumps(prediction), "application/json"
"""


@contextlib.contextmanager
def serving(job, **variables):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = job.environment(SAGEMAKER_BIND_TO_PORT=str(port), **variables)
    with subprocess.Popen(
        job.command("serve"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = []
        try:
            for line in iter(process.stdout.readline, ""):
                lines.append(line)
                if line.startswith("serve: ready"):
                    break
            else:
                raise AssertionError("".join(lines))
            drain = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
            drain.start()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            yield connection
            connection.close()
            process.terminate()
            assert process.wait(30) == 0, "".join(lines)
            drain.join(30)
        finally:
            process.kill()


def post(connection, body, content_type="application/json", path="/invocations", **headers):
    connection.request("POST", path, body, {"Content-Type": content_type, **headers})
    response = connection.getresponse()
    return response.status, response.getheader("Content-Type"), response.read()


@pytest.fixture
def model(job):
    job.write("model/weights", "w1")
    job.write("model/code/inference.py", INFERENCE)
    return job


def test_it_works_and_keeps_the_connection(model):
    with serving(model) as connection:
        connection.request("GET", "/ping")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"\n")
        first = connection.sock
        status, kind, body = post(connection, b'{"x": 1}')
        assert (status, kind, json.loads(body)) == (200, "application/json", {"model": "w1", "data": {"x": 1}})
        assert post(connection, b"[]")[0] == 200
        assert connection.sock is first, "one connection for all"


def test_a_chunked_body(model):
    with serving(model) as connection:
        connection.request(
            "POST", "/invocations", iter([b'{"x"', b": 2}"]), {"Content-Type": "application/json"}, encode_chunked=True
        )
        assert json.loads(connection.getresponse().read())["data"] == {"x": 2}


def test_errors_are_told_and_the_host_goes_on(model):
    with serving(model) as connection:
        status, _, body = post(connection, b"x", "image/jpeg")
        assert status == 500
        assert json.loads(body)["message"] == "ValueError: what is image/jpeg"
        assert post(connection, b"\xff")[0] == 400
        assert post(connection, b"{}")[0] == 200
        connection.request("GET", "/nothing")
        response = connection.getresponse()
        assert response.status == 404
        response.read()


def test_transform_fn_with_a_context(job):
    job.write(
        "model/code/handler.py",
        "def model_fn(model_dir): return 2\n"
        "def transform_fn(model, body, content_type, accept, context):\n"
        "    context.set_response_header(0, 'X-Seen', context.get_request_header(0, 'x-asked'))\n"
        "    return bytes(body) * model, accept\n",
    )
    with serving(
        job,
        SAGEMAKER_PROGRAM="handler.py",
        SAGEMAKER_SUBMIT_DIRECTORY="/opt/ml/model/code".replace("/opt/ml", str(job.base)),
    ) as connection:
        connection.request("POST", "/invocations", b"\x00a", {"Content-Type": "x/y", "Accept": "x/z", "X-Asked": "v"})
        response = connection.getresponse()
        assert (response.read(), response.getheader("Content-Type"), response.getheader("X-Seen")) == (
            b"\x00a\x00a",
            "x/z",
            "v",
        )


def test_one_request_at_a_time(job):
    job.write(
        "model/code/inference.py",
        "import threading\n"
        "busy = threading.Lock()\n"
        "def model_fn(model_dir): return None\n"
        "def transform_fn(model, body, content_type, accept):\n"
        "    assert busy.acquire(blocking=False), 'two at once'\n"
        "    sum(range(200000))\n"
        "    busy.release()\n"
        "    return '1'\n",
    )
    with serving(job) as connection:
        statuses = []

        def ask():
            own = http.client.HTTPConnection("127.0.0.1", connection.port, timeout=30)
            statuses.extend(post(own, b"{}")[0] for _ in range(5))
            own.close()

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert statuses == [200] * 40


def test_several_workers(model):
    with serving(model, SAGEMAKER_MODEL_SERVER_WORKERS="2"):
        pass  # ended at once, with one of them ready and the other one perhaps not
    for _ in range(3):  # which ends both, also the one that was woken in vain
        with serving(model, SAGEMAKER_MODEL_SERVER_WORKERS="2") as connection:
            assert post(connection, b"{}")[0] == 200


def fails(job, **variables):
    result = subprocess.run(
        job.command("serve"),
        env=job.environment(SAGEMAKER_BIND_TO_PORT="0", **variables),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 1
    return result.stderr


def test_what_keeps_it_from_starting(job):
    assert "no model_fn" in fails(job)
    assert "there is no other.py" in fails(job, SAGEMAKER_PROGRAM="other.py", SAGEMAKER_SUBMIT_DIRECTORY=str(job.base))
    job.write("model/code/inference.py", "def model_fn(d): raise RuntimeError('bad weights')\n")
    assert "bad weights" in fails(job)
    job.write("model/code/inference.py", "def model_fn(d): 0\ndef input_fn(b, c): 0\ndef transform_fn(m, b, c, a): 0\n")
    assert "transform_fn takes the place of" in fails(job)
