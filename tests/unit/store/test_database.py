import threading

import pytest
from sqlalchemy import insert, select, text, update

from modelwright.errors import ConfigurationError, ModelwrightError
from modelwright.store.database import SCHEMA_VERSION, Database, schema_table, tag_table
from modelwright.store.resources import delete_resource, insert_resource, replace_resource


class Refused(ModelwrightError):
    pass


def add(transaction, key):
    transaction.execute(insert(tag_table), {"arn": "a", "key": key, "value": "v", "position": 0})


def keys(database):
    with database.read() as transaction:
        return [row.key for row in transaction.execute(select(tag_table).order_by(tag_table.c.key))]


def test_it_works(database, url):
    with database.write() as transaction:
        add(transaction, "x")
    assert keys(database) == ["x"]
    again = Database(url)
    assert keys(again) == ["x"]
    again.close()


def test_a_transaction_is_whole_or_nothing(database):
    def fail():
        with database.write() as transaction:
            add(transaction, "x")
            raise Refused("no")

    with pytest.raises(Refused):
        fail()
    assert keys(database) == []


def test_actions_wait_for_the_commit(database):
    seen = []
    with database.write() as transaction:
        add(transaction, "x")
        transaction.after_commit(lambda: seen.append(keys(database)))
        assert seen == []
    assert seen == [["x"]], "the action sees what was committed"


def test_who_subscribed_is_told_what_was_committed_and_nothing_else(database):
    seen = []
    database.subscribe(lambda kind, name: seen.append((kind, name)))
    with database.write() as transaction:
        insert_resource(transaction, "Model", "m", {}, created=1.0)
        replace_resource(transaction, "Model", "m", {"a": 1}, modified=2.0)
        assert seen == []
    assert seen == [("Model", "m")]

    def fail():
        with database.write() as transaction:
            delete_resource(transaction, "Model", "m")
            raise Refused("no")

    with pytest.raises(Refused):
        fail()
    assert seen == [("Model", "m")]


def test_actions_of_what_was_rolled_back_never_happen(database):
    seen = []

    def fail():
        with database.write() as transaction:
            transaction.after_commit(lambda: seen.append(1))
            raise Refused("no")

    with pytest.raises(Refused):
        fail()
    assert seen == []


def test_an_action_may_write(database):
    def more():
        with database.write() as transaction:
            add(transaction, "y")

    with database.write() as transaction:
        add(transaction, "x")
        transaction.after_commit(more)
    assert keys(database) == ["x", "y"]


def test_a_reader_keeps_its_view_while_others_write(database):
    with database.read() as reader:
        assert reader.first(select(tag_table)) is None
        with database.write() as writer:
            add(writer, "x")
        assert reader.first(select(tag_table)) is None
    assert keys(database) == ["x"]


def test_writers_wait_for_each_other(database, url):
    """Also those of another process, here another Database on the same file."""
    other = Database(url)
    with database.write() as transaction:
        transaction.execute(insert(tag_table), {"arn": "a", "key": "n", "value": "0", "position": 0})

    def count(of):
        for _ in range(25):
            with of.write() as transaction:
                value = int(transaction.first(select(tag_table.c.value)).value)
                transaction.execute(update(tag_table).values(value=str(value + 1)))

    threads = [threading.Thread(target=count, args=(of,)) for of in (database, database, other, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as transaction:
        assert transaction.first(select(tag_table.c.value)).value == "100"
    other.close()


def test_a_database_of_a_newer_modelwright_is_left_alone(database, url):
    with database.write() as transaction:
        transaction.execute(update(schema_table).values(version=SCHEMA_VERSION + 1))
    with pytest.raises(ConfigurationError, match="made by a newer Modelwright"):
        Database(url)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////proc/no/such/folder/x.db", "oracle-of-delphi://x"])
def test_a_database_that_cannot_be_used(url):
    with pytest.raises(ConfigurationError, match="can't be used"):
        Database(url)


def test_a_file_that_is_no_database(tmp_path):
    file = tmp_path / "x.db"
    file.write_text("nothing of the kind " * 100)
    with pytest.raises(ConfigurationError, match=r"x\.db.*not a database"):
        Database(f"sqlite:///{file}")


def test_a_kill_after_the_commit_loses_nothing(database):
    """WAL with synchronous=NORMAL: a commit is in the log before write() returns."""
    with database.read() as transaction:
        assert transaction.first(text("PRAGMA journal_mode"))[0] == "wal"
        assert transaction.first(text("PRAGMA synchronous"))[0] == 1
