"""The store against a dictionary: whatever is done, in whatever order, with restarts in between."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from modelwright.errors import AwsError, ValidationException
from modelwright.objects.attributes import Attributes, Condition
from modelwright.objects.directory import DirectoryStore
from modelwright.objects.listing import Start
from modelwright.objects.uploads import Chosen

keys = st.lists(st.sampled_from(["a", "b", "é", "..", "", ".x"]), min_size=1, max_size=4).map("/".join).filter(bool)
data = st.binary(max_size=20)


class Comparison(RuleBasedStateMachine):
    uploads = Bundle("uploads")

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = DirectoryStore(self.folder / "objects", fsync=False)
        self.store.create_bucket("bucket", "us-east-1")
        self.model = {}
        self.views = {}

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    @rule(key=keys, data=data)
    def put(self, key, data):
        self.store.put_bytes("bucket", key, data)
        self.model[key] = data

    @rule(key=keys, data=data)
    def put_if_absent(self, key, data):
        writer = self.store.begin()
        writer.write([data])
        try:
            self.store.put("bucket", key, writer, condition=Condition(absent=True))
        except AwsError:
            assert key in self.model
        else:
            assert key not in self.model
            self.model[key] = data

    @rule(key=keys)
    def delete(self, key):
        assert self.store.delete("bucket", key) == (self.model.pop(key, None) is not None)

    @rule(source=keys, copied=keys)
    def copy(self, source, copied):
        try:
            self.store.copy(("bucket", source), ("bucket", copied), lambda info: Attributes())
        except AwsError:
            assert source not in self.model
        else:
            self.model[copied] = self.model[source]

    @rule(target=uploads, key=keys, parts=st.lists(data, max_size=2))
    def begin_upload(self, key, parts):
        upload = self.store.uploads.create("bucket", key, Attributes(), None, None)
        sent = []
        for number, part in enumerate(parts, 1):
            writer = self.store.uploads.begin_part("bucket", key, upload.id, number=number, length=len(part))
            writer.write([part])
            sent.append((writer.commit(lambda *_: None), part))
        return (key, upload.id, sent)

    @rule(upload=uploads, last=st.booleans())
    def end_upload(self, upload, last):
        key, identifier, sent = upload
        part, content = sent[-1 if last else 0] if sent else (None, None)
        under_way = any(found.id == identifier for found in self.store.uploads.in_bucket("bucket"))
        try:
            if part is None:
                self.store.uploads.abort("bucket", key, identifier)
            else:
                self.store.uploads.complete("bucket", key, identifier, [Chosen(part.number, part.etag)])
        except AwsError:
            assert not under_way
        else:
            if part is not None and under_way:
                self.model[key] = content

    @rule()
    def restart(self):
        self.store.close()
        self.store = DirectoryStore(self.folder / "objects", fsync=False)

    @rule()
    def crash(self):
        self.store.cleaned()
        self.store._index.close()
        self.store = DirectoryStore(self.folder / "objects", fsync=False)
        self.store.cleaned()

    @rule(prefix=st.sampled_from(["", "a/", "b/", "a/b/", "a"]))
    def view(self, prefix):
        cut = prefix.rfind("/") + 1
        expected = {key[cut:]: value for key, value in self.model.items() if key.startswith(prefix)}
        expected.pop("", None)
        try:
            view = self.store.view("bucket", prefix)
        except ValidationException:
            assert any(part in ("", "..", ".") for name in expected for part in name.split("/")) or any(
                other.startswith(f"{name}/") for name in expected for other in expected
            )
            return
        except AwsError:
            assert not expected
            return
        found = {str(path.relative_to(view)): path.read_bytes() for path in view.rglob("*") if path.is_file()}
        assert found == {name: value for name, value in expected.items() if not name.endswith("/")}
        self.views[view] = found

    @invariant()
    def objects_are_the_models(self):
        found = {info.key: self.store.read("bucket", info.key) for info in self.store.list("bucket")}
        assert found == self.model
        assert list(found) == sorted(found, key=str.encode)

    @invariant()
    def sizes_and_etags_fit(self):
        for info in self.store.list("bucket"):
            content = self.model[info.key]
            assert info.size == len(content)
            if "-" not in info.etag:
                assert info.etag == hashlib.md5(content).hexdigest()

    @invariant()
    def pages_are_the_models(self):
        start, seen = Start(), []
        while True:
            page = self.store.page("bucket", b"", delimiter=b"", start=start, limit=2)
            seen += [entry.info.key for entry in page.items]
            if not page.truncated:
                break
            start = Start.beyond(page.last, b"", b"", roll=True)
        assert seen == sorted(self.model, key=str.encode)

    @invariant()
    def views_never_change(self):
        for view, content in self.views.items():
            found = {str(path.relative_to(view)): path.read_bytes() for path in view.rglob("*") if path.is_file()}
            assert found == content

    @invariant()
    def no_blob_is_forgotten(self):
        files = {path for path in (self.folder / "objects" / "blobs").rglob("*") if path.is_file()}
        uploaded = sum(len(self.store.uploads.parts(u.id)) for u in self.store.uploads.in_bucket("bucket"))
        assert len(files) == len(self.model) + uploaded


Comparison.TestCase.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestComparison = Comparison.TestCase
