"""Data in a real browser: what others store is seen at once; folders by the chooser and by drag and drop."""

import pytest


@pytest.fixture
def bucket(page, server):
    s3 = server.client("s3")
    name = "studio-data"
    s3.create_bucket(Bucket=name)
    yield s3, name
    for key in keys(s3, name):
        s3.delete_object(Bucket=name, Key=key)
    s3.delete_bucket(Bucket=name)


def keys(s3, name):
    return [each["Key"] for each in s3.list_objects_v2(Bucket=name).get("Contents", [])]


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "coco8"
    (top / "images" / "val").mkdir(parents=True)
    (top / "images" / "val" / "한글 이름.jpg").write_bytes(b"jpeg" * 1000)
    (top / "labels.txt").write_text("0 0.5 0.5 1 1\n")
    return top


STORED = ["runs/coco8/images/val/한글 이름.jpg", "runs/coco8/labels.txt"]


def test_what_others_store_and_delete_appears(page, server, bucket):
    s3, name = bucket
    page.goto(f"{server.url}/studio/data/{name}?prefix=my%20runs/")
    page.get_by_text("Nothing here yet").wait_for()
    page.locator("#live-state:not(.off)", has_text="Live").wait_for()
    loaded = page.evaluate("performance.timeOrigin")
    s3.put_object(Bucket=name, Key="my runs/metrics.json", Body=b"{}")
    page.get_by_role("link", name="metrics.json").wait_for()
    s3.delete_object(Bucket=name, Key="my runs/metrics.json")
    page.get_by_text("Nothing here yet").wait_for()
    assert page.evaluate("performance.timeOrigin") == loaded


def test_a_folder_by_the_chooser(page, server, bucket, folder):
    s3, name = bucket
    page.goto(f"{server.url}/studio/data/{name}?prefix=runs/")
    page.locator("#folder").set_input_files(folder)
    page.get_by_role("link", name="coco8/").wait_for()
    page.wait_for_function("document.getElementById('upload-state').textContent === ''")  # loaded anew: all is there
    assert keys(s3, name) == STORED


def test_a_folder_by_drag_and_drop(page, server, bucket, folder):
    s3, name = bucket
    page.goto(f"{server.url}/studio/data/{name}?prefix=runs/")
    box = page.locator("#upload").bounding_box()
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    place = {"x": box["x"] + 20, "y": box["y"] + 10, "data": data}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, **place})
    page.get_by_role("link", name="coco8/").wait_for()
    page.wait_for_function("document.getElementById('upload-state').textContent === ''")
    assert keys(s3, name) == STORED
