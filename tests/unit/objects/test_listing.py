"""Listings, against the plainest thing that could be right."""

from hypothesis import given
from hypothesis import strategies as st

from modelwright.objects.listing import Start, paginate

letters = st.text(alphabet="ab/é\uffff", max_size=6).map(str.encode)


def plain(keys, prefix, delimiter, after):
    """Everything after a point: keys and common prefixes, merged, in order."""
    shown = []
    for key in sorted(keys):
        if not key.startswith(prefix) or key <= after:
            continue
        at = key.find(delimiter, len(prefix)) if delimiter else -1
        item = key if at < 0 else key[: at + len(delimiter)]
        if item not in shown:
            shown.append(item)
    return shown


def fetcher(keys):
    def fetch(lower, inclusive, upper, count):
        found = [
            (key, key)
            for key in sorted(keys)
            if (key >= lower if inclusive else key > lower) and (upper is None or key < upper)
        ]
        return found[:count]

    return fetch


def pages(keys, prefix, delimiter, start, limit):
    """All pages, each begun where the one before ended."""
    while True:
        page = paginate(fetcher(keys), prefix, delimiter=delimiter, start=start, limit=limit)
        assert len(page.items) + len(page.prefixes) <= limit
        yield from sorted([*page.items, *page.prefixes])
        if not page.truncated:
            return
        assert page.last == max([*page.items, *page.prefixes])
        start = Start.beyond(page.last, prefix, delimiter, roll=True)


@given(st.sets(letters.filter(bool)), letters, st.sampled_from([b"", b"/", b"a", b"//"]), st.integers(1, 4))
def test_pages_together_are_the_whole(keys, prefix, delimiter, limit):
    assert list(pages(keys, prefix, delimiter, Start(), limit)) == plain(keys, prefix, delimiter, b"")


@given(st.sets(letters.filter(bool)), letters, st.sampled_from([b"", b"/"]), letters, st.integers(1, 4))
def test_start_after_goes_by_keys(keys, prefix, delimiter, after, limit):
    start = Start.beyond(after, prefix, delimiter, roll=False)
    assert list(pages(keys, prefix, delimiter, start, limit)) == plain(keys, prefix, delimiter, after)


def test_a_marker_inside_a_common_prefix_is_beyond_it():
    keys = [b"a/1", b"a/2", b"b"]
    start = Start.beyond(b"a/1", b"", b"/", roll=True)
    assert list(pages(keys, b"", b"/", start, 10)) == [b"b"]


def test_a_full_page_that_is_the_last_is_not_truncated():
    page = paginate(fetcher([b"a", b"b/1", b"b/2"]), b"", delimiter=b"/", start=Start(), limit=2)
    assert (page.items, page.prefixes, page.truncated) == ([b"a"], [b"b/"], False)


def test_a_common_prefix_costs_one_jump():
    asked = []
    keys = [b"big/%06d" % number for number in range(5000)] + [b"z"]
    fetch = fetcher(keys)

    def counting(*arguments):
        asked.append(arguments)
        return fetch(*arguments)

    page = paginate(counting, b"", delimiter=b"/", start=Start(), limit=1000)
    assert (page.items, page.prefixes) == ([b"z"], [b"big/"])
    assert len(asked) == 2


def test_no_keys_asked_no_keys_told():
    page = paginate(fetcher([b"a"]), b"", delimiter=b"", start=Start(), limit=0)
    assert (page.items, page.truncated) == ([], False)
