"""A deployment in a real browser: what waits is found at home, reviewed, and turns green without a reload."""

from support.codepipelines import action, archive, pipeline, stage

QUESTION = {"CustomData": "Look at #{SourceVariables.ObjectKey}", "ExternalEntityLink": "https://example.com/x"}
NAME = "pose-deploy"


def create(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="sources")
    s3.put_object(Bucket="sources", Key="source.zip", Body=archive(hello="world"))
    configuration = {"S3Bucket": "sources", "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}
    source = action("Get", "Source", outputs=["Code"], configuration=configuration, namespace="SourceVariables")
    made = pipeline(
        stage("Source", source), stage("Approve", action("Ask", "Approval", configuration=QUESTION)), name=NAME
    )
    made["artifactStore"] = {"type": "S3", "location": "sources"}
    server.client("codepipeline").create_pipeline(pipeline=made)


def test_what_waits_is_reviewed(server, page):
    create(server)
    page.get_by_role("link", name=NAME).first.wait_for()  # it comes to the page at home by itself
    page.get_by_role("link", name="Deployments").click()
    page.wait_for_url("**/studio/deployments")
    page.get_by_role("link", name=NAME, exact=True).click()
    page.get_by_text("Look at source.zip").wait_for()
    page.get_by_text("Review", exact=True).click()
    page.get_by_label("Comment").fill("looks right")
    page.get_by_role("button", name="Approve").click()
    page.locator("#executions").get_by_text("Succeeded").wait_for()
    page.get_by_text("looks right").wait_for()
    page.get_by_role("link", name="Projects").click()
    page.get_by_role("link", name="Create project").first.wait_for()
    page.get_by_role("link", name="Create project").first.click()
    page.get_by_role("button", name="Create project").wait_for()
