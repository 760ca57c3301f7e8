"""The workshop as a new user does it in Studio, in one browser, from the printed link to key points on a photo.

It goes on in the home where `modelwright demo` has run: the pipeline, the deployment project and its endpoints are the
workshop's own. It trains once more on data that is uploaded here, so shortly that the new version is worse: that one is
rejected, and the version that the workshop trained well goes to production.
"""

import re
import subprocess

import pytest

from e2e.conftest import ROOT, SDK, modelwright
from support.studio import chromium as launched

PIPELINE, GROUP, BUCKET, DATA = "PoseYOLOv8-pipeline", "PoseYOLOv8", "datasets-yolo", "coco8-pose"
STEPS = ("PoseTrain", "PoseEval", "PoseMAPCondition", "PoseModel-RepackModel-0", "PoseModel-RegisterModel")
MINUTE = 60_000

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@pytest.fixture
def link(good, home):
    """What `modelwright up` prints; the endpoints outlive the restart."""
    assert good["PipelineExecutionStatus"] == "Succeeded"
    assert modelwright("down", home=home).returncode == 0
    said = modelwright("up", "--detach", "--port", "0", home=home).stdout
    return re.search(r"http://\S+/studio/\S+", said)[0]


@pytest.fixture
def page(chromium, link):
    """Signed in; whoever else is asked for anything, and what the browser complains of, fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-US", timezone_id="Asia/Seoul")
    page = context.new_page()
    page.set_default_timeout(MINUTE)
    own = link.partition("/studio/")[0]
    strangers, complaints = [], []
    page.on("request", lambda asked: None if asked.url.startswith(own) else strangers.append(asked.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(link)
    page.wait_for_url("**/studio/")
    yield page
    context.close()
    assert strangers == []
    assert complaints == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example's data set, drawn again: what the user has on disk."""
    target = tmp_path_factory.mktemp("data") / DATA
    subprocess.run([SDK, ROOT / "examples" / "pose-yolov8" / "pose_data.py", target], check=True, capture_output=True)
    return target


def test_the_whole_loop_in_a_browser(page, folder):
    upload(page, folder)
    start(page, {"Epochs": "2", "ImageSize": "128", "MapThreshold": "0"}, "from-studio")
    page.locator('.graph-view .node.run[href="?step=PoseTrain"]').click(timeout=2 * MINUTE)
    page.locator("#log", has_text="epoch=1/2").wait_for(timeout=5 * MINUTE)
    loaded = page.evaluate("performance.timeOrigin")
    for step in STEPS:
        page.locator(f'.graph-view .node.ok[href="?step={step}"]').wait_for(timeout=8 * MINUTE)
    page.locator("#head .mark", has_text="Succeeded").wait_for()
    page.locator("#log", has_text="epoch=2/2").wait_for()
    assert page.evaluate("performance.timeOrigin") == loaded, "the page was never loaded again"

    why_it_failed(page)
    decide(page)
    review(page)
    invoke(page, sorted((folder / "test" / "images").glob("*.jpg"))[0])


def upload(page, folder):
    """The folder in the bucket, in place of what was there."""
    section(page, "Data")
    page.get_by_role("link", name=BUCKET, exact=True).click()
    page.get_by_label(f"Choose {DATA}/").check()
    page.get_by_text("Delete…", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_label(f"Choose {DATA}/").wait_for(state="detached")
    count = sum(file.is_file() for file in folder.rglob("*"))
    page.wait_for_load_state()
    page.locator("#folder").set_input_files(folder)
    page.locator("#upload-state", has_text=f"of {count} files").wait_for()
    # When all of it is there, the page comes again.
    page.locator("#upload-state:empty").wait_for(state="attached", timeout=5 * MINUTE)
    page.get_by_role("link", name=f"{DATA}/").click()
    for name in ("test/", "train/", "val/"):
        page.get_by_role("link", name=name, exact=True).wait_for()


def section(page, name):
    """By the sections at the side."""
    page.get_by_role("navigation", name="Sections").get_by_role("link", name=name, exact=True).click()


def start(page, parameters, title):
    """Create an execution by the form."""
    section(page, "Pipelines")
    page.get_by_role("link", name=PIPELINE, exact=True).click()
    page.get_by_role("link", name="Create execution").first.click()
    for name, value in parameters.items():
        page.get_by_label(name, exact=False).fill(value)
    page.get_by_label("Name").fill(title)
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/executions/*")


def why_it_failed(page):
    """No epochs: the training breaks. The page says so, and the step's log why."""
    start(page, {"Epochs": "0", "ImageSize": "128", "MapThreshold": "0"}, "no-epochs")
    page.locator("#head .mark", has_text="Failed").wait_for(timeout=5 * MINUTE)
    page.locator("#head .notice.bad a", has_text="PoseTrain").click()
    page.locator(".panel .notice.bad").wait_for()
    page.locator("#log .error").first.wait_for()
    page.get_by_role("link", name="Jump to the error").click()


def decide(page):
    """The version that waits at home is rejected; the workshop's, whatever was said of it since, is approved."""
    section(page, "Home")
    page.get_by_role("link", name=re.compile(rf"^{GROUP} · version \d+")).first.click()
    page.get_by_role("link", name="from-studio").wait_for()  # what it was made from
    update(page, "Rejected", "two epochs are not enough")
    section(page, "Model registry")
    page.get_by_role("link", name=GROUP, exact=True).click()
    page.get_by_role("link", name="version 1", exact=True).click()
    update(page, "Rejected", "not yet")
    update(page, "Approved", "good on the test images")


def update(page, status, comment):
    page.get_by_label(status, exact=True).check()
    page.get_by_label("Comment").fill(comment)
    page.get_by_role("button", name="Update status").click()
    page.locator("#head", has_text=comment).wait_for()
    page.locator("#head .mark", has_text=status).wait_for()


def review(page):
    """Staging has been deployed and tested; production waits for somebody."""
    section(page, "Deployments")
    page.get_by_role("link", name=re.compile("^sagemaker-pose-deploy-.*-modeldeploy$")).click()
    newest = page.locator("#executions tbody tr").first
    newest.locator(".mark", has_text="In progress").wait_for()
    page.get_by_text("Review", exact=True).click(timeout=8 * MINUTE)
    page.get_by_label("Comment").fill("staging looks right")
    page.get_by_role("button", name="Approve").click()
    newest.locator(".mark", has_text="Succeeded").wait_for(timeout=8 * MINUTE)
    page.get_by_text("staging looks right").wait_for()


def invoke(page, photo):
    """Production draws key points on a photo that the model has not seen."""
    section(page, "Endpoints")
    page.get_by_role("link", name="pose-deploy-prod", exact=True).click()
    page.locator("#head .mark", has_text="In service").wait_for()
    page.get_by_role("link", name="Try it").click()
    page.get_by_label("File", exact=True).set_input_files(photo)
    page.get_by_role("button", name="Send").click()
    page.get_by_role("img", name=re.compile(r"^[1-9]\d* boxes, [1-9]\d* points$")).wait_for()
    page.locator("#photo").wait_for()
