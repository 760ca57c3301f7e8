import pytest

from modelwright.errors import (
    InvalidParameterException,
    ResourceAlreadyExistsException,
    ResourceNotFoundException,
    UnsupportedOperation,
)
from modelwright.services.logs import streams
from modelwright.store import logs as store
from support.doors import REGION

GROUP = "/aws/sagemaker/TrainingJobs"
STREAM = "job-1/algo-1-1790000000"
ARN = f"arn:aws:logs:{REGION}:111122223333:log-group:{GROUP}"


@pytest.fixture
def logs(door):
    return door.of("logs")


@pytest.fixture
def now(clock):
    return int(clock.time * 1000)


@pytest.fixture
def write(database, now):
    """Lines as the engine writes them."""

    def write(*lines, stream=STREAM, group=GROUP):
        with database.write() as transaction:
            store.put_log_events(transaction, group, stream, lines, now)

    return write


def messages(answer):
    return [event["message"] for event in answer["events"]]


class TestGroups:
    def test_it_works(self, logs, now):
        logs("CreateLogGroup", logGroupName="g", tags={"a": "1"})
        (group,) = logs("DescribeLogGroups")["logGroups"]
        arn = f"arn:aws:logs:{REGION}:111122223333:log-group:g"
        assert group == {
            "logGroupName": "g",
            "creationTime": now,
            "arn": arn + ":*",
            "logGroupArn": arn,
            "metricFilterCount": 0,
            "storedBytes": 0,
            "logGroupClass": "STANDARD",
        }
        with pytest.raises(ResourceAlreadyExistsException, match="The specified log group already exists"):
            logs("CreateLogGroup", logGroupName="g")

    def test_pages_and_filters(self, logs):
        for name in ("/b/2", "/a", "/b/1", "/b/3"):
            logs("CreateLogGroup", logGroupName=name)

        def names(**parameters):
            answer = logs("DescribeLogGroups", **parameters)
            return [group["logGroupName"] for group in answer["logGroups"]], answer.get("nextToken")

        first, token = names(logGroupNamePrefix="/b", limit=2)
        assert first == ["/b/1", "/b/2"]
        assert names(logGroupNamePrefix="/b", limit=2, nextToken=token) == (["/b/3"], None)
        assert names(logGroupNamePattern="2")[0] == ["/b/2"]
        with pytest.raises(InvalidParameterException, match="nextToken is invalid"):
            names(nextToken="x")

    def test_deletion_takes_streams_and_lines(self, logs, write):
        write((1, "a"))
        logs("DeleteLogGroup", logGroupName=GROUP)
        with pytest.raises(ResourceNotFoundException, match=r"The specified log group does not exist\."):
            logs("DescribeLogStreams", logGroupName=GROUP)
        logs("CreateLogGroup", logGroupName=GROUP)
        assert logs("DescribeLogStreams", logGroupName=GROUP) == {"logStreams": []}
        assert logs("FilterLogEvents", logGroupName=GROUP)["events"] == []

    def test_tags(self, logs):
        logs("CreateLogGroup", logGroupName=GROUP, tags={"a": "1"})
        logs("TagLogGroup", logGroupName=GROUP, tags={"b": "2"})
        logs("TagResource", resourceArn=ARN, tags={"c": "3"})
        assert logs("ListTagsForResource", resourceArn=ARN) == {"tags": {"a": "1", "b": "2", "c": "3"}}
        logs("UntagLogGroup", logGroupName=GROUP, tags=["a"])
        logs("UntagResource", resourceArn=ARN, tagKeys=["b"])
        assert logs("ListTagsLogGroup", logGroupName=GROUP) == {"tags": {"c": "3"}}

    def test_retention_hides_what_is_too_old(self, logs, write, now):
        old = now - 2 * 86_400_000
        write((old, "old"), (now, "new"))
        logs("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=1)
        assert logs("DescribeLogGroups")["logGroups"][0]["retentionInDays"] == 1
        assert messages(logs("GetLogEvents", logGroupName=GROUP, logStreamName=STREAM)) == ["new"]
        assert messages(logs("FilterLogEvents", logGroupName=GROUP)) == ["new"]
        logs("DeleteRetentionPolicy", logGroupName=GROUP)
        assert messages(logs("FilterLogEvents", logGroupName=GROUP)) == ["old", "new"]
        with pytest.raises(InvalidParameterException, match="retentionInDays = 2"):
            logs("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=2)


class TestStreams:
    def test_what_the_sdk_asks_for(self, logs, write, now):
        """sagemaker.logs: streams of a job by prefix, nothing yet -> ResourceNotFoundException."""

        def found():
            answer = logs(
                "DescribeLogStreams",
                logGroupName=GROUP,
                logStreamNamePrefix="job-1/",
                orderBy="LogStreamName",
                limit=1,
            )
            return answer["logStreams"]

        with pytest.raises(ResourceNotFoundException):
            found()
        write((5, "x"), stream="job-10/algo-1-1")
        assert found() == []
        write((7, "a"), (9, "b"))
        assert found() == [
            {
                "logStreamName": STREAM,
                "creationTime": now,
                "firstEventTimestamp": 7,
                "lastEventTimestamp": 9,
                "lastIngestionTime": now,
                "arn": f"{ARN}:log-stream:{STREAM}",
                "storedBytes": 0,
            }
        ]

    def test_order_and_pages(self, logs, write):
        for name, time in (("a", 30), ("c", 10), ("b", 20)):
            write((time, "x"), stream=name)

        def names(**parameters):
            found, token = [], {}
            while True:
                answer = logs("DescribeLogStreams", logGroupName=GROUP, limit=1, **parameters, **token)
                found += [stream["logStreamName"] for stream in answer["logStreams"]]
                if "nextToken" not in answer:
                    return found
                token = {"nextToken": answer["nextToken"]}

        assert names() == ["a", "b", "c"]
        assert names(descending=True) == ["c", "b", "a"]
        assert names(orderBy="LastEventTime") == ["c", "b", "a"]
        assert names(orderBy="LastEventTime", descending=True) == ["a", "b", "c"]

    def test_a_prefix_is_exact(self, logs, write):
        for name in ("a_b", "a%b", "aXb", "A_b"):
            write((1, "x"), stream=name)
        answer = logs("DescribeLogStreams", logGroupName=GROUP, logStreamNamePrefix="a_")
        assert [stream["logStreamName"] for stream in answer["logStreams"]] == ["a_b"]

    def test_a_prefix_does_not_go_with_times(self, logs, write):
        write((1, "x"))
        with pytest.raises(InvalidParameterException, match="Cannot order by LastEventTime"):
            logs("DescribeLogStreams", logGroupName=GROUP, logStreamNamePrefix="a", orderBy="LastEventTime")

    def test_create_and_delete(self, logs):
        with pytest.raises(ResourceNotFoundException, match="log group does not exist"):
            logs("CreateLogStream", logGroupName="g", logStreamName="s")
        logs("CreateLogGroup", logGroupName="g")
        logs("CreateLogStream", logGroupName="g", logStreamName="s")
        with pytest.raises(ResourceAlreadyExistsException, match="log stream already exists"):
            logs("CreateLogStream", logGroupName="g", logStreamName="s")
        logs("DeleteLogStream", logGroupName="g", logStreamName="s")
        with pytest.raises(ResourceNotFoundException, match="log stream does not exist"):
            logs("GetLogEvents", logGroupName="g", logStreamName="s")


class TestPut:
    @pytest.fixture(autouse=True)
    def stream(self, logs):
        logs("CreateLogGroup", logGroupName="g")
        logs("CreateLogStream", logGroupName="g", logStreamName="s")

    def put(self, logs, *events):
        events = [{"timestamp": time, "message": text} for time, text in events]
        return logs("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=events)

    def test_it_works(self, logs, now):
        assert set(self.put(logs, (now - 1, "ä"), (now, "b"))) == {"nextSequenceToken"}
        answer = logs("GetLogEvents", logGroupName="g", logStreamName="s", startFromHead=True)
        assert answer["events"] == [
            {"timestamp": now - 1, "message": "ä", "ingestionTime": now},
            {"timestamp": now, "message": "b", "ingestionTime": now},
        ]
        assert logs("DescribeLogGroups")["logGroups"][0]["storedBytes"] == 2 + 26 + 1 + 26

    def test_what_is_too_old_or_too_new_is_left_out(self, logs, now):
        day = 86_400_000
        rejected = self.put(logs, (now - 15 * day, "a"), (now - 15 * day + 1, "b"))["rejectedLogEventsInfo"]
        assert rejected == {"tooOldLogEventEndIndex": 2}
        rejected = self.put(logs, (now, "c"), (now + 3 * 3_600_000, "d"))["rejectedLogEventsInfo"]
        assert rejected == {"tooNewLogEventStartIndex": 1}
        assert messages(logs("GetLogEvents", logGroupName="g", logStreamName="s")) == ["c"]

    @pytest.mark.parametrize(
        ("times", "size", "message"),
        [
            ((2, 1), 1, "chronological order"),
            ((0, 86_400_001), 1, "cannot span more than 24 hours"),
            ((1, 2), 600_000, "Upload too large: 1200052 bytes exceeds limit of 1048576"),
        ],
    )
    def test_a_batch_has_its_limits(self, logs, now, times, size, message):
        with pytest.raises(InvalidParameterException, match=message):
            self.put(logs, *((now - 86_500_000 + time, "x" * size) for time in times))

    def test_a_missing_stream(self, logs, now):
        events = [{"timestamp": now, "message": "a"}]
        with pytest.raises(ResourceNotFoundException, match="log stream does not exist"):
            logs("PutLogEvents", logGroupName="g", logStreamName="other", logEvents=events)


class TestGet:
    def get(self, logs, **parameters):
        return logs("GetLogEvents", logGroupName=GROUP, logStreamName=STREAM, **parameters)

    def test_forward_to_the_end_and_on(self, logs, write):
        write(*((i, f"line {i}") for i in range(5)))
        first = self.get(logs, startFromHead=True, limit=3)
        assert messages(first) == ["line 0", "line 1", "line 2"]
        second = self.get(logs, startFromHead=True, limit=3, nextToken=first["nextForwardToken"])
        assert messages(second) == ["line 3", "line 4"]
        end = self.get(logs, startFromHead=True, nextToken=second["nextForwardToken"])
        assert messages(end) == []
        assert end["nextForwardToken"] == second["nextForwardToken"], "the same token says: nothing further yet"
        write((4, "same millisecond"), (5, "later"))
        more = self.get(logs, startFromHead=True, nextToken=end["nextForwardToken"])
        assert messages(more) == ["same millisecond", "later"]

    def test_backward_from_the_end(self, logs, write):
        write(*((i, f"line {i}") for i in range(5)))
        last = self.get(logs, limit=2)
        assert messages(last) == ["line 3", "line 4"]
        before = self.get(logs, limit=2, nextToken=last["nextBackwardToken"])
        assert messages(before) == ["line 1", "line 2"]
        assert messages(self.get(logs, nextToken=before["nextForwardToken"])) == ["line 3", "line 4"]
        first = self.get(logs, limit=2, nextToken=before["nextBackwardToken"])
        assert messages(first) == ["line 0"]
        beginning = self.get(logs, nextToken=first["nextBackwardToken"])
        assert messages(beginning) == []
        assert beginning["nextBackwardToken"] == first["nextBackwardToken"]

    def test_back_from_an_empty_end(self, logs, write):
        write((1, "a"), (2, "b"))
        end = self.get(logs, startFromHead=True)
        empty = self.get(logs, startFromHead=True, nextToken=end["nextForwardToken"])
        assert messages(self.get(logs, nextToken=empty["nextBackwardToken"])) == ["a", "b"]

    def test_an_empty_stream(self, logs):
        logs("CreateLogGroup", logGroupName=GROUP)
        logs("CreateLogStream", logGroupName=GROUP, logStreamName=STREAM)
        answer = self.get(logs, startFromHead=True)
        assert answer["events"] == []
        assert answer["nextForwardToken"].startswith("f/")
        assert answer["nextBackwardToken"].startswith("b/")

    def test_times(self, logs, write):
        write(*((i, str(i)) for i in range(5)))
        assert messages(self.get(logs, startTime=1, endTime=3, startFromHead=True)) == ["1", "2"]
        assert messages(self.get(logs, startTime=1, endTime=3, limit=1)) == ["2"]

    def test_a_page_has_at_most_a_mebibyte(self, logs, write):
        write(*((i, "x" * 400_000) for i in range(4)))
        first = self.get(logs, startFromHead=True)
        assert len(first["events"]) == 2
        assert len(self.get(logs, startFromHead=True, nextToken=first["nextForwardToken"])["events"]) == 2

    def test_a_single_huge_line_is_a_page(self, logs, write):
        write((1, "x" * 2_000_000), (2, "y"))
        assert len(self.get(logs, startFromHead=True)["events"]) == 1

    def test_by_identifier(self, logs, write):
        write((1, "a"))
        for identifier in (ARN, GROUP):
            answer = logs("GetLogEvents", logGroupIdentifier=identifier, logStreamName=STREAM)
            assert messages(answer) == ["a"]

    @pytest.mark.parametrize("token", ["x", "f/1/s", "b/../s"])
    def test_a_broken_token(self, logs, write, token):
        write((1, "a"))
        with pytest.raises(InvalidParameterException, match="nextToken is invalid"):
            self.get(logs, nextToken=token)


class TestFilter:
    def test_streams_are_interleaved(self, logs, write):
        write((1, "a1"), (4, "a4"), stream="a")
        write((2, "b2"), (3, "b3"), stream="b")
        answer = logs("FilterLogEvents", logGroupName=GROUP)
        assert messages(answer) == ["a1", "b2", "b3", "a4"]
        assert [event["logStreamName"] for event in answer["events"]] == ["a", "b", "b", "a"]
        assert len({event["eventId"] for event in answer["events"]}) == 4
        assert messages(logs("FilterLogEvents", logGroupName=GROUP, logStreamNames=["b"])) == ["b2", "b3"]
        assert messages(logs("FilterLogEvents", logGroupName=GROUP, logStreamNamePrefix="a")) == ["a1", "a4"]
        with pytest.raises(ResourceNotFoundException, match="log stream does not exist"):
            logs("FilterLogEvents", logGroupName=GROUP, logStreamNames=["c"])

    def test_pages(self, logs, write):
        write(*((i, f"{'odd' if i % 2 else 'even'} {i}") for i in range(10)))
        found, token = [], {}
        while True:
            answer = logs("FilterLogEvents", logGroupName=GROUP, filterPattern="odd", limit=2, **token)
            assert len(answer["events"]) <= 2
            found += messages(answer)
            if "nextToken" not in answer:
                break
            token = {"nextToken": answer["nextToken"]}
        assert found == ["odd 1", "odd 3", "odd 5", "odd 7", "odd 9"]

    @pytest.mark.parametrize(("pattern", "expected"), [("needle", 1), ("?needle", 3)])
    def test_a_needle_in_a_haystack(self, logs, write, monkeypatch, pattern, expected):
        """The database looks for terms; for what it can't look for, a call looks at so many lines at most."""
        monkeypatch.setattr(streams, "SCANNED_EVENTS", 1000)
        write(*((i, "hay") for i in range(2500)), (2500, "needle"))
        pages, token, found = 0, {}, []
        while True:
            answer = logs("FilterLogEvents", logGroupName=GROUP, filterPattern=pattern, **token)
            pages, found = pages + 1, found + messages(answer)
            if "nextToken" not in answer:
                break
            token = {"nextToken": answer["nextToken"]}
        assert (found, pages) == (["needle"], expected)

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("", {"ERROR disk full", "ERROR timeout", "warning: disk", "INFO ok"}),
            ("ERROR", {"ERROR disk full", "ERROR timeout"}),
            ("error", set()),
            ("ERROR disk", {"ERROR disk full"}),
            ('"disk full"', {"ERROR disk full"}),
            ('"warning:"', {"warning: disk"}),
            ("ERROR -timeout", {"ERROR disk full"}),
            ('-"disk full" -INFO', {"ERROR timeout", "warning: disk"}),
            ("?timeout ?INFO", {"ERROR timeout", "INFO ok"}),
            ("?timeout ERROR", {"ERROR disk full", "ERROR timeout"}),
            ("%ok$%", {"INFO ok"}),
        ],
    )
    def test_patterns(self, logs, write, pattern, found):
        write((1, "ERROR disk full"), (2, "ERROR timeout"), (3, "warning: disk"), (4, "INFO ok"))
        assert set(messages(logs("FilterLogEvents", logGroupName=GROUP, filterPattern=pattern))) == found

    def test_an_expression_that_takes_for_ever(self, logs, write):
        write((1, "a" * 80 + "!"))
        with pytest.raises(InvalidParameterException, match="takes too long"):
            logs("FilterLogEvents", logGroupName=GROUP, filterPattern="%(a|aa)+$%")

    @pytest.mark.parametrize(
        ("pattern", "error", "message"),
        [
            ("a.b", InvalidParameterException, r"Invalid character\(s\) in term 'a.b'"),
            ('"open', InvalidParameterException, "Invalid filter pattern"),
            ("%[%", InvalidParameterException, "regular expression"),
            ("{ $.x = 1 }", UnsupportedOperation, "JSON pattern"),
            ("[a, b]", UnsupportedOperation, "column pattern"),
        ],
    )
    def test_patterns_that_it_cannot_read(self, logs, write, pattern, error, message):
        write((1, "x"))
        with pytest.raises(error, match=message):
            logs("FilterLogEvents", logGroupName=GROUP, filterPattern=pattern)
