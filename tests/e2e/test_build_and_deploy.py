"""A project from `model-build-deploy` with the code that it begins with: from its first commit to production's answers.

Slow (a minute), and it needs a package registry that pip is configured for.
"""

import json

import pytest

from support.deployments import Deployment
from support.server import serving
from support.waiting import until

AVERAGE = "0," * 9 + "0"
"""A patient in whom nothing is out of the ordinary: the data's columns are centred."""
HEAVY = "0,0,0.1" + ",0" * 7
BUILD_SECONDS = 600


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("build-and-deploy") / "home") as server:
        project = Deployment(server, "diabetes")
        project.create("model-build-deploy")
        assert project.settled()["ProjectStatus"] == "CreateCompleted", project.describe()
        yield project
        project.clean()


def answered(project, stage, rows):
    answer = project.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=f"{project.name}-{stage}", Body=rows, ContentType="text/csv", Accept="application/json"
    )
    return json.loads(answer["Body"].read())


@pytest.mark.timeout(1200)
def test_its_first_commit_goes_to_production_when_it_is_approved(project):
    project.uses("modeldeploy")
    asked = {
        "test/requests/average.csv": AVERAGE.encode(),
        "test/requests/average.csv.expected.json": b'[{"atLeast": 140}]',
    }
    idle = project.first_over()
    project.put("A question for staging", asked)
    assert project.ended(project.newer({idle})) == "Failed", "there is no approved version yet"
    before = project.ids()

    project.uses("modelbuild")
    (built,) = project.ids()
    assert (
        until(lambda: project.status(built) != "InProgress" and project.status(built), BUILD_SECONDS) == "Succeeded"
    ), project.log(built, project.actions(built).popitem()[0])
    group = f"{project.name}-{project.id}"
    (version,) = project.client("sagemaker").list_model_packages(ModelPackageGroupName=group)["ModelPackageSummaryList"]
    assert version["ModelApprovalStatus"] == "PendingManualApproval"

    project.uses("modeldeploy")
    project.approve_version(version["ModelPackageArn"])
    execution = project.newer(before)
    token = project.token(execution)
    assert "average.csv: ok" in project.log(execution, "TestStaging")
    assert project.endpoints() == {f"{project.name}-staging": "InService"}
    project.answer(token)
    assert project.ended(execution) == "Succeeded", project.problems()
    average, heavy = answered(project, "prod", f"{AVERAGE}\n{HEAVY}\n".encode())
    assert average == pytest.approx(152, abs=10)
    assert heavy > average + 30

    project.delete()
    project.gone()
    assert project.endpoints() == {}
