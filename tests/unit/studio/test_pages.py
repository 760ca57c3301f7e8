"""Pages over a platform that is not served: what they show, refuse and do, without a browser."""

import json
import re
import time
import uuid

import pytest

from modelwright.metrics.aggregates import of_values
from modelwright.store.logs import put_log_events
from modelwright.store.metrics import Series
from modelwright.studio.session import COOKIE, links, sign_in_address
from support.browser import PARAMETERS, ROLE, STEPS, Browser

PAGES = [
    "/",
    "/pipelines",
    "/models",
    "/jobs/training",
    "/jobs/processing",
    "/deployments",
    "/projects",
    "/endpoints",
    "/data",
    "/images",
    "/settings",
]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_page_has_something_to_say_when_there_is_nothing(user, path, language):
    answer = user.get(path, headers={"accept-language": f"{language}-XX,en;q=0.5"})
    assert answer.status_code == 200, answer.text
    assert f'<html lang="{language}"' in answer.text
    assert answer.text.count("<h1>") == 1
    assert ("홈" in answer.text) == (language == "ko")


def test_whom_nobody_knows_is_sent_to_sign_in_and_comes_back(browser):
    answer = browser.get("/pipelines?search=x")
    assert answer.status_code == 303
    address = answer.headers["location"]
    assert address.startswith("/studio/sign-in?next=")
    assert "/studio/pipelines?search=x" in browser("GET", address).text
    key = browser.platform.keys.admin
    fields = {"key": key.id, "secret": key.secret, "next": "/studio/pipelines?search=x"}
    signed_in = browser("POST", "/studio/sign-in", data=fields)
    assert 'content="0;url=/studio/pipelines?search=x"' in signed_in.text
    cookie = signed_in.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/studio" in cookie
    assert browser.get("/pipelines").status_code == 200


@pytest.mark.parametrize(
    "elsewhere", ["https://example.com", "//example.com", "/studio//example.com", "/\\example.com"]
)
def test_signing_in_never_sends_anybody_elsewhere(browser, elsewhere):
    key = browser.platform.keys.admin
    answer = browser("POST", "/studio/sign-in", data={"key": key.id, "secret": key.secret, "next": elsewhere})
    assert 'content="0;url=/studio/"' in answer.text


def test_a_wrong_secret_is_refused(browser):
    answer = browser("POST", "/studio/sign-in", data={"key": browser.platform.keys.admin.id, "secret": "no"})
    assert answer.status_code == 401
    assert COOKIE not in answer.cookies
    assert "There is no such access key" in answer.text


def test_the_printed_link_signs_in_once(browser):
    key = browser.platform.keys.admin
    path = sign_in_address("", links(browser.platform.keys.signing("studio links"), 0, 0, time.time), key.id)
    assert COOKIE in browser("GET", path).cookies
    other = Browser(browser.platform)
    assert other("GET", path).status_code == 401
    assert browser.get("/").status_code == 200


def test_signing_out_takes_the_cookie_away(user):
    assert user.post("/sign-out").status_code == 303
    assert user.get("/").status_code == 303


def test_an_upload_needs_the_token_too(user):
    user.call("CreateBucket", "s3", Bucket="bucket")
    answer = user("PUT", "/studio/data/bucket/upload?key=x", content=b"1", headers={"x-form-token": "forged"})
    assert answer.status_code == 403
    assert user.call("ListObjectsV2", "s3", Bucket="bucket")["KeyCount"] == 0


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/studio.css", "/static/nothing.js"])
def test_every_answer_is_guarded(user, path):
    answer = user.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    if "static" not in path:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", PAGES)
def test_pages_carry_no_script_and_no_style_and_nothing_of_others(user, path):
    text = user.get(path).text
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", text)
    assert not re.search(r"(src|href|action)=\"(https?:)?//", text)


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/pipelines/none",
        "/models/none",
        "/jobs/training/none",
        "/jobs/other",
        "/data/none-such",
        "/endpoints/none",
    ],
)
def test_what_is_not_there_is_said(user, path):
    answer = user.get(path)
    assert answer.status_code == 404, answer.text
    assert "Not found" in answer.text


