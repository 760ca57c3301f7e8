"""AWS's own words for parameters that the model refuses, all of them at once."""

import contextlib
import re

import pytest
from botocore.model import ListShape, MapShape, StructureShape
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.protocol import patterns, spec
from modelwright.protocol.validation import validate

ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
TRAINING = {
    "TrainingJobName": "job",
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def refusal(changes, service="sagemaker", operation="CreateTrainingJob", base=TRAINING):
    with pytest.raises(AwsError) as caught:
        validate(service, operation, {**base, **changes})
    return caught.value


def test_it_works():
    validate("sagemaker", "CreateTrainingJob", TRAINING)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"TrainingJobName": "a b"},
            "Value 'a b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression "
            "pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}",
        ),
        ({"RoleArn": None}, "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
        (
            {"OutputDataConfig": {}},
            "Value null at 'outputDataConfig.s3OutputPath' failed to satisfy constraint: Member must not be null",
        ),
        (
            {"StoppingCondition": {"MaxRuntimeInSeconds": 0}},
            "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value "
            "greater than or equal to 1",
        ),
        (
            {"Tags": [{"Key": "k", "Value": "v"}, {"Key": "", "Value": "v"}]},
            "Value '' at 'tags.2.member.key' failed to satisfy constraint: Member must have length greater than or "
            "equal to 1",
        ),
        (
            {"InputDataConfig": []},
            "Value '[]' at 'inputDataConfig' failed to satisfy constraint: Member must have length greater than or "
            "equal to 1",
        ),
        (
            {"HyperParameters": {"k": "v" * 2501}},
            "Value '{k="
            + "v" * 1021
            + "...' at 'hyperParameters' failed to satisfy constraint: Map value must satisfy "
            "constraint: [Member must have length less than or equal to 2500, Member must have length greater than or "
            "equal to 0, Member must satisfy regular expression pattern: .*]",
        ),
        (
            {"ResourceConfig": {**TRAINING["ResourceConfig"], "InstanceCount": "1"}},
            "Value '1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must be an integer",
        ),
        (
            {"ResourceConfig": {**TRAINING["ResourceConfig"], "InstanceCount": True}},
            "Value 'true' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must be an integer",
        ),
        (
            {"EnableNetworkIsolation": "yes"},
            "Value 'yes' at 'enableNetworkIsolation' failed to satisfy constraint: Member must be a boolean",
        ),
        ({"Tags": {}}, "Value '{}' at 'tags' failed to satisfy constraint: Member must be a list"),
        ({"Tags": ["x"]}, "Value 'x' at 'tags.1.member' failed to satisfy constraint: Member must be a structure"),
        ({"Tags": [None]}, "Value null at 'tags.1.member' failed to satisfy constraint: Member must not be null"),
        ({"Environment": []}, "Value '[]' at 'environment' failed to satisfy constraint: Member must be a map"),
    ],
)
def test_the_text_of_a_violation(changes, text):
    error = refusal(changes)
    assert error.message == f"1 validation error detected: {text}"
    assert (error.code, error.status) == ("ValidationException", 400)


def test_an_enumeration_is_told_whole():
    error = refusal({"AlgorithmSpecification": {"TrainingInputMode": "Disk"}})
    assert error.message == (
        "1 validation error detected: Value 'Disk' at 'algorithmSpecification.trainingInputMode' failed to satisfy "
        "constraint: Member must satisfy enum value set: [Pipe, File, FastFile]"
    )


def test_a_list_of_strings_is_told_as_one():
    error = refusal({"VpcConfig": {"SecurityGroupIds": ["sg ok"], "Subnets": ["s-1"]}})
    assert error.message == (
        "1 validation error detected: Value '[sg ok]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: "
        "Member must satisfy constraint: [Member must have length less than or equal to 32, Member must have length "
        "greater than or equal to 0, Member must satisfy regular expression pattern: [-0-9a-zA-Z]+]"
    )


def test_all_violations_come_at_once():
    error = refusal({"TrainingJobName": "x" * 64, "RoleArn": "me", "StoppingCondition": {"MaxRuntimeInSeconds": -1}})
    assert error.message.startswith("5 validation errors detected: ")
    for path in ("trainingJobName", "roleArn", "stoppingCondition.maxRuntimeInSeconds"):
        assert f"at '{path}'" in error.message
    assert "Member must have length less than or equal to 63" in error.message
    assert "Member must have length greater than or equal to 20" in error.message


