"""A notebook in a real browser: started by the form, opened in a tab of its own, stopped, started again, deleted."""

from support.notebooks import stand_in


def test_from_the_form_to_the_end(page, server, tmp_path):
    stand_in(server.settings, tmp_path)
    page.get_by_role("link", name="Notebooks").click()
    assert page.get_by_label("Name", exact=True).input_value() == "admin"
    page.get_by_role("button", name="Start JupyterLab").click()
    page.wait_for_url("**/studio/notebooks/admin")
    page.locator("#head .mark", has_text="In service").wait_for()
    page.locator("#jupyter-log").get_by_text("JupyterLab stands in").wait_for()
    opening = page.get_by_role("link", name="Open JupyterLab")
    assert opening.get_attribute("target") == "_blank"
    answer = page.request.get(f"{server.url}{opening.get_attribute('href')}", max_redirects=0)
    assert answer.status == 303
    assert page.request.get(answer.headers["location"]).json()["folder"] == "/home/ec2-user/SageMaker"
    page.get_by_role("button", name="Stop").click()
    page.locator("#head .mark", has_text="Stopped").wait_for()
    page.get_by_role("button", name="Start", exact=True).click()
    page.locator("#head .mark", has_text="In service").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.locator("#head .mark", has_text="Stopped").wait_for()
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_text("No notebooks yet").wait_for()
