"""AWS's scikit-learn image as it is made here, really: packages from the registry, a training, an endpoint's host.

Slow (half a minute), and it needs a package registry that pip is configured for.
"""

import contextlib
import http.client
import json
import socket
import tarfile
import threading

import pytest

from modelwright.config import Settings
from modelwright.images.library import LocalImages
from modelwright.runtimes.base import ContainerSpec, Exit, Mount
from modelwright.runtimes.process import ProcessRuntime

SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

TRAIN = """\
import argparse, os
import joblib
import numpy
from sklearn.linear_model import LinearRegression

parser = argparse.ArgumentParser()
parser.add_argument("--slope", type=float)
slope = parser.parse_args().slope
table = numpy.genfromtxt(os.environ["SM_CHANNEL_TRAIN"] + "/x.csv", delimiter=",").reshape(-1, 1)
model = LinearRegression().fit(table, table[:, 0] * slope)
joblib.dump(model, os.environ["SM_MODEL_DIR"] + "/model.joblib")
print("trained")
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return Settings(home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def image(settings):
    return LocalImages(settings).resolve(SKLEARN, print)


@pytest.fixture
def start(settings, image):
    """`start(name, argv, ml, **environment)`: a container with the folder `ml` as its /opt/ml; (wait, log, stop)."""
    runtime = ProcessRuntime(settings)
    with contextlib.ExitStack() as stack:

        def start(name, argv, ml, **environment):
            spec = ContainerSpec(name, image, argv, environment, mounts=(Mount(ml, "/opt/ml", "rw"),))
            handle = runtime.start(spec)
            ended = threading.Event()
            runtime.watch(handle, ended.set)

            def wait():
                assert ended.wait(120), log()
                return runtime.poll(handle)

            def log():
                return runtime.logs(handle, 0)[0].decode()

            def stop():
                runtime.stop(handle, grace=30)
                return wait()

            stack.callback(lambda: ended.is_set() or stop())
            return wait, log, stop

        yield start


def test_train_then_serve(start, tmp_path):
    ml = tmp_path / "ml"
    for folder in ("input/config", "input/data/train", "model", "output"):
        (ml / folder).mkdir(parents=True)
    (ml / "input/data/train/x.csv").write_text("1\n2\n3\n4\n")
    (tmp_path / "train.py").write_text(TRAIN)
    with tarfile.open(ml / "input/sourcedir.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "train.py", "train.py")
    parameters = {
        "sagemaker_program": '"train.py"',
        "sagemaker_submit_directory": '"/opt/ml/input/sourcedir.tar.gz"',
        "slope": "3.0",
    }
    (ml / "input/config/hyperparameters.json").write_text(json.dumps(parameters))
    (ml / "input/config/inputdataconfig.json").write_text(json.dumps({"train": {}}))
    wait, log, _ = start("train", ("train",), ml)
    ended = wait()
    assert isinstance(ended, Exit)
    assert ended.code == 0, log()
    assert "trained" in log()

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _, log, stop = start("serve", ("serve",), ml, SAGEMAKER_BIND_TO_PORT=str(port))
    ready = threading.Event()
    threading.Thread(target=_await_port, args=(port, ready), daemon=True).start()
    assert ready.wait(60), log()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/invocations", "10\n20\n", {"Content-Type": "text/csv", "Accept": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    assert json.loads(answer.read()) == pytest.approx([30.0, 60.0])
    connection.close()
    assert stop().code == 0, log()


def _await_port(port, ready):
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            ready.set()
            return
        threading.Event().wait(0.02)


def test_a_processing_script_has_python_bash_and_pip(start, tmp_path):
    wait, log, _ = start(
        "process",
        (
            "/bin/bash",
            "-c",
            "set -e; pip --version; python3 -c 'import sklearn, pandas, boto3; print(sklearn.__version__)'",
        ),
        tmp_path,
    )
    assert wait().code == 0, log()
    assert log().splitlines()[-1] == "1.2.1" or "nearest" in log()
