"""A server that is killed while events wait to be delivered: the next one delivers them."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.server import serving
from support.waiting import until


class Hook(BaseHTTPRequestHandler):
    """Answers `server.status` and notes what it was asked."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.server.status, json.loads(body)["detail"]))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def hook():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.status, server.seen = 503, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_events_outlive_kill_9(tmp_path, hook):
    with serving(tmp_path / "home") as server:
        events = server.client("events")
        basic = {"BasicAuthParameters": {"Username": "u", "Password": "p"}}
        connection = events.create_connection(Name="c", AuthorizationType="BASIC", AuthParameters=basic)
        destination = events.create_api_destination(
            Name="d",
            ConnectionArn=connection["ConnectionArn"],
            InvocationEndpoint=f"http://127.0.0.1:{hook.server_port}/",
            HttpMethod="POST",
        )
        events.put_rule(Name="r", EventPattern='{"source": ["mine"]}')
        role = "arn:aws:iam::111122223333:role/R"
        events.put_targets(Rule="r", Targets=[{"Id": "1", "Arn": destination["ApiDestinationArn"], "RoleArn": role}])
        entries = [{"Source": "mine", "DetailType": "t", "Detail": json.dumps({"n": n})} for n in range(5)]
        assert events.put_events(Entries=entries)["FailedEntryCount"] == 0
        until(lambda: hook.seen)
        server.kill()
        hook.status = 200
        server.start()
        until(lambda: len([detail for status, detail in hook.seen if status == 200]) == 5)
    taken = sorted(detail["n"] for status, detail in hook.seen if status == 200)
    assert taken == [0, 1, 2, 3, 4]
