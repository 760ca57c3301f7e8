"""Projects' pages over the real services: nobody drives them here, so a project stays in progress."""

import pytest

from modelwright.studio.projects import reason


def product(user, words="model-build"):
    found = user.call("SearchProducts", "servicecatalog")["ProductViewSummaries"]
    return next(each for each in found if each["Name"] == words)["ProductId"]


def names(user):
    return [each["ProjectName"] for each in user.call("ListProjects")["ProjectSummaryList"]]


def fields(user, identity):
    found = user.call("DescribeProvisioningParameters", "servicecatalog", ProductId=identity)
    return {
        f"parameter.{each['ParameterKey']}": each.get("DefaultValue", "")
        for each in found["ProvisioningArtifactParameters"]
    }


def test_a_project_is_made_from_a_template(user):
    identity = product(user)
    assert f"/studio/templates/{identity}" in user.get("/projects").text
    page = user.get(f"/templates/{identity}").text
    assert 'name="name"' in page
    answer = user.post(f"/templates/{identity}", name="churn", description="who <leaves>", **fields(user, identity))
    assert answer.headers["location"] == "/studio/projects"
    page = user.get("/projects").text
    assert "churn" in page
    assert "who &lt;leaves&gt;" in page
    again = user.post(f"/templates/{identity}", name="churn", **fields(user, identity))
    assert again.status_code == 400
    assert "already exists" in again.text
    assert 'value="churn"' in again.text
    assert names(user) == ["churn"]


def test_every_template_has_a_form(user):
    for each in user.call("SearchProducts", "servicecatalog")["ProductViewSummaries"]:
        page = user.get(f"/templates/{each['ProductId']}").text
        assert all(f'name="{name}"' in page for name in fields(user, each["ProductId"]))


@pytest.mark.parametrize("name", ["", "no name", "x" * 33])
def test_what_is_no_name_is_told(user, name):
    identity = product(user)
    answer = user.post(f"/templates/{identity}", name=name, **fields(user, identity))
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert names(user) == []


def test_forms_need_their_token_and_things_that_are_there(user):
    identity = product(user)
    assert user.post(f"/templates/{identity}", form_token="forged", name="churn").status_code == 403
    assert names(user) == []
    assert user.get("/templates/prod-none").status_code == 404
    assert user.post("/projects/none/delete").status_code in (400, 404)


def test_deleting_asks_the_project_to_go(user):
    identity = product(user)
    user.post(f"/templates/{identity}", name="churn", **fields(user, identity))
    assert "/studio/projects/churn/delete" in user.get("/projects").text
    refused = user.post("/projects/churn/delete")  # it is being created
    assert refused.status_code == 400
    assert names(user) == ["churn"]


def test_what_failed_says_why():
    product = {"ServiceCatalogProvisionedProductDetails": {"ProvisionedProductStatusMessage": "no role"}}
    own = {"TemplateProviderDetails": [{"CfnTemplateProviderDetail": {"StackDetail": {"StatusMessage": "no bucket"}}}]}
    assert reason({"ProjectStatus": "CreateFailed", **product}) == "no role"
    assert reason({"ProjectStatus": "DeleteFailed", **own}) == "no bucket"
    assert reason({"ProjectStatus": "CreateCompleted", **product}) == ""
