"""The journal of the audit: nothing is lost, nothing comes twice, files go when they may."""

import json

import pytest

from modelwright.store import audit_journal
from modelwright.store.audit import AuditQuery, Entry, find_entries
from modelwright.store.audit_journal import AuditJournal
from modelwright.store.database import Database


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'metadata.db'}")
    yield database
    database.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "audit"


@pytest.fixture
def journal(folder, database):
    journal = AuditJournal(folder, database)
    yield journal
    journal.close()


def entry(number):
    return Entry(f"id-{number:04}", float(number), "mina", "s", "Op", "T", "name", "AKIA", False, {"n": number})


def stored(database, **query):
    with database.read() as transaction:
        return find_entries(transaction, AuditQuery(limit=10_000, **query))[0]


def test_it_works(journal, database):
    journal.begin(entry(1))({"outcome": "fine"})
    journal.begin(entry(2))({})
    journal.flush()
    assert [each.id for each in stored(database)] == ["id-0002", "id-0001"]
    assert stored(database)[1].record == {"n": 1, "outcome": "fine"}


def test_what_came_to_nothing_is_not_kept(journal, database):
    journal.begin(entry(1))(None)
    journal.flush()
    assert stored(database) == []


def test_the_file_is_empty_when_all_is_stored(journal, folder):
    first, second = journal.begin(entry(1)), journal.begin(entry(2))
    first({})
    journal.flush()
    (file,) = folder.iterdir()
    assert file.stat().st_size > 0, "the second has not ended"
    assert file.stat().st_mode & 0o777 == 0o600
    second({})
    journal.flush()
    assert file.stat().st_size == 0


def test_old_segments_go(journal, folder, monkeypatch):
    monkeypatch.setattr(audit_journal, "SEGMENT", 1)
    open_one = journal.begin(entry(0))
    for number in range(1, 6):
        journal.begin(entry(number))({})
    journal.flush()
    assert len(list(folder.iterdir())) <= 2
    open_one({})
    journal.flush()
    assert len(list(folder.iterdir())) == 1


def test_what_a_killed_process_left_is_taken_over_once(folder, database):
    """Killed: nothing of it was flushed, nor closed."""
    killed = AuditJournal(folder, database)
    killed._start = lambda: None
    killed.begin(entry(1))({"outcome": "fine"})
    killed.begin(entry(2))
    killed.begin(entry(3))(None)
    with next(folder.iterdir()).open("ab") as file:
        file.write(b'{"begin": {"id": "cut o')
    before = {path: path.read_bytes() for path in folder.iterdir()}
    AuditJournal(folder, database).close()
    for path, content in before.items():  # killed again, after the database had it and before the files went
        path.write_bytes(content)
    AuditJournal(folder, database).close()
    found = {each.id: each.record for each in stored(database)}
    assert found == {"id-0001": {"n": 1, "outcome": "fine"}, "id-0002": {"n": 2, **audit_journal.UNKNOWN}}


def test_a_call_that_can_t_be_written_down_is_not_run(folder, database):
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("in the way")
    journal = AuditJournal(folder, database)
    with pytest.raises(OSError, match="exists"):
        journal.begin(entry(1))
    journal.close()


def test_pages_are_complete(journal, database):
    for number in range(25):
        journal.begin(entry(number))({})
    journal.flush()
    found, token = [], None
    while True:
        with database.read() as transaction:
            page, token = find_entries(transaction, AuditQuery(limit=10, token=token))
        found += [each.id for each in page]
        if token is None:
            break
    assert found == [f"id-{number:04}" for number in reversed(range(25))]


def test_lines_are_json(journal, folder):
    journal.begin(entry(1))
    (file,) = folder.iterdir()
    assert json.loads(file.read_text())["begin"]["user"] == "mina"
