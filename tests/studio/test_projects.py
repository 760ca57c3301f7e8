"""The form that makes a project, in a real browser: it is checked while one types."""


def test_what_was_typed_before_the_script_came_is_judged_too(page, server):
    held = []

    def hold(route):
        held.append(route)

    page.route("**/check.js*", hold)
    page.goto(f"{server.url}/studio/projects")
    page.get_by_role("link", name="Create project").first.click()
    page.get_by_label("Name", exact=True).fill("-pose-")
    held[0].continue_()
    page.get_by_text("Letters, digits and hyphens").wait_for()


def test_what_is_wrong_is_told_while_one_types(page, server):
    page.goto(f"{server.url}/studio/projects")
    page.locator("section", has=page.get_by_role("heading", name="model-deploy", exact=True)).get_by_role(
        "link", name="Create project"
    ).click()
    name, group = page.get_by_label("Name", exact=True), page.get_by_label("SourceModelPackageGroupName")
    name.fill("-pose-")
    page.get_by_text("Letters, digits and hyphens").wait_for()
    assert name.get_attribute("aria-invalid") == "true"
    assert page.get_by_text("A value is needed.").count() == 0, "nobody has been at the other field yet"
    name.fill("pose")
    page.get_by_text("Letters, digits and hyphens").wait_for(state="detached")
    assert name.get_attribute("aria-invalid") is None
    group.fill("Unknown-Group")
    page.get_by_text("There is no model group of this name yet").wait_for()
    server.client("sagemaker").create_model_package_group(ModelPackageGroupName="Unknown-Group")
    group.press("Tab")
    page.get_by_text("There is no model group of this name yet").wait_for(state="detached")
    group.fill("")
    page.get_by_text("A value is needed.").wait_for()
    page.get_by_role("button", name="Create project").click()
    page.get_by_role("alert").get_by_text("Some values can’t be used").wait_for()
    assert name.input_value() == "pose"
