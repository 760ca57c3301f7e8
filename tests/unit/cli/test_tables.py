"""What results look like: nothing folded, nothing ragged, fewer columns where there is less room."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from modelwright.cli.tables import Column, cell, elapsed, fields, grid, table

COLUMNS = (Column("NAME", "Name"), Column("STATUS", "Status"), Column("FROM", "From", True), Column("BY", "By", True))
ROWS = [
    {"Name": "a", "Status": "Completed", "From": "here", "By": "me"},
    {"Name": "a-much-longer-name", "Status": "Failed", "By": "you"},
]


def lines(drawn):
    return drawn.plain.split("\n")


def test_a_table_is_aligned_and_no_line_ends_in_spaces():
    assert lines(table(ROWS, COLUMNS, 200)) == [
        "NAME                STATUS     FROM  BY",
        "a                   Completed  here  me",
        "a-much-longer-name  Failed     -     you",
    ]


def test_wide_letters_count_twice():
    rows = [{"Name": "포즈 모델", "Status": "ok"}, {"Name": "pose", "Status": "ok"}]
    drawn = lines(table(rows, COLUMNS[:2], 200))
    assert {cell_len(line[: line.index("ok")]) for line in drawn[1:]} == {11}


@pytest.mark.parametrize(("width", "heads"), [(40, 4), (39, 3), (35, 3), (34, 2), (29, 2), (5, 2)])
def test_a_narrow_terminal_gets_fewer_columns_and_whole_names(width, heads):
    head, _, second = lines(table(ROWS, COLUMNS, width))
    assert head.split() == ["NAME", "STATUS", "FROM", "BY"][:heads]
    assert "a-much-longer-name" in second


def test_a_document_is_indented():
    document = {
        "Name": "x",
        "A": {"LongMember": 1, "B": {"C": True}},
        "Empty": {},
        "Command": ["sh", "-c"],
        "Items": [{"K": "a", "V": 1}, {"K": "bc", "V": 2}],
        "Mixed": [{"K": "a", "V": [{"W": 1}]}, "text"],
        "Reason": "first\nsecond",
    }
    assert lines(fields(document)) == [
        "Name     x",
        "A",
        "  LongMember  1",
        "  B",
        "    C  yes",
        "Empty    -",
        "Command  sh, -c",
        "Items",
        "  K   V",
        "  a   1",
        "  bc  2",
        "Mixed",
        "  - K  a",
        "    V",
        "      - W  1",
        "  - text",
        "Reason   first",
        "         second",
    ]


def test_statuses_have_their_colour():
    assert cell("Failed").style == "red"
    assert cell("Completed").style == "green"
    assert not cell("anything").style
    assert cell(0).plain == "0"
    assert cell(None).plain == "-"


def test_text_is_no_markup():
    assert lines(grid([[cell("[red]x[/red]"), cell("[/]")]])) == ["[red]x[/red]  [/]"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0, "0.0 s"),
        (4.24, "4.2 s"),
        (59.94, "59.9 s"),
        (59.96, "0 min 59 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_elapsed(seconds, text):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert elapsed(begin, begin + timedelta(seconds=seconds)) == text


def test_what_has_not_begun_took_nothing():
    assert elapsed(None, None) == "-"
