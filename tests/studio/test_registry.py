"""What others do in the model registry is seen at once, on the page as it was loaded."""


def test_a_version_that_somebody_else_registers_and_approves(page, server):
    sagemaker = server.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="Watched")
    page.goto(f"{server.url}/studio/models/Watched")
    page.get_by_text("No versions.").wait_for()
    page.locator("#live-state:not(.off)", has_text="Live").wait_for()
    loaded = page.evaluate("performance.timeOrigin")
    arn = sagemaker.create_model_package(
        ModelPackageGroupName="Watched", ModelApprovalStatus="PendingManualApproval"
    )["ModelPackageArn"]  # fmt: skip
    page.get_by_role("cell", name="Pending manual approval").wait_for()
    sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    page.get_by_role("cell", name="Approved").wait_for()
    assert page.evaluate("performance.timeOrigin") == loaded
