"""CodeBuild over the wire: projects with little in them, builds to their end."""

from modelwright.images.library import LocalImages
from support.builds import spec
from support.waiting import until

ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
IMAGE = "bare-build:1"


def make_image(server, folder):
    """An image with the host's programs and nothing else: it is there at once."""
    (folder / "Dockerfile").write_text("FROM scratch\n")
    LocalImages(server.settings).build(folder, IMAGE, lambda line: None)


def create(client, name, *commands, source=None, environment=None, **more):
    """A project; without a source its buildspec has the commands."""
    return client.create_project(
        name=name,
        source=source or {"type": "NO_SOURCE", "buildspec": spec(*commands)},
        artifacts=more.pop("artifacts", {"type": "NO_ARTIFACTS"}),
        environment={
            "type": "LINUX_CONTAINER",
            "image": IMAGE,
            "computeType": "BUILD_GENERAL1_SMALL",
            **(environment or {}),
        },
        serviceRole=ROLE,
        **more,
    )["project"]


def build_of(client, identity):
    return client.batch_get_builds(ids=[identity])["builds"][0]


def ended(client, identity, seconds=120):
    """The build's document when it has ended."""

    def found():
        build = build_of(client, identity)
        return build if build["buildComplete"] else None

    return until(found, seconds)


def said(logs, build):
    """What the build's commands have printed themselves."""
    where = build["logs"]
    found = logs.get_log_events(logGroupName=where["groupName"], logStreamName=where["streamName"], startFromHead=True)[
        "events"
    ]
    return [event["message"] for event in found if not event["message"].startswith("[Container] ")]
