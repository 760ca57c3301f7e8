"""The tables must decide about every member that AWS's model has: no more, no fewer."""

import pytest

from modelwright.errors import UnsupportedOperation
from modelwright.protocol import spec
from modelwright.services.iam import Iam
from modelwright.services.logs.groups import LogGroups
from modelwright.services.logs.streams import LogStreams
from modelwright.services.members import HONOURED, Rule, check_members, recorded, refused, rows
from modelwright.services.runtime import Runtime
from modelwright.services.sagemaker.endpoint_configs import EndpointConfigs
from modelwright.services.sagemaker.endpoints import Endpoints
from modelwright.services.sagemaker.model_package_groups import ModelPackageGroups
from modelwright.services.sagemaker.model_packages import ModelPackages
from modelwright.services.sagemaker.models import Models
from modelwright.services.sagemaker.pipeline_executions import PipelineExecutions
from modelwright.services.sagemaker.pipeline_versions import PipelineVersions
from modelwright.services.sagemaker.pipelines import Pipelines
from modelwright.services.sagemaker.processing_jobs import ProcessingJobs
from modelwright.services.sagemaker.search import Search
from modelwright.services.sagemaker.training_jobs import TrainingJobs

CLASSES = [
    ("sagemaker", TrainingJobs),
    ("sagemaker", ProcessingJobs),
    ("sagemaker", Models),
    ("sagemaker", EndpointConfigs),
    ("sagemaker", Endpoints),
    ("sagemaker-runtime", Runtime),
    ("sagemaker", ModelPackageGroups),
    ("sagemaker", ModelPackages),
    ("sagemaker", Pipelines),
    ("sagemaker", PipelineVersions),
    ("sagemaker", PipelineExecutions),
    ("sagemaker", Search),
    ("iam", Iam),
    ("logs", LogGroups),
    ("logs", LogStreams),
]
TABLES = {
    (service, method.aws_operation): method.members
    for service, owner in CLASSES
    for method in vars(owner).values()
    if getattr(method, "members", None) is not None
}


def test_there_are_tables():
    assert ("sagemaker", "CreateTrainingJob") in TABLES
    assert ("sagemaker", "Search") in TABLES


@pytest.mark.parametrize(("service", "operation"), TABLES)
def test_every_member_of_the_model_has_a_fate(service, operation):
    compare(TABLES[service, operation], spec.operation(service, operation).input_shape, operation)


def compare(table, shape, path):
    while shape.type_name == "list":
        shape = shape.member
    assert set(table) == set(shape.members), path
    for name, entry in table.items():
        if not isinstance(entry, Rule):
            compare(entry, shape.members[name], f"{path}.{name}")


@pytest.mark.parametrize(("service", "operation"), TABLES)
def test_what_is_not_honoured_says_why(service, operation):
    for path, rule in rows(TABLES[service, operation]):
        assert rule.fate == "honoured" or rule.why.endswith("."), path


TABLE = {
    "Name": HONOURED,
    "Count": refused("Use 1.", 1),
    "Parts": {"Colour": recorded("All are grey."), "Weight": refused("Leave it out.")},
}


def test_rows_are_paths():
    assert [path for path, _ in rows(TABLE)] == ["Name", "Count", "Parts.Colour", "Parts.Weight"]


def test_what_is_fine_passes():
    check_members("MakeThing", TABLE, {"Name": {"any": 1}, "Count": 1, "Parts": [{"Colour": "red"}]})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"Count": 2}, "Modelwright does not support Count = 2 in MakeThing. Use 1."),
        (
            {"Parts": [{}, {"Weight": 3}]},
            "Modelwright does not support Parts[1].Weight in MakeThing. Leave it out.",
        ),
        ({"New": 1}, "Modelwright does not support New in MakeThing. Leave it out."),
    ],
)
def test_what_is_not_is_named(parameters, message):
    with pytest.raises(UnsupportedOperation) as caught:
        check_members("MakeThing", TABLE, parameters)
    assert caught.value.message == message
