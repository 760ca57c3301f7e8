"""Endpoints over the wire: boto3 and the SDKs deploy, invoke, update and delete; the server is killed meanwhile."""

import json
import subprocess
import sys
import tarfile
import time

import pytest
from botocore.exceptions import ClientError, EventStreamError

from modelwright.images.library import LocalImages
from support.hosting import SERVE
from support.sdk import python
from support.waiting import until

URI = "111122223333.dkr.ecr.us-east-1.amazonaws.com/wire-endpoints:1"
DOCKERFILE = 'FROM python:3.11\nCOPY serve /opt/program/serve\nENV PATH="/opt/program:$PATH"\n'
ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
PATIENCE = 60


@pytest.fixture(scope="module")
def image(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "serve").write_text(SERVE.format(python="/usr/bin/env python3"))
    (folder / "serve").chmod(0o755)
    LocalImages(server.settings).build(folder, URI, lambda line: None)
    return URI


@pytest.fixture(scope="module")
def sagemaker(server):
    return server.client("sagemaker")


@pytest.fixture(scope="module", autouse=True)
def nothing_left(sagemaker):
    """Instances outlive the server: a test that fails must not leave any."""
    yield
    for endpoint in sagemaker.list_endpoints(MaxResults=100)["Endpoints"]:
        delete(sagemaker, endpoint["EndpointName"])


@pytest.fixture(scope="module")
def runtime(server):
    return server.client("sagemaker-runtime", read_timeout=70)


def deploy(sagemaker, name, image, **environment):
    container = {"Image": image, "Environment": {"NAME": name, **environment}}
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.t2.medium",
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    return settled(sagemaker, name)


def settled(sagemaker, name):
    deadline = time.monotonic() + PATIENCE
    while (found := sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] not in ("InService", "Failed"):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def delete(sagemaker, name):
    sagemaker.delete_endpoint(EndpointName=name)
    waiter = sagemaker.get_waiter("endpoint_deleted")
    waiter.config.delay = 0.1
    waiter.wait(EndpointName=name)


def test_it_works(sagemaker, runtime, image, server):
    found = deploy(sagemaker, "wire", image)
    assert found["EndpointStatus"] == "InService", found
    answer = runtime.invoke_endpoint(
        EndpointName="wire", Body=b"\x00\xff", ContentType="image/x", CustomAttributes="a=1", TargetVariant="AllTraffic"
    )
    assert answer["Body"].read() == b"\x00\xff"
    assert (answer["ContentType"], answer["CustomAttributes"]) == ("image/x", "a=1")
    assert answer["InvokedProductionVariant"] == "AllTraffic"
    with pytest.raises(runtime.exceptions.ModelError) as error:
        runtime.invoke_endpoint(EndpointName="wire", Body=b"teapot")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert (error.value.response["OriginalStatusCode"], error.value.response["OriginalMessage"]) == (
        418,
        "short and stout",
    )
    assert error.value.response["LogStreamArn"].endswith("/aws/sagemaker/Endpoints/wire")
    with pytest.raises(ClientError, match="ValidationError"):
        runtime.invoke_endpoint(EndpointName="nobody", Body=b"")
    with pytest.raises(ClientError, match="InferenceComponentName"):
        runtime.invoke_endpoint(EndpointName="wire", Body=b"", InferenceComponentName="x")
    streamed = runtime.invoke_endpoint_with_response_stream(EndpointName="wire", Body=b"pieces")
    parts = [part["PayloadPart"]["Bytes"] for part in streamed["Body"]]
    assert b"".join(parts) == b"piece0piece1piece2"
    assert len(parts) > 1
    assert streamed["InvokedProductionVariant"] == "AllTraffic"
    with pytest.raises(runtime.exceptions.ModelError, match="short and stout"):
        runtime.invoke_endpoint_with_response_stream(EndpointName="wire", Body=b"teapot")
    with pytest.raises(EventStreamError, match="connection to the model was lost"):
        list(runtime.invoke_endpoint_with_response_stream(EndpointName="wire", Body=b"cut")["Body"])
    streams = server.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/wire")["logStreams"]
    assert [stream["logStreamName"].startswith("AllTraffic/i-") for stream in streams] == [True]
    delete(sagemaker, "wire")
    with pytest.raises(ClientError, match="Could not find endpoint"):
        sagemaker.describe_endpoint(EndpointName="wire")


