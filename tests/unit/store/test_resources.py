import pytest
from sqlalchemy import event

from modelwright.errors import ResourceInUse, ResourceNotFound, ValidationException
from modelwright.store.database import Database
from modelwright.store.resources import (
    Condition,
    Query,
    _make_token,
    count_resources,
    delete_resource,
    find_by_arn,
    find_resource,
    get_tags,
    insert_resource,
    list_resources,
    put_tags,
    remove_tags,
    replace_resource,
)


@pytest.fixture
def add(database):
    def add(name, *, kind="Job", created=0.0, document=None, **columns):
        with database.write() as transaction:
            document = {"Name": name, **(document or {})}
            insert_resource(transaction, kind, name, document, created=created, **columns)

    return add


@pytest.fixture
def find(database):
    def find(**query):
        with database.read() as transaction:
            query = Query(**{"kind": "Job", **query})
            page = list_resources(transaction, query)
            names = [document["Name"] for document in page.documents]
            if page.next_token is None and query.token is None:
                assert count_resources(transaction, query) == len(names)
            return names

    return find


class TestOne:
    def test_it_works(self, database, add):
        add("a", arn="arn:a", document={"Deep": {"List": [1, 2.5, None, "ä"]}})
        with database.read() as transaction:
            document = find_resource(transaction, "Job", "a")
            assert document == {"Name": "a", "Deep": {"List": [1, 2.5, None, "ä"]}}
            assert find_by_arn(transaction, "arn:a") == ("Job", "a", document)
            assert find_resource(transaction, "Job", "b") is None
            assert find_resource(transaction, "Model", "a") is None
            assert find_by_arn(transaction, "arn:b") is None

    def test_a_name_is_taken_once_a_kind(self, add):
        add("a")
        add("a", kind="Model")
        with pytest.raises(ResourceInUse, match="Job 'a' already exists"):
            add("a")

    def test_replace(self, database, add, find):
        add("a", status="Running", created=1.0)
        with database.write() as transaction:
            replace_resource(transaction, "Job", "a", {"Name": "A"}, modified=5.0)
        assert find(status="Running", modified_after=5.0) == ["A"]
        with database.write() as transaction:
            replace_resource(transaction, "Job", "a", {"Name": "A"}, modified=6.0, status="Done")
        assert find(status="Done", created_before=1.0) == ["A"]

    def test_what_there_is_not_cannot_be_replaced(self, database):
        with database.write() as transaction, pytest.raises(ResourceNotFound, match="Job 'a' does not exist"):
            replace_resource(transaction, "Job", "a", {}, modified=1.0)

    def test_delete_takes_the_tags(self, database, add):
        add("a", arn="arn:a")
        with database.write() as transaction:
            put_tags(transaction, "arn:a", [{"Key": "k", "Value": "v"}])
            assert delete_resource(transaction, "Job", "a")
            assert not delete_resource(transaction, "Job", "a")
            assert get_tags(transaction, "arn:a") == []

    def test_a_lock_is_no_hindrance_to_oneself(self, database, add):
        add("a")
        with database.write() as transaction:
            assert find_resource(transaction, "Job", "a", lock=True) == {"Name": "a"}


class TestLists:
    @pytest.fixture(autouse=True)
    def some(self, add):
        add("beta", created=1.0, parent="p", status="Done")
        add("Alpha", created=2.0, parent="q", status="Failed")
        add("gamma_1", created=3.0, parent="p")
        add("gammaX1", created=3.0, parent="p", status="Done")
        add("other", kind="Model", created=9.0)

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ({}, ["gammaX1", "gamma_1", "Alpha", "beta"]),
            ({"descending": False}, ["beta", "Alpha", "gamma_1", "gammaX1"]),
            ({"sort": "name", "descending": False}, ["Alpha", "beta", "gammaX1", "gamma_1"]),
            ({"sort": "status", "descending": False}, ["gamma_1", "beta", "gammaX1", "Alpha"]),
            ({"sort": "member", "sort_member": "Name"}, ["gamma_1", "gammaX1", "beta", "Alpha"]),
            ({"sort": "member", "sort_member": "None"}, ["gammaX1", "gamma_1", "Alpha", "beta"]),
            ({"parent": "p"}, ["gammaX1", "gamma_1", "beta"]),
            ({"status": "Done", "parent": "p"}, ["gammaX1", "beta"]),
            ({"name_contains": "ALPH"}, ["Alpha"]),
            ({"name_contains": "a_1"}, ["gamma_1"]),
            ({"name_contains": "%"}, []),
            ({"created_after": 2.0}, ["gammaX1", "gamma_1", "Alpha"]),
            ({"created_after": 2.0, "created_before": 2.0}, ["Alpha"]),
            ({"kind": "Model"}, ["other"]),
            ({"kind": "None"}, []),
        ],
    )
    def test_filters_and_orders(self, find, query, found):
        assert find(**query) == found

    @pytest.mark.parametrize("sort", ["created", "modified", "name", "status", "member"])
    @pytest.mark.parametrize("descending", [True, False])
    def test_pages_are_the_whole(self, database, find, sort, descending):
        order = {"sort": sort, "sort_member": "Name" if sort == "member" else None, "descending": descending}
        whole, paged, token = find(**order), [], None
        while True:
            with database.read() as transaction:
                query = Query("Job", **order, limit=1, token=token)
                page = list_resources(transaction, query)
            paged += [document["Name"] for document in page.documents]
            token = page.next_token
            if token is None:
                break
        assert paged == whole

    def test_a_token_survives_restarts_inserts_and_deletes(self, database, url, add):
        with database.read() as transaction:
            token = list_resources(transaction, Query("Job", limit=2)).next_token
        add("newest", created=10.0)
        add("inserted", created=1.5)
        with database.write() as transaction:
            delete_resource(transaction, "Job", "gamma_1")  # the last one of the page that was read
        again = Database(url)
        with again.read() as transaction:
            page = list_resources(transaction, Query("Job", limit=9, token=token))
        again.close()
        assert [document["Name"] for document in page.documents] == ["Alpha", "inserted", "beta"]

    @pytest.mark.parametrize("token", ["", "x", "W10=", "WzEsMiwzXQ==", "bnVsbA=="])
    def test_a_broken_token(self, find, token):
        with pytest.raises(ValidationException, match="NextToken is not valid"):
            find(token=token)

    def test_a_token_of_another_query(self, database, find):
        with database.read() as transaction:
            token = list_resources(transaction, Query("Job", limit=1)).next_token
        for query in ({"sort": "name"}, {"descending": False}, {"kind": "Model"}, {"parent": "p"}):
            with pytest.raises(ValidationException, match="NextToken is not valid"):
                find(token=token, **query)


