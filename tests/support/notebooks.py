"""A stand-in for JupyterLab that has its doors: what notebook instances run in tests."""

from modelwright.images.library import LocalImages

JUPYTER = """#!/usr/bin/env python3
import http.server, json, os, sys, urllib.parse
options = dict(word.split("=", 1) for word in sys.argv if word.startswith("--ServerApp."))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        token = urllib.parse.parse_qs(url.query).get("token", [""])[0]
        if url.path == "/crash":
            print("Traceback: it broke", flush=True)
            os._exit(3)
        allowed = url.path == "/api" or token == os.environ["JUPYTER_TOKEN"]
        if url.path == "/lab" and allowed:
            with open("visits", "a") as file:
                file.write("x")
        told = {
            "endpoint": os.environ.get("AWS_ENDPOINT_URL"), "key": os.environ.get("AWS_ACCESS_KEY_ID"),
            "folder": os.getcwd(), "visits": os.path.exists("visits") and os.path.getsize("visits"),
            "argv": sys.argv,
        }
        self.send_response(200 if allowed else 403)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())
    def log_message(self, *arguments):
        pass
place = (options["--ServerApp.ip"], int(options["--ServerApp.port"]))
print("JupyterLab stands in at", place, flush=True)
http.server.ThreadingHTTPServer(place, Handler).serve_forever()
"""


def stand_in(settings, folder):
    """Build it as the image that would be installed, whose place it takes."""
    image = folder / "jupyter-image"
    image.mkdir()
    (image / "jupyter").write_text(JUPYTER)
    (image / "Dockerfile").write_text(
        "FROM python:3.11-slim\nCOPY jupyter /usr/local/bin/jupyter\nRUN chmod 755 /usr/local/bin/jupyter\n"
    )
    LocalImages(settings).build(image, "aws/sagemaker/notebook:latest", lambda line: None)
