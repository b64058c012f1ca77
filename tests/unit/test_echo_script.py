import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_runner.lib.errors import ValidationError
from task_runner.machines.echo_script import (
    Echo,
    Log,
    Raise,
    Return,
    Script,
    Sleep,
    Statement,
    Use,
    parse,
)


@pytest.mark.parametrize(
    ("line", "statement"),
    [
        ("ECHO hello", Echo("hello")),
        ("echo hello", Echo("hello")),
        ("\t eCHo  two  inner \t blanks  ", Echo("two  inner \t blanks")),
        ("ECHO", Echo("")),
        ("ECHO # nothing", Echo("")),
        ("ECHO a#b", Echo("a#b")),
        ("ECHO a #b", Echo("a")),
        ("ECHO a\t# b # c", Echo("a")),
        ("ECHO 'quotes' \"stay\" \\n", Echo("'quotes' \"stay\" \\n")),
        ("ECHO CLEANUP", Echo("CLEANUP")),
        ("ECHO über\N{NO-BREAK SPACE}\N{SNOWMAN}", Echo("über\N{NO-BREAK SPACE}\N{SNOWMAN}")),
        ("SLEEP 0", Sleep(0.0)),
        ("sleep 1.25 # a while", Sleep(1.25)),
        ("SLEEP .5", Sleep(0.5)),
        ("SLEEP 3.", Sleep(3.0)),
        ("SLEEP 316224000", Sleep(316224000.0)),
        ("LOG CRITICAL a", Log(logging.CRITICAL, "a")),
        ("LOG ERROR a", Log(logging.ERROR, "a")),
        ("LOG WARNING a", Log(logging.WARNING, "a")),
        ("log info  a  %d b", Log(logging.INFO, "a  %d b")),
        ("LOG Debug a", Log(logging.DEBUG, "a")),
        ("RETURN 0", Return(0)),
        ("RETURN 255", Return(255)),
        ("return 007", Return(7)),
        ("RAISE", Raise("")),
        ("RAISE it is  broken", Raise("it is  broken")),
        ("USE SHARED a", Use(exclusive=False, names=("a",))),
        ("use exclusive a  b/c SHARED", Use(exclusive=True, names=("a", "b/c", "SHARED"))),
    ],
)
def test_statement(line: str, statement: Statement) -> None:
    assert parse([line]) == Script((statement,), ())
    assert parse(line) == parse([line])


@pytest.mark.parametrize("nothing", [[], "", ["", "  \t"], "# only\n  # comments", "\r\n\r"])
def test_a_script_without_statements_does_nothing(nothing: object) -> None:
    assert parse(nothing) == Script((), ())


def test_cleanup_divides_the_script() -> None:
    script = parse(["ECHO a", "RETURN 1", "ECHO b", " cleanup # now", "ECHO c", "RAISE d"])
    assert script == Script((Echo("a"), Return(1), Echo("b")), (Echo("c"), Raise("d")))
    assert parse("CLEANUP") == Script((), ())


def test_one_text_has_the_same_lines_as_a_list() -> None:
    lines = ["ECHO a", "", "SLEEP 0", "CLEANUP", "ECHO b"]
    for line_break in ("\n", "\r\n", "\r"):
        assert parse(line_break.join(lines)) == parse(lines)


def test_other_separators_do_not_end_a_line() -> None:
    assert parse("ECHO a\x0b\x0c\x85\u2028b") == Script((Echo("a\x0b\x0c\x85\u2028b"),), ())