def test_a_bucket_may_be_called_studio(user):
    user.call("CreateBucket", "s3", Bucket="studio")
    signed = user("GET", "/studio/key", headers={"authorization": "AWS4-HMAC-SHA256 Credential=x"})
    assert signed.headers["content-type"] == "application/xml"
    assert user("GET", "/studios").headers["content-type"] == "application/xml"


def test_language_and_theme_are_remembered(user):
    answer = user.post("/preferences", language="ko", theme="dark", back="/studio/pipelines")
    assert answer.headers["location"] == "/studio/pipelines"
    assert '<html lang="ko" data-theme="dark">' in user.get("/").text
    user.post("/preferences", language="xx", theme="xx", back="https://example.com")
    assert '<html lang="ko" data-theme="dark">' in user.get("/").text


def test_the_form_has_the_parameters_and_starts_what_was_typed(user):
    user.pipeline()
    page = user.get("/pipelines/Pose/start").text
    assert 'name="parameter.Epochs" value="3"' in page
    assert '<option value="good">' in page
    fields = {"parameter.Epochs": "7", "parameter.Mode": "good", "title": "seven", "token": uuid.uuid4().hex}
    answer = user.post("/pipelines/Pose/start", **fields)
    assert answer.status_code == 303
    twice = user.post("/pipelines/Pose/start", **fields)
    assert twice.headers["location"] == answer.headers["location"]
    (execution,) = user.executions()
    assert execution["PipelineExecutionDisplayName"] == "seven"
    arn = execution["PipelineExecutionArn"]
    values = user.call("ListPipelineParametersForExecution", PipelineExecutionArn=arn)["PipelineParameters"]
    assert {"Name": "Epochs", "Value": "7"} in values
    page = user("GET", answer.headers["location"]).text
    assert "seven" in page
    assert "Executing" in page
    again = user.get(f"/pipelines/Pose/start?like={arn.rpartition('/')[2]}").text
    assert 'name="parameter.Epochs" value="7"' in again


def test_what_is_wrong_stands_at_its_field_and_nothing_is_started(user):
    user.pipeline()
    fields = {"parameter.Epochs": "seven", "parameter.Mode": "good", "token": uuid.uuid4().hex}
    answer = user.post("/pipelines/Pose/start", **fields)
    assert answer.status_code == 400
    assert re.search(r'value="seven"[^>]* aria-invalid="true"', answer.text)
    assert "Enter a whole number." in answer.text
    assert user.executions() == []


def test_what_the_door_refuses_is_told_in_the_form(user):
    user.pipeline()
    fields = {"parameter.Epochs": "1", "parameter.Mode": "good", "token": uuid.uuid4().hex, "title": "not a name!"}
    answer = user.post("/pipelines/Pose/start", **fields)
    assert answer.status_code == 400
    assert "pipelineExecutionDisplayName" in answer.text
    assert 'value="not a name!"' in answer.text


@pytest.mark.parametrize("tab", ["executions", "graph", "parameters", "versions", "settings", "nonsense"])
def test_a_pipelines_tabs(user, tab):
    user.pipeline()
    answer = user.get(f"/pipelines/Pose?tab={tab}")
    assert answer.status_code == 200
    assert "&lt;script&gt;" not in answer.text or tab == "settings"
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize("query", ["", "sort=name&order=up", "status=Executing", "search=n-1", "sort=status", "sort=x"])
def test_executions_are_paged_sorted_and_searched_by_the_address(user, query):
    user.pipeline()
    for number in range(27):
        user.call(
            "StartPipelineExecution", PipelineName="Pose", ClientRequestToken=uuid.uuid4().hex,
            PipelineExecutionDisplayName=f"run-{number}",
        )  # fmt: skip
    page = user.get(f"/pipelines/Pose?{query}").text
    names = re.findall(r">(run-\d+)</a>", page)
    if "search" in query:
        assert {f"run-1{n}" for n in range(10)} | {"run-1"} == set(names)
        return
    assert len(names) == 25
    following = re.search(r'href="([^"]*page=[^"]*)">Next page', page)[1].replace("&amp;", "&")
    rest = re.findall(r">(run-\d+)</a>", user.get(f"/pipelines/Pose{following}").text)
    assert sorted(names + rest) == sorted(f"run-{n}" for n in range(27))
    if query.startswith("sort=name"):
        assert names == sorted(f"run-{n}" for n in range(27))[:25]


