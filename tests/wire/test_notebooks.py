"""Notebook instances by boto3 on a real server, with a stand-in for JupyterLab that has its doors."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from support.notebooks import stand_in
from support.server import serving

ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    with serving(folder / "home") as running:
        stand_in(running.settings, folder)
        yield running
        client = running.client("sagemaker")
        for each in client.list_notebook_instances(MaxResults=100)["NotebookInstances"]:  # they outlive the server
            name = each["NotebookInstanceName"]
            if until(client, name, "InService", "Stopped", "Failed")["NotebookInstanceStatus"] == "InService":
                client.stop_notebook_instance(NotebookInstanceName=name)
            until(client, name, "Stopped", "Failed")


def until(client, name, *statuses):
    """Wait for a status; what Describe says then, or None when the instance is gone."""
    pause, deadline = threading.Event(), time.monotonic() + 90
    while True:
        try:
            found = client.describe_notebook_instance(NotebookInstanceName=name)
        except ClientError as error:
            if "RecordNotFound" not in str(error):
                raise
            found = None
        status = "Gone" if found is None else found["NotebookInstanceStatus"]
        if status in statuses:
            return found
        assert time.monotonic() < deadline, found
        pause.wait(0.05)


def create(client, name):
    client.create_notebook_instance(NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=ROLE)
    return until(client, name, "InService", "Failed")


def get(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=30) as answer:
        return json.loads(answer.read())


def opened(client, name):
    return client.create_presigned_notebook_instance_url(NotebookInstanceName=name)["AuthorizedUrl"]


def test_from_the_first_start_to_the_end(home):
    client = home.client("sagemaker")
    described = create(client, "mina")
    assert described["NotebookInstanceStatus"] == "InService", described
    url = opened(client, "mina")
    told = get(url)
    assert told["endpoint"] == home.url
    assert told["folder"] == "/home/ec2-user/SageMaker"
    token = url.partition("token=")[2]
    assert not any(token in word for word in told["argv"]), "`ps` would show it to everybody"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(url.replace(token, "guessed"))

    home.kill()
    home.start(port=home.running.port)
    client = home.client("sagemaker")
    assert until(client, "mina", "InService")["Url"] == described["Url"], "it goes on"
    assert get(url)["visits"] == 2

    with pytest.raises(ClientError, match="Unable to transition to"):
        client.delete_notebook_instance(NotebookInstanceName="mina")
    client.stop_notebook_instance(NotebookInstanceName="mina")
    stopped = until(client, "mina", "Stopped", "Failed")
    assert stopped["NotebookInstanceStatus"] == "Stopped", stopped
    assert "Url" not in stopped
    with pytest.raises(ClientError, match="start it first"):
        opened(client, "mina")

    client.start_notebook_instance(NotebookInstanceName="mina")
    until(client, "mina", "InService")
    again = opened(client, "mina")
    assert again.partition("token=")[2] != token
    assert get(again)["visits"] == 3, "its folder stayed"
    log = home.client("logs").get_log_events(
        logGroupName="/aws/sagemaker/NotebookInstances", logStreamName="mina/jupyter.log"
    )
    assert sum("JupyterLab stands in" in line["message"] for line in log["events"]) == 2

    client.stop_notebook_instance(NotebookInstanceName="mina")
    until(client, "mina", "Stopped")
    client.delete_notebook_instance(NotebookInstanceName="mina")
    until(client, "mina", "Gone")
    assert not (home.settings.notebooks / "mina").exists()
    assert create(client, "mina")["NotebookInstanceStatus"] == "InService"
    assert get(opened(client, "mina"))["visits"] == 1, "a new one of that name has a new folder"


def test_one_that_breaks_says_why(home):
    client = home.client("sagemaker")
    address = create(client, "broken")["Url"]
    with pytest.raises((OSError, ValueError)):
        get(f"http://{address}/crash")
    failed = until(client, "broken", "Failed")
    assert "exit status 3" in failed["FailureReason"]
    assert "it broke" in failed["FailureReason"]
    client.start_notebook_instance(NotebookInstanceName="broken")
    assert "FailureReason" not in until(client, "broken", "InService")


def test_what_is_refused(home):
    client = home.client("sagemaker")
    with pytest.raises(ClientError, match="RecordNotFound"):
        client.stop_notebook_instance(NotebookInstanceName="none")
    given = {"NotebookInstanceName": "odd", "InstanceType": "ml.t3.medium", "RoleArn": ROLE}
    for more in ({"SubnetId": "subnet-1"}, {"LifecycleConfigName": "x"}, {"DirectInternetAccess": "Disabled"}):
        with pytest.raises(ClientError) as refused:
            client.create_notebook_instance(**given, **more)
        assert refused.value.response["Error"]["Code"] == "UnsupportedOperation"
    names = [each["NotebookInstanceName"] for each in client.list_notebook_instances()["NotebookInstances"]]
    assert "odd" not in names


def test_a_viewer_reads_only_and_it_acts_as_a_developer(home):
    iam = home.client("iam")
    iam.create_user(UserName="vera")
    iam.add_user_to_group(UserName="vera", GroupName="viewer")
    made = iam.create_access_key(UserName="vera")["AccessKey"]
    key = type("Key", (), {"id": made["AccessKeyId"], "secret": made["SecretAccessKey"]})
    viewer, client = home.client("sagemaker", key=key), home.client("sagemaker")
    create(client, "watched")
    assert viewer.describe_notebook_instance(NotebookInstanceName="watched")
    for verb in ("stop_notebook_instance", "create_presigned_notebook_instance_url", "delete_notebook_instance"):
        with pytest.raises(ClientError) as refused:
            getattr(viewer, verb)(NotebookInstanceName="watched")
        assert "AccessDenied" in refused.value.response["Error"]["Code"]
    iam.remove_user_from_group(UserName="vera", GroupName="viewer")
    iam.add_user_to_group(UserName="vera", GroupName="developer")
    viewer.describe_notebook_instance(NotebookInstanceName="watched")
    with pytest.raises(ClientError, match="Only admin, who created it") as refused:
        opened(viewer, "watched")
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    told = get(opened(client, "watched"))
    assert told["key"].startswith("ASIAMW"), "a key of its own"
    assert told["key"] != home.keys.admin.id


def test_down_ends_them_and_their_folders_stay(home):
    client = home.client("sagemaker")
    create(client, "evening")
    assert get(opened(client, "evening"))["visits"] == 1
    command = [sys.executable, "-m", "modelwright", "down", "--home", str(home.settings.home)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=home.environ, timeout=120)
    assert re.search(r"Ended \d+ notebooks?\.", done.stdout), done.stdout
    home.process.wait()
    home.start(port=home.running.port)
    client = home.client("sagemaker")
    stopped = until(client, "evening", "Stopped", "Failed")
    assert stopped["NotebookInstanceStatus"] == "Stopped", stopped
    client.start_notebook_instance(NotebookInstanceName="evening")
    until(client, "evening", "InService")
    assert get(opened(client, "evening"))["visits"] == 2
