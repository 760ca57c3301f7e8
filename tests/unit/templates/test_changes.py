"""What a change set says: added, modified, removed; replaced for certain, perhaps, or not."""

import json

import pytest

from modelwright.templates import changes, plan
from modelwright.templates.problems import TemplateError
from modelwright.templates.template import parse


def made(tags=(), **resources):
    return plan.make(
        parse(json.dumps({"Resources": resources})),
        {},
        account="111122223333",
        region="eu-west-1",
        stack_id="arn",
        stack_name="s",
        imports=lambda name: name,
        tags=tags,
    )


def of(kind, depends=None, **properties):
    return {"Type": kind, "Properties": properties, **({"DependsOn": depends} if depends else {})}


def log(name, **more):
    return of("AWS::Logs::LogGroup", LogGroupName=name, **more)


def told(before, after, physical=None):
    return {
        each["ResourceChange"]["LogicalResourceId"]: each["ResourceChange"]
        for each in changes.changes(before, after, physical or {})
    }


def test_added_removed_and_the_same():
    before, after = made(A=log("/a"), B=log("/b")), made(A=log("/a"), C=log("/c"))
    found = told(before, after, {"B": "/b"})
    assert {name: one["Action"] for name, one in found.items()} == {"B": "Remove", "C": "Add"}
    assert (found["B"]["PhysicalResourceId"], found["B"]["PolicyAction"]) == ("/b", "Delete")
    assert told(before, before) == {}
    assert changes.is_changed(before, after)
    assert not changes.is_changed(before, made(A=log("/a"), B=log("/b")))


def test_in_place_and_replaced():
    found = told(made(A=log("/a"), B=log("/b")), made(A=log("/a", RetentionInDays=1), B=log("/c")))
    assert (found["A"]["Replacement"], found["B"]["Replacement"]) == ("False", "True")
    assert found["B"]["Details"] == [
        {
            "Target": {"Attribute": "Properties", "Name": "LogGroupName", "RequiresRecreation": "Always"},
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
    ]


def test_what_comes_of_a_replacement():
    def all_of(image):
        return made(
            Model=of("AWS::SageMaker::Model", PrimaryContainer={"Image": image}),
            Config=of(
                "AWS::SageMaker::EndpointConfig",
                ProductionVariants=[{"ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}}],
            ),
            Endpoint=of(
                "AWS::SageMaker::Endpoint", EndpointConfigName={"Fn::GetAtt": ["Config", "EndpointConfigName"]}
            ),
            Far=log({"Fn::Sub": "/x/${Endpoint}"}),
        )

    found = told(all_of("a"), all_of("b"))
    assert {name: one["Replacement"] for name, one in found.items()} == {
        "Model": "True",
        "Config": "Conditional",
        "Endpoint": "False",
    }
    (detail,) = found["Endpoint"]["Details"]
    assert (detail["Evaluation"], detail["ChangeSource"]) == ("Dynamic", "ResourceAttribute")
    assert detail["CausingEntity"] == "Config.EndpointConfigName"


def test_tags_and_policies():
    tags = [{"Key": "a", "Value": "1"}]
    found = told(made(A=log("/a"), B={**log("/b"), "DeletionPolicy": "Retain"}), made(tags, A=log("/a"), B=log("/b")))
    assert found["A"]["Scope"] == ["Tags"]
    assert found["B"]["Scope"] == ["Tags", "DeletionPolicy"]
    assert found["A"]["Replacement"] == "False"
    kept = told(made(A={**log("/a"), "DeletionPolicy": "Retain"}, B=log("/b")), made(B=log("/b")))
    assert kept["A"]["PolicyAction"] == "Retain"


def test_another_type_is_refused():
    with pytest.raises(TemplateError, match=r"modifies resource type of the following resources: \[A\]"):
        told(made(A=log("/a")), made(A=of("AWS::S3::Bucket")))