def started(user, **parameters):
    found = user.call(
        "StartPipelineExecution", PipelineName="Pose", ClientRequestToken=uuid.uuid4().hex,
        PipelineParameters=[{"Name": name, "Value": value} for name, value in parameters.items()],
    )  # fmt: skip
    return found["PipelineExecutionArn"].rpartition("/")[2]


def test_chosen_parameters_are_columns_and_stay_in_the_address(user):
    user.pipeline()
    started(user, Epochs="11")
    plain = user.get("/pipelines/Pose").text
    assert '<td class="value">11</td>' not in plain
    page = user.get("/pipelines/Pose?column=Epochs&column=Mode&column=Nothing").text
    assert '<td class="value">11</td>' in page
    assert '<td class="value">fast</td>' in page
    assert '<th scope="col">Nothing</th>' not in page
    assert "column=Epochs&amp;column=Mode" in re.search(r'href="([^"]*sort=name[^"]*)"', page)[1]


def test_executions_side_by_side(user):
    user.pipeline()
    first = started(user, Epochs="3")
    definition = {"Version": "2020-12-01", "Metadata": {}, "Parameters": PARAMETERS, "Steps": []}
    definition["Steps"] = [{**STEPS[0], "Name": "Gate"}]
    user.call("UpdatePipeline", PipelineName="Pose", PipelineDefinition=json.dumps(definition))
    second = started(user, Epochs="5")
    page = user.get(f"/pipelines/Pose/compare?execution={first}&execution={second}").text
    rows = dict(re.findall(r'<tr( class="differs")?><th scope="row">(Epochs|Mode)', page)[i][::-1] for i in range(2))
    assert rows == {"Epochs": ' class="differs"', "Mode": ""}
    assert re.search(r'removed</span></td><td>Step <span class="strong">Check', page)
    assert re.search(r'added</span></td><td>Step <span class="strong">Gate', page)
    only = user.get(f"/pipelines/Pose/compare?execution={first}&execution={second}&only=differences").text
    assert '<th scope="row">Mode' not in only
    assert "Choose two or more executions" in user.get(f"/pipelines/Pose/compare?execution={first}").text
    assert user.get(f"/pipelines/Pose/compare?execution={first}&execution=none").status_code == 404


def test_versions_of_a_pipeline_and_what_changed(user):
    user.pipeline()
    assert "only one version" in user.get("/pipelines/Pose?tab=versions").text
    changed = [{**PARAMETERS[0], "DefaultValue": 9}, PARAMETERS[1]]
    definition = {"Version": "2020-12-01", "Metadata": {}, "Parameters": changed, "Steps": STEPS}
    user.call("UpdatePipeline", PipelineName="Pose", PipelineDefinition=json.dumps(definition))
    page = user.get("/pipelines/Pose?tab=versions").text
    assert "From version 1 to version 2" in page
    assert re.search(r"DefaultValue</span> <del class=\"value\">3</del> → <ins class=\"value\">9</ins>", page)
    assert "From version 2 to version 1" in user.get("/pipelines/Pose?tab=versions&before=2&after=1").text
    assert user.get("/pipelines/Pose?tab=versions&before=1&after=7").status_code == 404


def test_an_execution_is_stopped_from_the_list(user):
    user.pipeline()
    answer = user.post(f"/pipelines/Pose/executions/{started(user)}/stop", back="list")
    assert answer.headers["location"] == "/studio/pipelines/Pose"


@pytest.mark.parametrize("tab", ["graph", "timeline", "parameters", "settings"])
def test_an_executions_tabs_and_a_steps_panel(user, tab):
    user.pipeline()
    started = user.call("StartPipelineExecution", PipelineName="Pose", ClientRequestToken=uuid.uuid4().hex)
    path = f"/pipelines/Pose/executions/{started['PipelineExecutionArn'].rpartition('/')[2]}"
    answer = user.get(f"{path}?tab={tab}&step=Check&panel=input")
    assert answer.status_code == 200, answer.text
    assert ('class="panel"' in answer.text) == (tab in ("graph", "timeline"))
    assert f'data-live="/studio/live?watch=execution%2F{path.rpartition("/")[2]}"' in answer.text
    assert user.get(f"{path}?step=NoSuchStep").status_code == 200


