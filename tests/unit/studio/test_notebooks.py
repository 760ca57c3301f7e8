"""The notebooks' pages over the real services; nobody drives them here, so a notebook stays Pending."""

import pytest

from modelwright.store.resources import find_resource, replace_resource
from support.browser import ROLE


def create(user, name="mina"):
    user.call("CreateNotebookInstance", NotebookInstanceName=name, InstanceType="ml.t3.medium", RoleArn=ROLE)


def test_one_is_started_by_the_form(user):
    page = user.get("/notebooks").text
    assert "No notebooks yet" in page
    assert 'name="name" value="admin"' in page, "one's own name is offered"
    assert user.post("/notebooks", name="mine", type="ml.t3.medium").headers["location"] == "/studio/notebooks/mine"
    (made,) = user.call("ListNotebookInstances")["NotebookInstances"]
    assert (made["NotebookInstanceName"], made["InstanceType"]) == ("mine", "ml.t3.medium")
    page = user.get("/notebooks/mine").text
    assert 'value="stop"' in page
    assert "Open JupyterLab" not in page, "it is not there yet"
    again = user.post("/notebooks", name="mine")
    assert again.status_code == 400
    assert "already existing" in again.text
    assert user.post("/notebooks", name="no name").status_code == 400
    assert user.post("/notebooks", form_token="forged", name="other").status_code == 403


def test_what_is_asked_for_at_the_wrong_time_is_told(user):
    create(user)
    for verb in ("start", "delete"):
        refused = user.post("/notebooks/mina", do=verb)
        assert refused.status_code == 400
        assert "Status (Pending) not in" in refused.text
    assert user.get("/notebooks/mina/open").status_code == 400
    assert user.post("/notebooks/mina", do="stop").status_code == 303
    described = user.call("DescribeNotebookInstance", NotebookInstanceName="mina")
    assert described["NotebookInstanceStatus"] == "Stopping"


def test_what_is_not_there(user):
    assert user.get("/notebooks/none").status_code == 404
    assert user.get("/notebooks/none/open").status_code == 404
    assert user.post("/notebooks/none", do="stop").status_code in (400, 404)


@pytest.mark.parametrize("form", ["<b>x</b>", "../x"])
def test_odd_names(user, form):
    assert user.post("/notebooks", name=form).status_code == 400
    assert user.call("ListNotebookInstances")["NotebookInstances"] == []


def test_only_who_created_one_is_offered_to_open_it(user):
    create(user, "own")
    create(user, "mina")
    with user.platform.database.write() as transaction:
        for name in ("own", "mina"):
            document = find_resource(transaction, "NotebookInstance", name) | {"NotebookInstanceStatus": "InService"}
            if name == "mina":
                document["_Owner"] = document["_Owner"].replace("/admin", "/mina")
            replace_resource(transaction, "NotebookInstance", name, document, modified=1.0, status="InService")
    page = user.get("/notebooks").text
    assert "/studio/notebooks/own/open" in page
    assert "/studio/notebooks/mina/open" not in page
    assert "Only mina, who created it" in user.get("/notebooks/mina").text
    refused = user.get("/notebooks/mina/open")
    assert refused.status_code == 403
    assert "Only mina" in refused.text
