import pytest

from modelwright.errors import ValidationException
from modelwright.images.frameworks import TORCH, recipe_for
from modelwright.images.uris import parse_reference

AWS = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


def recipe(uri, python="3.11"):
    return recipe_for(parse_reference(uri), python)


def pins(found):
    return dict(line.split("==") for layer in found.layers for line in layer)


def test_scikit_learn_of_the_tag():
    found = recipe("683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3")
    assert pins(found)["scikit-learn"] == "1.2.1"
    assert found.framework == "sklearn"
    assert found.notes == ()


def test_the_nearest_that_this_python_can_install_and_a_note():
    found = recipe(f"{AWS}/sagemaker-scikit-learn:0.23-1-cpu-py3", "3.12")
    assert pins(found)["scikit-learn"] == "1.3.2"
    assert found.notes == ("scikit-learn 0.23 was asked for; 1.3.2 is the nearest that can be installed here.",)


def test_a_version_between_two_that_aws_has_gets_the_next_one():
    assert pins(recipe(f"{AWS}/sagemaker-scikit-learn:1.3-1"))["scikit-learn"] == "1.4.2"
    assert pins(recipe(f"{AWS}/sagemaker-scikit-learn:9.9"))["scikit-learn"] == "1.4.2"


def test_xgboost_is_exact_where_it_can_be_and_without_cuda_where_there_is_such_a_build():
    assert pins(recipe(f"{AWS}/sagemaker-xgboost:1.7-1"))["xgboost"] == "1.7.6"
    assert pins(recipe(f"{AWS}/sagemaker-xgboost:3.0-5"))["xgboost-cpu"] == "3.0.5"


def test_pytorch_is_the_one_torch_with_notes_of_what_was_asked_for():
    training = recipe(f"{AWS}/pytorch-training:1.12.0-cpu-py38")
    inference = recipe(f"{AWS}/pytorch-inference:2.1-cpu-py310")
    assert TORCH in training.layers[1]
    assert training.layers == inference.layers
    assert "torchvision" not in pins(training)
    assert training.notes == (
        f"PyTorch 1.12.0 was asked for; {TORCH.partition('==')[2]} is the nearest that can be installed here.",
        "Python 3.8 was asked for; this environment has Python 3.11.",
    )


def test_huggingface_lies_over_pytorch():
    found = recipe(f"{AWS}/huggingface-pytorch-inference:2.1.0-transformers4.37.0-cpu-py310-ubuntu22.04")
    assert found.layers[:3] == recipe(f"{AWS}/pytorch-inference:2.1").layers
    assert any("transformers 4.37.0 was asked for" in note for note in found.notes)


def test_tensorflow_where_it_has_a_build():
    assert pins(recipe(f"{AWS}/tensorflow-training:2.19.0-cpu-py312", "3.12"))["tensorflow-cpu"] == "2.19.0"
    with pytest.raises(ValidationException, match=r"no build for Python 3\.14"):
        recipe(f"{AWS}/tensorflow-training:2.19.0-cpu-py312", "3.14")


def test_base_python_says_which_python_it_is_instead():
    found = recipe("236514542706.dkr.ecr.us-west-2.amazonaws.com/sagemaker-base-python-310:1.0")
    assert found.notes == ("Python 3.10 was asked for; this environment has Python 3.11.",)


def test_others_are_none_of_ours():
    assert recipe(f"{AWS}/my-train:latest") is None
    assert recipe("pytorch-training:2.1") is None, "a bare name is somebody's own image"


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14", "3.15"])
def test_every_requirement_is_an_exact_pin(python):
    for name in (
        "sagemaker-scikit-learn:1.2-1",
        "sagemaker-xgboost:1.7-1",
        "pytorch-training:2.1",
        "pytorch-inference",
    ):
        for layer in recipe(f"{AWS}/{name}", python).layers:
            assert all(line.count("==") == 1 for line in layer)
