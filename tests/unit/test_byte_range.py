import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_runner.api.byte_range import UNSATISFIABLE, requested_range

TAG = '"1-a"'
SIZES = st.integers(0, 40)
PLACES = st.none() | st.integers(0, 50) | st.integers(10**17, 10**18 - 1)


def model(first: int | None, last: int | None, size: int) -> tuple[int, int] | None:
    """Say the same by looking at every single byte; None when the range means nothing."""
    if first is None and last is None:
        return None
    if first is not None and last is not None and last < first:
        return None
    if first is None:
        assert last is not None
        wanted = [byte for byte in range(size) if byte >= size - last]
    else:
        wanted = [byte for byte in range(size) if first <= byte and (last is None or byte <= last)]
    return (wanted[0], wanted[-1] + 1) if wanted else UNSATISFIABLE


def header(first: int | None, last: int | None) -> str:
    return f"bytes={'' if first is None else first}-{'' if last is None else last}"


@given(first=PLACES, last=PLACES, size=SIZES, if_range=st.sampled_from([None, TAG, '"2-b"', ""]))
def test_it_agrees_with_the_model(
    first: int | None, last: int | None, size: int, if_range: str | None
) -> None:
    headers = {"range": header(first, last)}
    if if_range is not None:
        headers["if-range"] = if_range
    expected = model(first, last, size) if if_range in {None, TAG} else None
    assert requested_range(headers, TAG, size) == expected


@given(text=st.text(st.characters(max_codepoint=255)), size=SIZES)
def test_nothing_that_a_client_sends_is_an_error(text: str, size: int) -> None:
    for sent in (text, f"bytes={text}", f"bytes=1-{text}", f"bytes={text}-"):
        found = requested_range({"range": sent}, TAG, size)
        assert found in {None, UNSATISFIABLE} or (found and 0 <= found[0] < found[1] <= size)


def test_without_the_header_the_whole_is_asked_for() -> None:
    assert requested_range({}, TAG, 10) is None
    assert requested_range({"if-range": TAG}, TAG, 10) is None


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 10)),
        ("bytes=9-", (9, 10)),
        ("bytes=2-4", (2, 5)),
        ("bytes=2-999", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        (" bytes = 2 - 4 ", (2, 5)),
        ("bytes=10-", UNSATISFIABLE),
        ("bytes=-0", UNSATISFIABLE),
        ("bytes=11-10", None),
        ("bytes=-", None),
        ("bytes=", None),
        ("bytes", None),
        ("bytes 0-1", None),
        ("bytes=0-1,3-4", None),
        ("bytes=a-b", None),
        ("bytes=--1", None),
        ("bytes=0-1-", None),
        ("bytes=+1-2", None),
        ("bytes=1.5-2", None),
        ("items=0-1", None),
        ("bytes=0-1\n", None),
        ("bytes=" + "1" * 19 + "-", None),
    ],
)
def test_ranges_of_ten_bytes(sent: str, expected: tuple[int, int] | None) -> None:
    assert requested_range({"range": sent}, TAG, 10) == expected


def test_a_range_that_cannot_be_is_told_by_identity() -> None:
    assert requested_range({"range": "bytes=10-"}, TAG, 10) is UNSATISFIABLE
