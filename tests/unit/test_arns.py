import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.arns import Arn, execution_id, role_arn, sagemaker_arn, step_job_name
from modelwright.errors import ValidationException


def test_an_arn_survives_parsing_and_printing():
    text = "arn:aws:sagemaker:eu-west-1:111122223333:model-package/group/3"
    arn = Arn.parse(text)
    assert (arn.resource_type, arn.name) == ("model-package", "group/3")
    assert str(arn) == text


def test_an_arn_whose_resource_has_a_colon_or_no_type():
    assert Arn.parse("arn:aws:logs:eu-west-1:111122223333:log-group:/aws/x:*").resource_type == "log-group"
    assert Arn.parse("arn:aws:s3:::bucket").name == "bucket"
    assert Arn.parse("arn:aws:s3:::bucket").resource_type == ""


@pytest.mark.parametrize("text", ["", "x", "arn:aws:s3", "arn:aws:s3:::", "urn:aws:s3:::bucket"])
def test_what_is_no_arn_is_refused_by_name(text):
    with pytest.raises(ValidationException, match=re.escape(f"'{text}'")):
        Arn.parse(text)


def test_sagemaker_writes_names_in_lower_case():
    assert sagemaker_arn("eu-west-1", "111122223333", "pipeline", "Pose") == (
        "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/pose"
    )
    assert role_arn("111122223333", "R") == "arn:aws:iam::111122223333:role/R"


@given(st.binary())
def test_an_execution_id_has_twelve_letters_or_digits(entropy):
    assert re.fullmatch("[a-z0-9]{12}", execution_id(entropy))


@given(st.text(min_size=1, max_size=300), st.integers(1, 99))
def test_a_steps_job_name_is_legal_and_always_the_same(step, attempt):
    name = step_job_name("abcdefghijkl", step, attempt)
    assert re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", name)
    assert name == step_job_name("abcdefghijkl", step, attempt)
    assert name != step_job_name("abcdefghijkl", step, attempt + 1)