def test_a_pipeline_of_containers(server, sagemaker, runtime, image, tmp_path):
    containers = [{"Image": image, "ContainerHostname": name, "Environment": {"APPEND": name}} for name in "ab"]
    for name, mode in (("serial", "Serial"), ("direct", "Direct")):
        sagemaker.create_model(
            ModelName=name, Containers=containers, InferenceExecutionConfig={"Mode": mode}, ExecutionRoleArn=ROLE
        )
        variant = {"VariantName": "v", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    assert settled(sagemaker, "serial")["EndpointStatus"] == "InService"
    answer = runtime.invoke_endpoint(EndpointName="serial", Body=b"x", ContentType="text/x", Accept="text/y")
    assert answer["Body"].read() == b"x a(text/x */*) b(text/a text/y)"
    assert answer["ContentType"] == "text/b"
    assert settled(sagemaker, "direct")["EndpointStatus"] == "InService"
    answer = runtime.invoke_endpoint(
        EndpointName="direct", Body=b"x", ContentType="text/x", TargetContainerHostname="b"
    )
    assert answer["Body"].read() == b"x b(text/x */*)"
    (tmp_path / "x.csv").write_bytes(b"y")
    said = modelwright(server, "endpoints", "invoke", "direct", str(tmp_path / "x.csv"), "--container", "a")
    assert said.stdout == b"y a(text/csv */*)", said.stderr
    with pytest.raises(runtime.exceptions.ModelError, match=r"Received client error \(418\) from a with"):
        runtime.invoke_endpoint(EndpointName="direct", Body=b"teapot", TargetContainerHostname="a")
    with pytest.raises(ClientError, match="name one by TargetContainerHostname"):
        runtime.invoke_endpoint(EndpointName="direct", Body=b"x")
    for name in ("serial", "direct"):
        delete(sagemaker, name)


def reached(runtime, name):
    """What a container sees of this server, and of AWS's own host names by the proxy: statuses of refusals."""
    urls = ("$AWS_ENDPOINT_URL/nothing/here", "https://sts.us-east-1.amazonaws.com/")
    return [
        runtime.invoke_endpoint(EndpointName=name, Body=f"reach {url}".encode())["Body"].read().decode() for url in urls
    ]


def test_a_body_as_large_as_may_be(sagemaker, runtime, image):
    deploy(sagemaker, "large", image)
    body = b"a" * (25 << 20)
    assert runtime.invoke_endpoint(EndpointName="large", Body=body)["Body"].read() == body
    with pytest.raises(ClientError) as error:
        runtime.invoke_endpoint(EndpointName="large", Body=body + b"b")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert error.value.response["Error"] == {"Code": "413", "Message": "HTTP content length exceeded 26214400 bytes."}
    with pytest.raises(ClientError, match="exceeded 26214400"):
        runtime.invoke_endpoint_with_response_stream(EndpointName="large", Body=body + b"b")
    delete(sagemaker, "large")


def test_a_server_that_is_killed_finds_its_endpoint_again(tmp_path, server, image):
    from support.server import PLATFORM, Server

    own = Server(tmp_path / "home", PLATFORM)
    try:
        own.start()
        folder = tmp_path / "image"
        folder.mkdir()
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / "serve").write_text(SERVE.format(python="/usr/bin/env python3"))
        (folder / "serve").chmod(0o755)
        LocalImages(own.settings).build(folder, URI, lambda line: None)
        found = deploy(own.client("sagemaker"), "e", URI)
        assert found["EndpointStatus"] == "InService", found
        before = own.client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"who")["Body"].read()
        assert [status[0] for status in reached(own.client("sagemaker-runtime"), "e")] == ["4", "4"]
        own.kill()
        own.start()
        assert own.client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"who")["Body"].read() == before
        assert [status[0] for status in reached(own.client("sagemaker-runtime"), "e")] == ["4", "4"]
        delete(own.client("sagemaker"), "e")
    finally:
        own.stop()


def test_down_says_what_runs_on_and_ends_it_when_asked(tmp_path):
    from support.server import PLATFORM, Server

    own = Server(tmp_path / "home", PLATFORM)
    try:
        own.start()
        folder = tmp_path / "image"
        folder.mkdir()
        (folder / "Dockerfile").write_text(DOCKERFILE)
        (folder / "serve").write_text(SERVE.format(python="/usr/bin/env python3"))
        (folder / "serve").chmod(0o755)
        LocalImages(own.settings).build(folder, URI, lambda line: None)
        deploy(own.client("sagemaker"), "e", URI)

        def who():
            return own.client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"who")["Body"].read()

        before = who()
        said = modelwright(own, "down").stdout.decode()
        own.process.wait(30)
        assert "1 container of endpoint e runs on and is taken up again, too" in said
        own.start()
        assert who() == before
        ended = json.loads(modelwright(own, "down", "--endpoints", "--json").stdout)
        own.process.wait(30)
        assert ended == {"Running": False, "Instances": {}}
        assert "Ended" not in modelwright(own, "down", "--endpoints").stdout.decode()  # nothing runs any more
        own.start()
        assert own.client("sagemaker").describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"
        until(lambda: invoked(own, "e"))
        assert who() != before
        delete(own.client("sagemaker"), "e")
    finally:
        own.stop()