def test_a_member_that_the_model_does_not_have_is_named():
    error = refusal({"Coffee": 1, "OutputDataConfig": {"S3OutputPath": "s3://b", "Milk": True}})
    assert isinstance(error, UnsupportedOperation)
    assert "outputDataConfig.Milk, Coffee" in error.message or "Coffee, outputDataConfig.Milk" in error.message
    assert "CreateTrainingJob" in error.message


def test_a_member_that_the_model_does_not_have_is_named_beside_violations_too():
    error = refusal({"Coffee": 1, "RoleArn": None})
    assert error.code == "ValidationException"
    assert "roleArn" in error.message
    assert "Coffee" in error.message


def test_null_and_internal_members_ask_for_nothing():
    validate("sagemaker", "CreateTrainingJob", {**TRAINING, "Tags": None, "Coffee": None, "_Internal": 1})


def test_parameters_of_an_operation_without_any():
    validate("sts", "GetCallerIdentity", {})
    with pytest.raises(UnsupportedOperation, match="Coffee"):
        validate("sts", "GetCallerIdentity", {"Coffee": 1})


def test_a_union_has_one_member():
    union = (
        spec.operation("bedrock-runtime", "Converse").input_shape.members["messages"].member.members["content"].member
    )
    assert union.is_tagged_union, "the model's example of a union"
    with pytest.raises(AwsError, match=re.escape("exactly one")):
        validate("bedrock-runtime", "Converse", {"modelId": "m", "messages": [{"role": "user", "content": [{}]}]})


@pytest.mark.parametrize(
    ("service", "operation", "parameters", "code"),
    [
        ("iam", "GetRole", {"RoleName": ""}, "ValidationError"),
        ("sts", "AssumeRole", {}, "ValidationError"),
        ("logs", "CreateLogGroup", {"logGroupName": "a b"}, "InvalidParameterException"),
        ("ecr", "CreateRepository", {"repositoryName": "A"}, "InvalidParameterException"),
        ("codebuild", "StartBuild", {}, "InvalidInputException"),
        ("s3", "PutObject", {"Bucket": "b"}, "InvalidArgument"),
        ("cloudformation", "CreateStack", {}, "ValidationError"),
        ("scheduler", "CreateSchedule", {}, "ValidationException"),
    ],
)
def test_each_service_has_its_code(service, operation, parameters, code):
    with pytest.raises(AwsError, match="validation error") as caught:
        validate(service, operation, parameters)
    assert caught.value.code == code


def test_what_must_not_be_seen_is_not_shown():
    with pytest.raises(AwsError) as caught:
        validate("iam", "CreateLoginProfile", {"UserName": "a b", "Password": ""})
    assert "a b" in caught.value.message
    assert "'***' at 'password'" in caught.value.message


def test_a_stream_is_not_looked_into():
    validate("s3", "PutObject", {"Bucket": "b", "Key": "k", "Body": object()})


def test_times_and_blobs_have_one_form_inside():
    validate(
        "logs",
        "PutLogEvents",
        {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "m"}]},
    )
    error = refusal({"CreationTimeAfter": "yesterday"}, operation="ListTrainingJobs", base={})
    assert "at 'creationTimeAfter' failed to satisfy constraint: Member must be a time" in error.message
    error = refusal({"EndpointName": "e", "Body": "text"}, "sagemaker-runtime", "InvokeEndpoint", {})
    assert "Member must be binary data" in error.message


def test_numbers_beyond_their_bits():
    error = refusal({"MaxResults": 2**31}, operation="ListTrainingJobs", base={})
    assert "32 bits" in error.message