def test_stop_asks_the_execution_to_stop(user):
    user.pipeline()
    started = user.call("StartPipelineExecution", PipelineName="Pose", ClientRequestToken=uuid.uuid4().hex)
    arn = started["PipelineExecutionArn"]
    path = f"/pipelines/Pose/executions/{arn.rpartition('/')[2]}"
    assert "Stop</button>" in user.get(path).text
    assert user.post(f"{path}/stop").headers["location"] == f"/studio{path}"
    assert user.call("DescribePipelineExecution", PipelineExecutionArn=arn)["PipelineExecutionStatus"] == "Stopping"
    refused = user.post(f"{path}/retry")
    assert refused.status_code == 400
    assert "Only pipelines with" in refused.text


def test_a_version_shows_its_report_and_is_approved_with_a_comment(user):
    user.version()
    page = user.get("/models/Group/1").text
    assert "mAP50" in page
    assert "0.8125" in page
    assert "Group · version 1" in user.get("/").text
    answer = user.post("/models/Group/1", status="Approved", comment="looks <right>")
    assert answer.status_code == 303
    page = user.get("/models/Group/1").text
    assert "looks &lt;right&gt;" in page
    assert user.post("/models/Group/1", status="Perhaps").status_code == 400
    (package,) = user.call("ListModelPackages", ModelPackageGroupName="Group")["ModelPackageSummaryList"]
    assert package["ModelApprovalStatus"] == "Approved"


def endpoint(user):
    """An endpoint as CreateEndpoint leaves it: nobody drives it here, so it stays Creating."""
    container = {"Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"}
    user.call("CreateModel", ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "All", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 2,
        "InitialVariantWeight": 1.5,
    }  # fmt: skip
    user.call("CreateEndpointConfig", EndpointConfigName="c", ProductionVariants=[variant])
    user.call("CreateEndpoint", EndpointName="pose", EndpointConfigName="c")


def test_an_endpoint_its_variants_and_what_it_refuses(user):
    endpoint(user)
    assert "0/2" in user.get("/endpoints").text
    page = user.get("/endpoints/pose").text
    assert 'name="weight.All" value="1.5"' in page
    assert "ml.m5.large" in page
    for tab in ("invoke", "logs", "settings"):
        assert user.get(f"/endpoints/pose?tab={tab}").status_code == 200
    wrong = user.post("/endpoints/pose/weights", **{"weight.All": "much", "count.All": "1"})
    assert wrong.status_code == 400
    assert "Enter numbers" in wrong.text
    refused = user.post("/endpoints/pose/weights", **{"weight.All": "2", "count.All": "1"})
    assert refused.status_code == 400
    assert "Cannot update in-progress endpoint" in refused.text
    answer = user.post("/endpoints/pose", text="{}", type="application/json")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert user.post("/endpoints/pose/delete").headers["location"] == "/studio/endpoints"
    assert user.call("DescribeEndpoint", EndpointName="pose")["EndpointStatus"] == "Deleting"