@pytest.mark.parametrize("wrong", [None, 0, True, 1.5, {}, {"ECHO": "a"}, b"ECHO a", ("ECHO a",)])
def test_parameters_of_another_type_are_refused(wrong: object) -> None:
    with pytest.raises(ValidationError) as caught:
        parse(wrong)
    assert (caught.value.field, caught.value.line, caught.value.column) == (
        "parameters",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("lines", "line", "column", "detail"),
    [
        (["ECHO a", "PRINT a"], 2, 1, "no statement 'PRINT'"),
        (["", "# b", "  PRINT a"], 3, 3, "no statement"),
        (["ECHO\N{NO-BREAK SPACE}a"], 1, 1, "no statement"),
        (["ECHO# a"], 1, 1, "no statement 'ECHO#'"),
        (["ECHO a", 5], 2, 1, "must be a string"),
        (["ECHO a", None], 2, 1, "must be a string"),
        ([["ECHO a"]], 1, 1, "must be a string"),
        (["ECHO a", "ECHO b\nECHO c"], 2, 7, "line break"),
        (["ECHO a\r"], 1, 7, "line break"),
        (["# a\nb"], 1, 4, "line break"),
        (["ECHO a", "ECHO \ud800"], 2, 6, "surrogate"),
        (["# \udfff"], 1, 3, "surrogate"),
        (["  SLEEP"], 1, 3, "SLEEP needs a number"),
        (["SLEEP # 5"], 1, 1, "SLEEP needs a number"),
        (["SLEEP x"], 1, 7, "decimal number"),
        (["SLEEP  -1"], 1, 8, "decimal number"),
        (["SLEEP +1"], 1, 7, "decimal number"),
        (["SLEEP ."], 1, 7, "decimal number"),
        (["SLEEP 1e3"], 1, 7, "decimal number"),
        (["SLEEP 1_0"], 1, 7, "decimal number"),
        (["SLEEP 1,5"], 1, 7, "decimal number"),
        (["SLEEP nan"], 1, 7, "decimal number"),
        (["SLEEP inf"], 1, 7, "decimal number"),
        (["SLEEP \N{ARABIC-INDIC DIGIT THREE}"], 1, 7, "decimal number"),
        (["SLEEP 316224001"], 1, 7, "decimal number"),
        (["SLEEP " + "9" * 5000], 1, 7, "decimal number"),
        (["SLEEP 1 \t s"], 1, 11, "nothing more"),
        (["LOG"], 1, 1, "LOG needs a level"),
        (["LOG INFO"], 1, 1, "LOG needs a text"),
        (["LOG  INFO # a"], 1, 1, "LOG needs a text"),
        (["LOG hello you"], 1, 5, "CRITICAL, ERROR, WARNING, INFO, DEBUG"),
        (["LOG WARN a"], 1, 5, "CRITICAL"),
        (["RETURN"], 1, 1, "RETURN needs an exit code"),
        (["RETURN -1"], 1, 8, "integer"),
        (["RETURN 256"], 1, 8, "integer"),
        (["RETURN 1.0"], 1, 8, "integer"),
        (["RETURN " + "0" * 5000], 1, 8, "integer"),
        (["RETURN \N{SUPERSCRIPT TWO}"], 1, 8, "integer"),
        (["RETURN 1 2"], 1, 10, "nothing more"),
        (["USE"], 1, 1, "USE needs SHARED"),
        (["USE a"], 1, 5, "SHARED or EXCLUSIVE"),
        (["USE SHARED"], 1, 1, "USE needs at least one name"),
        (["USE SHARED a b\x07"], 1, 14, "control character"),
        (["USE SHARED a b a"], 1, 16, "'a' is named twice"),
        (["USE SHARED a", "USE EXCLUSIVE b a"], 2, 17, "'a' is named twice"),
        (["USE SHARED a", "USE SHARED a"], 2, 12, "'a' is named twice"),
        (["CLEANUP now"], 1, 9, "nothing more"),
        (["CLEANUP", " CLEANUP"], 2, 2, "only one CLEANUP"),
        (["CLEANUP", " RETURN 0"], 2, 2, "RETURN is not allowed after CLEANUP"),
        (["CLEANUP", "use shared a"], 2, 1, "USE is not allowed after CLEANUP"),
        (["CLEANUP", "SLEEP x"], 2, 7, "decimal number"),
    ],
)
def test_refusal(lines: object, line: int, column: int, detail: str) -> None:
    with pytest.raises(ValidationError) as caught:
        parse(lines)
    assert detail in caught.value.detail
    assert (caught.value.field, caught.value.line, caught.value.column) == (
        "parameters",
        line,
        column,
    )


def test_place_in_one_text_with_mixed_line_breaks() -> None:
    with pytest.raises(ValidationError) as caught:
        parse("ECHO a\r\n\rECHO b\n\n  SLEEP  x\n")
    assert (caught.value.line, caught.value.column) == (5, 10)


def test_an_error_does_not_repeat_a_long_word() -> None:
    with pytest.raises(ValidationError) as caught:
        parse("x" * 100_000)
    assert len(str(caught.value)) < 200


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "text",
    [
        "ECHO a" + " " * 2_000_000 + "b",
        "ECHO" + " " * 2_000_000,
        "ECHO " + "a#" * 1_000_000,
        "ECHO " + "a " * 1_000_000,
        "SLEEP 0." + "9" * 2_000_000,
        "USE SHARED " + " ".join(map(str, range(300_000))),
        "ECHO a\n" * 300_000,
        "\r" * 2_000_000,
    ],
    ids=range(8),
)
def test_long_input_takes_linear_time(text: str) -> None:
    # Two million steps squared would take hours.
    parse(text)


KEYWORDS = ["echo", "ECHO", "SLEEP", "LOG", "RETURN", "RAISE", "USE", "CLEANUP"]
WORDS = st.sampled_from(
    [*KEYWORDS, "SHARED", "exclusive", "INFO", "0", "256", "a", "#", "\n", "\t"]
)
LINES = st.lists(WORDS, max_size=6).map(" ".join)


@given(st.lists(st.text() | LINES) | st.text() | LINES | st.lists(st.integers() | st.none()))
def test_nothing_but_a_refusal_is_raised(parameters: object) -> None:
    try:
        script = parse(parameters)
    except ValidationError as refusal:
        assert refusal.field == "parameters"  # noqa: PT017 - either outcome is right
    else:
        assert not any(isinstance(part, Return | Use) for part in script.cleanup)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n#")))
def test_echo_keeps_every_text(text: str) -> None:
    assert parse([f"ECHO {text}"]).main == (Echo(text.strip(" \t")),)
