"""A server that is killed in the middle of a build's `docker build`: the build waits for the next one, and goes on."""

import uuid

from support.builds import processes
from support.codebuild import create, ended, make_image, said
from support.server import serving
from support.waiting import until


def test_docker_build_outlives_kill_9(tmp_path):
    """What the builder ran goes with the server; the image is built once more, the build's own commands run once."""
    pause = f"1.{uuid.uuid4().int % 10**9:09}"
    dockerfile = f"FROM scratch\\nCOPY data.txt /data/\\nRUN sleep {pause}\\n"
    commands = [
        "echo begin; echo data > data.txt",
        f"printf '{dockerfile}' > Dockerfile",
        "docker build -t mine:1 . && docker images",
        "echo end",
    ]
    with serving(tmp_path / "home") as server:
        make_image(server, tmp_path)
        create(server.client("codebuild"), "dockers", *commands, environment={"privilegedMode": True})
        identity = server.client("codebuild").start_build(projectName="dockers")["build"]["id"]
        until(lambda: processes(f"sleep\0{pause}"), 60)
        server.kill()
        server.start()
        build = ended(server.client("codebuild"), identity)
        lines = said(server.client("logs"), build)
    assert build["buildStatus"] == "SUCCEEDED", lines
    assert (lines.count("begin"), lines.count("end")) == (1, 1)
    assert any("Successfully tagged mine:1" in line for line in lines)
    assert not processes(pause)