def test_a_container_is_chosen_where_they_are_invoked_directly(user):
    endpoint(user)
    assert 'name="container"' not in user.get("/endpoints/pose?tab=invoke").text
    image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
    containers = [{"Image": image, "ContainerHostname": host} for host in ("boxes", "points")]
    user.call(
        "CreateModel", ModelName="several", Containers=containers, InferenceExecutionConfig={"Mode": "Direct"},
        ExecutionRoleArn=ROLE,
    )  # fmt: skip
    variant = {"VariantName": "v", "ModelName": "several", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    user.call("CreateEndpointConfig", EndpointConfigName="several", ProductionVariants=[variant])
    user.call("CreateEndpoint", EndpointName="several", EndpointConfigName="several")
    page = user.get("/endpoints/several?tab=invoke").text
    assert "<option>boxes</option><option>points</option>" in page
    answer = user.post("/endpoints/several", text="{}", container="points").text
    assert "<option selected>points</option>" in answer


def test_an_endpoints_metrics(user):
    endpoint(user)
    empty = user.get("/endpoints/pose?tab=metrics").text
    assert "Nothing in this time." in empty
    assert "metrics%2Fendpoint%2Fpose%2F" in empty
    dimensions = (("EndpointName", "pose"), ("VariantName", "All"))
    now = time.time()
    for name, values in (("Invocations", [1, 1, 1]), ("Invocation4XXErrors", [0, 0, 1]), ("ModelLatency", [2500])):
        user.platform.metrics.add([(Series("AWS/SageMaker", name, dimensions), now, of_values(values))])
    page = user.get("/endpoints/pose?tab=metrics").text
    assert 'aria-label="Invocations: All 3"' in page
    assert "The model said 4XX 1" in page
    assert 'aria-label="Model latency: p50 2.5, p90 2.5, p99 2.5"' in page
    for span in ("3h", "1d", "1w", "nonsense"):
        assert 'aria-label="Invocations: All 3"' in user.get(f"/endpoints/pose?tab=metrics&range={span}").text


def test_an_instances_log_comes_live(user):
    endpoint(user)
    group = "/aws/sagemaker/Endpoints/pose"
    assert "Nothing has been written yet." in user.get("/endpoints/pose?tab=logs").text
    with user.platform.database.write() as transaction:
        for name in ("All/i-1", "All/i-2"):
            put_log_events(transaction, group, name, [(int(time.time() * 1000), f"I am {name} <b>")], 1)
    page = user.get("/endpoints/pose?tab=logs&stream=All/i-1").text
    assert "I am All/i-1 &lt;b&gt;" in page
    assert 'data-job="All/i-1"' in page
    assert "endpoint=pose&amp;stream=All%2Fi-1" in page
    assert "I am All/i-2" not in page


def test_an_answer_with_boxes_is_drawn(user, monkeypatch):
    endpoint(user)
    sent = {}
    real = user.platform.dispatcher.acall

    async def answering(context, service, operation, parameters):
        if operation != "InvokeEndpoint":
            return await real(context, service, operation, parameters)
        sent.update(parameters)
        found = {"confidence": 0.9, "box": [1, 2, 11, 22], "keypoints": [{"name": "nose", "x": 5, "y": 6}]}
        body = json.dumps({"image": {"width": 40, "height": 30}, "predictions": [found]}).encode()
        return {"Body": body, "ContentType": "application/json", "InvokedProductionVariant": "All"}

    monkeypatch.setattr(user.platform.dispatcher, "acall", answering)
    data = {"form-token": user.token, "type": "", "text": "", "accept": "", "variant": "All"}
    files = {"file": ("bus.jpg", b"jpeg", "image/jpeg")}
    page = user("POST", "/studio/endpoints/pose", data=data, files=files).text
    assert (sent["Body"], sent["ContentType"], sent["TargetVariant"]) == (b"jpeg", "image/jpeg", "All")
    assert 'viewBox="0 0 40.0 30.0"' in page
    assert '<rect x="1.0" y="2.0" width="10.0" height="20.0"/>' in page
    assert "1 boxes, 1 points" in page


def test_files_go_up_are_looked_at_and_go_away(user):
    assert user.post("/data", name="bucket").headers["location"] == "/studio/data/bucket"
    assert user.post("/data", name="NOT A BUCKET").status_code == 400
    headers = {"x-form-token": user.token}
    for key, content in {
        "a/table.csv": b"x,y\n1,<b>\n", "a/b/page.html": b"<script>alert(1)</script>", "a/data.json": b'{"k":[1]}',
        "a/no.bin": b"\0\1", "a/한글 이름.txt": "안녕".encode(), "a/empty.txt": b"", "a/pic.svg": b"<svg/>",
    }.items():  # fmt: skip
        answer = user("PUT", "/studio/data/bucket/upload", params={"key": key}, content=content, headers=headers)
        assert answer.status_code == 200, answer.text
    page = user.get("/data/bucket", params={"prefix": "a/"}).text
    assert "한글 이름.txt" in page
    assert ">b/</a>" in page
    seen = {key: user.get("/data/bucket/object", params={"key": f"a/{key}"}) for key in
            ("table.csv", "b/page.html", "data.json", "no.bin", "한글 이름.txt", "empty.txt", "pic.svg")}  # fmt: skip
    assert {answer.status_code for answer in seen.values()} == {200}
    assert "<td>&lt;b&gt;</td>" in seen["table.csv"].text
    assert "&lt;script&gt;" in seen["b/page.html"].text
    assert "No preview" in seen["no.bin"].text
    assert "안녕" in seen["한글 이름.txt"].text
    assert "The file is empty." in seen["empty.txt"].text
    raw = user.get("/data/bucket/raw", params={"key": "a/b/page.html"})
    assert raw.content == b"<script>alert(1)</script>"
    assert raw.headers["content-type"] == "application/octet-stream"
    assert raw.headers["content-disposition"] == 'attachment; filename="page.html"'
    image = user.get("/data/bucket/raw", params={"key": "a/pic.svg"})
    assert image.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in image.headers["content-security-policy"]
    user.post("/data/bucket/delete", key="a/no.bin", folder="a/b/", prefix="a/")
    keys = [each["Key"] for each in user.call("ListObjectsV2", "s3", Bucket="bucket")["Contents"]]
    assert keys == ["a/data.json", "a/empty.txt", "a/pic.svg", "a/table.csv", "a/한글 이름.txt"]


def test_files_go_up_without_script(user):
    user.call("CreateBucket", "s3", Bucket="bucket")
    files = [("files", ("one.txt", b"1", "text/plain")), ("files", ("two.txt", b"22", "text/plain"))]
    data = {"form-token": user.token, "prefix": "in/"}
    assert user("POST", "/studio/data/bucket", data=data, files=files).status_code == 303
    found = user.call("ListObjectsV2", "s3", Bucket="bucket")["Contents"]
    assert [(each["Key"], each["Size"]) for each in found] == [("in/one.txt", 1), ("in/two.txt", 2)]


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("s3://reports/evaluation.json", "/studio/data/reports/object?key=evaluation.json"),
        ("s3://reports/some/folder", "/studio/data/reports?prefix=some%2Ffolder%2F"),
        ("s3://reports", "/studio/data/reports"),
    ],
)
def test_an_s3_address_leads_to_its_page(user, uri, address):
    user.version()
    assert user.get("/s3", params={"uri": uri}).headers["location"] == address