# --- patterns ---


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", ["", "Modell-é 1", "모델/1"], ["a!", "a\n"]),
        (r"^(?!aws:)\S+$", ["abc"], ["aws:x", "a b"]),
        (r"\d+", ["123"], ["١٢٣", "12\n"]),
        (r"\w", ["a"], ["é"]),
        (r"\p{Alpha}[\p{Alnum}_]*", ["a_1"], ["1", "é"]),
        (r"[^\p{Cc}]+", ["é"], ["\x00"]),
        (r"\P{L}+", ["123"], ["a"]),
        (r"[a-z]++b?", ["abc"], ["1"]),
        (r"\pL+", ["é"], ["1"]),
        (r"[\w-_]+", ["a-b_"], ["+"]),
        (r"[\w- ]+", ["a- b"], ["+"]),
        (r"[]a]+", ["a]"], ["b"]),
        (r"x[|&~]+", ["x&&", "x||~~"], ["x"]),
        (r"^(?i)(true|false)$", ["TRUE"], ["x"]),
        (r"([a-z]*)${1,128}", ["abc"], ["1"]),
        (r"\p{IsAlphabetic}+", ["é"], ["1"]),
        (r"[^\p{Cntrl}]*", ["a"], ["\n"]),
        (r"(?i)abc", ["ABC"], ["x"]),
        (r"\Qa.b\E+", ["a.b", "a.bb"], ["axb"]),
        (r"[\w\[\]]+", ["a[]"], ["-"]),
        ("[\\u0020-\\uD7FF\\uE000-\\uFFFD\\uD800\\uDC00-\\uDBFF\\uDFFF\\r\\n\\t]*", ["ok é"], ["\x01"]),
        (r"[\x20-\x{10FFFF}]+", ["a", "\U0001f600"], ["\x01"]),
        (r"[-a-z]+", ["a-"], ["A"]),
        (r"\h", [" ", "\t"], ["a"]),
        (r"abc\z", ["abc"], ["abc\n"]),
    ],
)
def test_javas_patterns(pattern, good, bad):
    compiled = patterns.compiled(pattern)
    assert compiled is not None
    assert [text for text in good if not compiled.fullmatch(text)] == []
    assert [text for text in bad if compiled.fullmatch(text)] == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"https://([.\-_a-zA-Z0-9]+/?){3,1016}", "https://" + "a" * 1000 + "!"),
        (r"^[ \t]*[\x20-\x7E]+([ \t]+[\x20-\x7E]+)*[ \t]*$", " " * 400 + "\n"),
        (r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$", "a" * 250 + "!"),
    ],
)
def test_a_text_that_would_keep_a_pattern_of_awss_busy_for_ever(pattern, text):
    """Of SageMaker's, EventBridge's (the headers of a connection) and ECR's models."""
    assert not patterns.matcher(pattern)(text)
    assert patterns.matcher(pattern)(text.replace("!", "").replace("\n", "a"))


def test_a_pattern_with_a_repeated_group_means_the_same():
    fits = patterns.matcher(r"^(?i)([a-z]\d+)*$")
    assert [fits(text) for text in ("a1B22", "", "a1\n", "é1", "a١")] == [True, True, False, False, False]


OURS = [
    "sagemaker",
    "s3",
    "sts",
    "iam",
    "logs",
    "ecr",
    "sagemaker-runtime",
    "sagemaker-metrics",
    "cloudwatch",
    "events",
]
OTHERS = ["scheduler", "codepipeline", "codebuild", "codecommit", "cloudformation", "lambda", "sqs", "codeconnections"]


def test_every_pattern_of_our_services_is_checked():
    bad = {}
    for service in OURS + OTHERS:
        model = spec.service(service)
        for name in model.shape_names:
            pattern = model.shape_for(name).metadata.get("pattern")
            if pattern is not None and patterns.compiled(pattern) is None:
                bad[service, name] = pattern
    assert bad == {}


@pytest.mark.parametrize("pattern", [r"[\p{Print}&&[^|:/]]+", r"[0-9]{11}{0,1011}", "[a", r"\p{Coffee}", "("])
def test_what_is_not_checked(pattern):
    """All of the kinds that botocore's models have, in services that Modelwright hasn't, and what is no pattern."""
    assert patterns.compiled(pattern) is None


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_whatever_comes_in_is_refused_or_passes(data):
    """Any JSON in any member: an AwsError or nothing, never another exception."""
    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    service = data.draw(st.sampled_from(["sagemaker", "s3", "iam", "logs", "ecr"]))
    operation = data.draw(st.sampled_from(list(spec.service(service).operation_names)))
    shape = spec.operation(service, operation).input_shape
    value = data.draw(anything_in(shape, anything)) if shape is not None else {}
    with contextlib.suppress(AwsError):
        validate(service, operation, value)


def anything_in(shape, anything, depth=3):
    """Values that fit the shape for a while, and then do not."""
    if depth == 0:
        return anything
    match shape:
        case StructureShape():
            names = list(shape.members) or ["x"]
            return st.lists(st.sampled_from(names), max_size=4, unique=True).flatmap(
                lambda picked: st.fixed_dictionaries(
                    {name: anything_in(shape.members.get(name), anything, depth - 1) for name in picked}
                )
            )
        case ListShape():
            return st.lists(anything_in(shape.member, anything, depth - 1), max_size=2)
        case MapShape():
            return st.dictionaries(st.text(max_size=3), anything_in(shape.value, anything, depth - 1), max_size=2)
    return anything
