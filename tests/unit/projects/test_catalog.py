import io
import zipfile

import pytest

from modelwright.errors import ConfigurationError, ValidationException
from modelwright.projects.catalog import Catalog
from modelwright.templates.template import parse

MINE = """\
Description: mine
Parameters:
  Color: {Type: String, AllowedValues: [red, green]}
Resources:
  Group:
    Type: AWS::SageMaker::ModelPackageGroup
    Properties:
      ModelPackageGroupName: !Sub ${Color}-x
"""


@pytest.fixture
def catalog(tmp_path):
    return Catalog(tmp_path)


def test_the_built_in_ones(catalog):
    names = [template.name for template in catalog.templates()]
    assert names == ["image-build", "model-build", "model-build-deploy", "model-deploy"]
    assert list(catalog.find("model-deploy").parameters) == ["SourceModelPackageGroupName"]


@pytest.mark.parametrize("name", ["image-build", "model-build", "model-build-deploy", "model-deploy"])
def test_each_is_a_template_with_its_seeds(catalog, name):
    template = catalog.find(name)
    assert template.description
    parse(template.body)
    assert template.seeds()
    for seed in template.seeds():
        content = template.seed(seed)
        assert content == template.seed(seed), "the same bytes each time"
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert "README.md" in archive.namelist()


def test_your_own_are_there_at_once_and_win(catalog, tmp_path):
    (tmp_path / "mine.yml").write_text(MINE)
    (tmp_path / "model-build.yml").write_text(MINE)
    assert catalog.find("mine").owner == "this home"
    assert catalog.find("model-build").description == "mine"
    assert catalog.find(catalog.find("mine").product_id).name == "mine"


def test_a_broken_one_says_why_and_hides_no_other(catalog, tmp_path):
    (tmp_path / "broken.yml").write_text("a: [")
    (tmp_path / "empty.yml").write_text("a: 1")
    (tmp_path / "odd.yml").write_text("Parameters: {A: 5}\nResources: {B: {Type: 'AWS::S3::Bucket'}}")
    assert len(catalog.templates()) == 4
    with pytest.raises(ValidationException, match=r"broken\.yml can't be read"):
        catalog.find("broken")
    with pytest.raises(ValidationException, match="it has no Resources"):
        catalog.find("empty")
    with pytest.raises(ValidationException, match=r"odd\.yml can't be made into a stack: Template format error"):
        catalog.find("odd")
    assert [problem.split()[3] for problem in catalog.problems()] == ["broken.yml", "empty.yml", "odd.yml"]


def test_what_is_not_there_is_named(catalog, tmp_path):
    with pytest.raises(ValidationException, match=r"no project template 'x'.*model-deploy"):
        catalog.find("x")
    (tmp_path / "mine.yml").write_text(MINE + "      Key: gone.zip\n")
    assert catalog.find("mine").seeds() == ["gone"]
    with pytest.raises(ConfigurationError, match="no seed code 'gone'"):
        catalog.find("mine").seed("gone")