def test_pages_are_light(user):
    """The heaviest page: an execution's graph, with all that it loads."""
    user.pipeline()
    started = user.call("StartPipelineExecution", PipelineName="Pose", ClientRequestToken=uuid.uuid4().hex)
    page = user.get(f"/pipelines/Pose/executions/{started['PipelineExecutionArn'].rpartition('/')[2]}")
    parts = re.findall(r'(?:src|href)="(/studio/static/[^"]+)"', page.text)
    assert len(parts) == 5
    weight = len(page.content) + sum(len(user("GET", part).content) for part in parts)
    assert weight <= 300 * 1024


def test_home_tells_of_deployments_builds_and_endpoints(user, monkeypatch):
    """As the services tell them; the engine that would run them is not there."""
    endpoint(user)
    page = user.get("/").text
    assert 'href="/studio/endpoints/' in page
    shown = {"codepipeline": "ListPipelines", "codebuild": "ListBuilds"}
    told = {
        "ListPipelines": {"pipelines": [{"name": "deploy"}]},
        "ListPipelineExecutions": {"pipelineExecutionSummaries": [{"status": "Failed", "startTime": 5.0}]},
        "GetPipelineState": {"pipelineName": "deploy", "stageStates": []},
        "ListBuilds": {"ids": ["p:1"]},
        "BatchGetBuilds": {
            "builds": [
                {"buildStatus": status, "projectName": f"build-{number}", "startTime": 6.0, **more}
                for number, (status, more) in enumerate(
                    [
                        ("IN_PROGRESS", {"initiator": "codepipeline/deploy"}),
                        ("TIMED_OUT", {}),
                        ("SUCCEEDED", {}),
                        ("FAILED", {"initiator": "codepipeline/deploy"}),
                    ]
                )
            ]
        },
    }
    door = user.platform.dispatcher
    asked = door.acall

    async def acall(context, service, operation, parameters):
        return told[operation] if service in shown else await asked(context, service, operation, parameters)

    monkeypatch.setattr(door, "acall", acall)
    page = user.get("/").text
    running, failed = (page.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0] for title in TITLES)
    assert 'href="/studio/deployments/deploy">build-0</a>' in running
    assert 'href="/studio/deployments/deploy">deploy</a>' in failed
    assert "build-1" in failed
    assert "build-2" not in page
    assert "build-3" not in page, "its deployment says it"


TITLES = ("Running", "Failed last")