class TestConditions:
    @pytest.fixture(autouse=True)
    def some(self, add):
        add("a", created=1.0, document={"Group": "g", "Size": {"Bytes": 9, "Unit": "KiB"}, "On": True})
        add("b", created=2.0, document={"Size": {"Bytes": 10, "Unit": "100%"}})
        add("c", created=3.0, document={"Group": "Gold"})

    @pytest.mark.parametrize(
        ("conditions", "found"),
        [
            ([("Group", "equals", "g")], {"a"}),
            ([("Group", "not-equals", "g")], {"b", "c"}),
            ([("Group", "contains", "G")], {"a", "c"}),
            ([("Size.Unit", "contains", "%")], {"b"}),
            ([("Group", "in", ("g", "x"))], {"a"}),
            ([("Group", "exists")], {"a", "c"}),
            ([("Group", "not-exists")], {"b"}),
            ([("Size.Bytes", "equals", 10)], {"b"}),
            ([("Size.Bytes", "greater", 9)], {"b"}),
            ([("Size.Bytes", "greater-or-equal", 9)], {"a", "b"}),
            ([("Size.Bytes", "less", 10)], {"a"}),
            ([("Size.Bytes", "less-or-equal", 9.5)], {"a"}),
            ([("Group", "exists"), ("Size.Bytes", "exists")], {"a"}),
            ([("Nowhere.At.All", "exists")], set()),
        ],
    )
    def test_all_must_hold(self, find, conditions, found):
        assert set(find(conditions=tuple(Condition(*each) for each in conditions))) == found

    def test_any_may_hold(self, find):
        either = (Condition("Group", "equals", "Gold"), Condition("Size.Bytes", "equals", 9))
        assert find(conditions=either, any_condition=True) == ["c", "a"]


class TestTags:
    def test_they_keep_their_order(self, database):
        with database.write() as transaction:
            put_tags(transaction, "arn:a", [{"Key": "z", "Value": "1"}, {"Key": "a", "Value": "2"}])
            put_tags(transaction, "arn:a", [{"Key": "m", "Value": "3"}, {"Key": "z", "Value": "4"}])
            put_tags(transaction, "arn:b", [{"Key": "z", "Value": "other"}])
            assert [tuple(tag.values()) for tag in get_tags(transaction, "arn:a")] == [
                ("z", "4"),
                ("a", "2"),
                ("m", "3"),
            ]
            remove_tags(transaction, "arn:a", ["z", "never"])
            assert [tag["Key"] for tag in get_tags(transaction, "arn:a")] == ["a", "m"]

    def test_limits(self, database):
        tags = [{"Key": str(i), "Value": ""} for i in range(3)]
        with database.write() as transaction:
            with pytest.raises(ValidationException, match="3 tags; the limit is 2"):
                put_tags(transaction, "arn:a", tags, limit=2)
            with pytest.raises(ValidationException, match="more than once"):
                put_tags(transaction, "arn:a", [tags[0], tags[0]])


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({}, "resource_by_creation"),
        ({"descending": False}, "resource_by_creation"),
        ({"created_after": 5.0}, "resource_by_creation"),
        ({"sort": "modified"}, "resource_by_modification"),
        ({"parent": "p"}, "resource_by_parent"),
        ({"status": "Done"}, "resource_by_status"),
        ({"sort": "name"}, "sqlite_autoindex_resource_1"),
    ],
)
def test_lists_are_read_from_an_index_in_order(database, query, index):
    """No page may sort or read the whole table."""
    plans = []

    def explain(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith("SELECT"):
            rows = connection.connection.execute("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
            plans.append("; ".join(row[3] for row in rows))

    with database.read() as transaction:
        event.listen(transaction.connection, "before_cursor_execute", explain)
        first = list_resources(transaction, Query("Job", **query))
        assert first.next_token is None
        token = _make_token(Query("Job", **query), "a" if query.get("sort") == "name" else 1.0, 1)
        list_resources(transaction, Query("Job", **query, token=token))
    assert len(plans) == 2
    column = "name" if query.get("sort") == "name" else "modified" if query.get("sort") else "created"
    assert f"{column}{'>' if query.get('descending') is False else '<'}?" in plans[1], "a late page is sought"
    for plan in plans:
        assert f"USING INDEX {index}" in plan, plan
        assert "TEMP B-TREE" not in plan, plan
