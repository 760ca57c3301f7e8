import base64
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from engine.test_events import approve, lines, open_deliveries, watch
from support.platform import ACCOUNT, REGION, running

ROLE = f"arn:aws:iam::{ACCOUNT}:role/R"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"


@contextmanager
def hook(*statuses):
    """A server that answers with these statuses, the last one for ever; what it was asked, and its URL."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = statuses[min(len(seen), len(statuses) - 1)]
            seen.append((self.path, dict(self.headers), body))
            self.send_response(status)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"oops")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield seen, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def destination(platform, url, *, basic=False, **more):
    name = "hook"
    auth = {"ApiKeyAuthParameters": {"ApiKeyName": "X-Key", "ApiKeyValue": "open sesame"}}
    if basic:
        auth = {"BasicAuthParameters": {"Username": "me", "Password": "secret"}}
    parameters = {**auth, **more}
    connection = platform.of(
        "events",
        "CreateConnection",
        Name=name,
        AuthorizationType="BASIC" if basic else "API_KEY",
        AuthParameters=parameters,
    )["ConnectionArn"]
    return platform.of(
        "events",
        "CreateApiDestination",
        Name=name,
        ConnectionArn=connection,
        InvocationEndpoint=url,
        HttpMethod="POST",
        InvocationRateLimitPerSecond=50,
    )["ApiDestinationArn"]


def test_one_that_fails_at_first_gets_the_event_in_the_end(tmp_path):
    with hook(503, 200) as (seen, url), running(tmp_path / "home") as platform:
        extra = {
            "QueryStringParameters": [{"Key": "token", "Value": "q", "IsValueSecret": True}],
            "BodyParameters": [{"Key": "extra", "Value": "b"}],
        }
        arn = destination(platform, f"{url}/hooks/*", InvocationHttpParameters=extra)
        http = {
            "PathParameterValues": ["$.detail.ModelPackageGroupName"],
            "HeaderParameters": {"X-Status": "$.detail.ModelApprovalStatus"},
        }
        transformer = {"InputPathsMap": {"arn": "$.detail.ModelPackageArn"}, "InputTemplate": '{"package": <arn>}'}
        watch(platform, Arn=arn, RoleArn=ROLE, HttpParameters=http, InputTransformer=transformer)
        package = approve(platform)
        platform.until(lambda: not open_deliveries(platform))
    assert len(seen) == 2
    path, headers, body = seen[1]
    assert path == "/hooks/poses?token=q"
    assert headers["X-Key"] == "open sesame"
    assert headers["X-Status"] == "Approved"
    assert headers["Content-Type"].startswith("application/json")
    assert json.loads(body) == {"package": package, "extra": "b"}


def test_one_that_always_fails_leaves_a_dead_letter(tmp_path):
    with hook(500) as (seen, url), running(tmp_path / "home") as platform:
        queue = platform.of("sqs", "CreateQueue", QueueName="dead")["QueueUrl"]
        arn = destination(platform, url, basic=True)
        policy = {"MaximumRetryAttempts": 1, "MaximumEventAgeInSeconds": 60}
        watch(platform, Arn=arn, RoleArn=ROLE, RetryPolicy=policy, DeadLetterConfig={"Arn": DEAD})
        approve(platform)
        platform.until(lambda: not open_deliveries(platform))
        (message,) = platform.of(
            "sqs", "ReceiveMessage", QueueUrl=queue, MessageAttributeNames=["All"], MaxNumberOfMessages=10
        )["Messages"]
        (line,) = lines(platform, "/aws/vendedlogs/events/event-bus/default")
    assert len(seen) == 2
    assert seen[0][1]["Authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()
    assert json.loads(message["Body"])["detail"]["ModelApprovalStatus"] == "Approved"
    attributes = {name: value["StringValue"] for name, value in message["MessageAttributes"].items()}
    assert attributes["TARGET_ARN"] == arn
    assert attributes["RULE_ARN"].endswith(":rule/watch")
    assert attributes["ERROR_CODE"] == "ERROR_FROM_TARGET"
    assert attributes["ERROR_MESSAGE"] == "HTTP status 500: oops"
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"
    assert attributes["RETRY_ATTEMPTS"] == "1"
    assert line["DEAD_LETTER"] == f"sent to {DEAD}"


def test_a_refusal_is_not_tried_again(tmp_path):
    with hook(400) as (seen, url), running(tmp_path / "home") as platform:
        watch(platform, Arn=destination(platform, url), RoleArn=ROLE)
        approve(platform)
        platform.until(lambda: not open_deliveries(platform))
    assert len(seen) == 1