def invoked(own, name):
    """Whether an instance answers."""
    try:
        own.client("sagemaker-runtime", retries={"total_max_attempts": 1}).invoke_endpoint(EndpointName=name, Body=b"x")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ServiceUnavailable", error  # noqa: PT017
        return False
    return True


def test_sdk_v2_deploys_predicts_updates_and_deletes(server, image):
    lines = python(server, "sdk2", f"""
import sagemaker
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer
from sagemaker.deserializers import JSONDeserializer
session = sagemaker.Session()
model = Model(image_uri="{URI}", role=sagemaker.get_execution_role(), sagemaker_session=session,
              env={{"NAME": "v2"}}, predictor_cls=Predictor, name="v2-model")
predictor = model.deploy(1, "ml.m5.large", endpoint_name="v2", wait=False,
                         serializer=JSONSerializer(), deserializer=JSONDeserializer())
session.wait_for_endpoint("v2", poll=0.2)
say(predictor.predict({{"a": [1]}}))
predictor.update_endpoint(initial_instance_count=2, instance_type="ml.m5.large", wait=False)
session.wait_for_endpoint("v2", poll=0.2)
found = session.sagemaker_client.describe_endpoint(EndpointName="v2")
say(found["EndpointStatus"], found["ProductionVariants"][0]["CurrentInstanceCount"])
predictor.delete_model()
predictor.delete_endpoint(delete_endpoint_config=True)
session.sagemaker_client.get_waiter("endpoint_deleted").wait(EndpointName="v2", WaiterConfig={{"Delay": 1}})
say("gone")

from sagemaker.pipeline import PipelineModel
role = sagemaker.get_execution_role()
steps = [Model(image_uri="{URI}", role=role, sagemaker_session=session, env={{"APPEND": word}})
         for word in ("scale", "predict")]
pipeline = PipelineModel(steps, role, predictor_cls=Predictor, name="v2-pipeline",
                         sagemaker_session=session)
predictor = pipeline.deploy(1, "ml.m5.large", endpoint_name="v2-pipeline", wait=False)
session.wait_for_endpoint("v2-pipeline", poll=0.2)
say(predictor.predict("x", initial_args={{"ContentType": "text/csv", "Accept": "text/plain"}}).decode())
pipeline.delete_model()
predictor.delete_endpoint()
""")  # fmt: skip
    assert lines == ["{'a': [1]}", "InService 2", "gone", "x scale(text/csv */*) predict(text/scale text/plain)"]


def modelwright(server, *arguments):
    command = [sys.executable, "-m", "modelwright", *arguments, "--home", str(server.settings.home)]
    return subprocess.run(command, env=server.environ, capture_output=True, timeout=60, check=False)


def test_the_command_line(server, sagemaker, image, tmp_path):
    deploy(sagemaker, "cli", image)
    listed = json.loads(modelwright(server, "endpoints", "list", "--json").stdout)
    assert [(each["EndpointName"], each["EndpointStatus"]) for each in listed] == [("cli", "InService")]
    assert b"AllTraffic" in modelwright(server, "endpoints", "show", "cli").stdout
    file = tmp_path / "data.json"
    file.write_bytes(b"[1, 2]")
    assert modelwright(server, "endpoints", "invoke", "cli", str(file)).stdout == b"[1, 2]"
    modelwright(server, "endpoints", "invoke", "cli", str(file), "-o", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == b"[1, 2]"
    failed = modelwright(server, "endpoints", "invoke", "nobody", str(file))
    assert failed.returncode == 1
    assert failed.stderr.startswith(b"modelwright: ValidationError: Endpoint nobody of account"), failed.stderr
    delete(sagemaker, "cli")


INFERENCE = """
import json, pathlib

def model_fn(folder):
    return json.loads((pathlib.Path(folder) / "weights.json").read_text())["factor"]

def predict_fn(data, model):
    return data * model
"""


def test_sdk_v2_serves_a_script_with_a_framework_image(server, tmp_path):
    (tmp_path / "inference.py").write_text(INFERENCE)
    (tmp_path / "weights.json").write_text('{"factor": 3}')
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "weights.json", "weights.json")
    lines = python(server, "sdk2", f"""
import sagemaker
from sagemaker.sklearn.model import SKLearnModel
session = sagemaker.Session()
data = session.upload_data("{tmp_path}/model.tar.gz", key_prefix="script")
model = SKLearnModel(model_data=data, role=sagemaker.get_execution_role(), entry_point="{tmp_path}/inference.py",
                     framework_version="1.2-1", sagemaker_session=session, name="script-model")
predictor = model.deploy(1, "ml.m5.large", endpoint_name="script", wait=False)
session.wait_for_endpoint("script", poll=0.5)
say(predictor.predict([[1, 2]]).tolist())
try:
    session.sagemaker_runtime_client.invoke_endpoint(EndpointName="script", Body=b"[1", ContentType="application/json")
except session.sagemaker_runtime_client.exceptions.ModelError as error:
    say(error.response["OriginalStatusCode"])
predictor.delete_endpoint()
""")  # fmt: skip
    assert lines == ["[[3, 6]]", "500"]


def test_v3_reads_what_is_answered(server, image):
    lines = python(server, "sdk3", f"""
import json
from sagemaker.core import shapes
from sagemaker.core.helper.session_helper import get_execution_role
from sagemaker.core.resources import Endpoint, EndpointConfig, Model
role = get_execution_role()
Model.create(model_name="v3-model", execution_role_arn=role,
             primary_container=shapes.ContainerDefinition(image="{URI}", environment={{"NAME": "v3"}}))
config = EndpointConfig.create(endpoint_config_name="v3-config", production_variants=[shapes.ProductionVariant(
    variant_name="AllTraffic", model_name="v3-model", initial_instance_count=1, instance_type="ml.m5.large")])
endpoint = Endpoint.create(endpoint_name="v3-endpoint", endpoint_config_name="v3-config")
endpoint.wait_for_status("InService", poll=1)
say(endpoint.endpoint_status, endpoint.production_variants[0].current_instance_count)
answer = endpoint.invoke(body=json.dumps([1]), content_type="application/json")
say(answer.body.read(), answer.invoked_production_variant)
say([each.endpoint_name for each in Endpoint.get_all(name_contains="v3")])
endpoint.delete()
endpoint.wait_for_delete(poll=1)
say("gone")
""")  # fmt: skip
    assert lines == ["InService 1", "b'[1]' AllTraffic", "['v3-endpoint']", "gone"]


def test_sdk_v2_deploys_an_approved_model_package_and_no_other(server, image):
    lines = python(server, "sdk2", f"""
import sagemaker
from botocore.exceptions import ClientError
from sagemaker.model import Model, ModelPackage
session = sagemaker.Session()
role = sagemaker.get_execution_role()
data = session.upload_string_as_file_body("no archive", session.default_bucket(), "package/model.tar.gz")
package = Model(image_uri="{URI}", model_data=data, role=role, sagemaker_session=session).register(
    content_types=["text/csv"], response_types=["text/csv"], inference_instances=["ml.m5.large"],
    transform_instances=["ml.m5.large"], model_package_group_name="Deployable",
    approval_status="PendingManualApproval")
arn = package.model_package_arn
def deploy(name, kind):
    model = ModelPackage(role=role, model_package_arn=arn, sagemaker_session=session, name=name)
    try:
        model.deploy(1, kind, endpoint_name=name, wait=False)
        session.wait_for_endpoint(name, poll=0.2)
    except ClientError as error:
        say(error.response["Error"]["Message"])
    except sagemaker.exceptions.UnexpectedStatusException as error:
        say(error.actual_status, "can't be unpacked" in str(error))
try:  # ModelPackage.deploy would approve it by itself
    session.create_model("pending", role, {{"ModelPackageName": arn}})
except ClientError as error:
    say(error.response["Error"]["Message"])
package.update_approval_status("Approved")
deploy("wrong", "ml.t2.medium")
deploy("broken", "ml.m5.large")
""")  # fmt: skip
    assert "its approval status is PendingManualApproval" in lines[0]
    assert "ml.t2.medium is not supported" in lines[1]
    assert "Supported instance types: ml.m5.large" in lines[1]
    assert lines[2] == "Failed True"
