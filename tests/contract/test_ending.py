"""Exit codes, signals and errors come out true, whatever stands around the machine."""

import pytest

from tests.contract.conftest import Combination


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["true"], ("succeeded", 0)),
        (["sh", "-c", "exit 1"], ("failed", 1)),
        (["sh", "-c", "exit 125"], ("failed", 125)),
        (["sh", "-c", "exit 126"], ("failed", 126)),
        (["sh", "-c", "exit 127"], ("failed", 127)),
        (["sh", "-c", "exit 137"], ("failed", 137)),
        (["sh", "-c", "exit 143"], ("failed", 143)),
        (["sh", "-c", "exit 255"], ("failed", 255)),
        (["sh", "-c", "kill -KILL $$"], ("crashed", 137)),
        (["sh", "-c", "kill -TERM $$"], ("crashed", 143)),
        (["sh", "-c", "kill -SEGV $$"], ("crashed", 139)),
        (["no-such-program"], ("error", None)),
        (["/"], ("error", None)),
    ],
)
def test_a_command(
    combination: Combination, argv: list[str], expected: tuple[str, int | None]
) -> None:
    assert combination.ending(combination.program(*argv)) == expected


def test_a_signal_has_its_name(combination: Combination) -> None:
    task = combination.program("sh", "-c", "kill -SEGV $$")
    assert combination.node.result(task)["signal"] == "SIGSEGV"


def test_a_missing_program_is_named(combination: Combination) -> None:
    error = combination.node.result(combination.program("no-such-program"))["error"]
    assert "no-such-program" in error


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ECHO hello", ("succeeded", 0)),
        ("RETURN 7", ("failed", 7)),
        ("RETURN 137", ("failed", 137)),
        ("RAISE no luck", ("exception", -3)),
    ],
)
def test_a_python_machine(
    combination: Combination, line: str, expected: tuple[str, int | None]
) -> None:
    task = combination.echo(line, "CLEANUP", "ECHO clean-up")
    assert combination.ending(task) == expected
    assert combination.log(task).endswith(b"clean-up\n")


def test_an_exception_is_told(combination: Combination) -> None:
    task = combination.echo("RAISE no luck")
    assert combination.node.result(task)["error"] == "RuntimeError: no luck"
    assert b"Traceback" in combination.log(task)


def test_what_is_left_running_gets_its_chance_and_goes(combination: Combination) -> None:
    daemon = "trap 'echo farewell; exit' TERM; echo up; while :; do sleep 0.05; done"
    task = combination.script(
        f'echo "{daemon}" > daemon; (setsid sh daemon &) > up\ncat up &\n'
        "until grep -q up up; do sleep 0.02; done; exit 4"
    )
    assert combination.ending(task) == ("failed", 4)
    assert (combination.node.directory(task) / "files" / "up").read_text() == "up\nfarewell\n"


def test_a_daemon_that_ignores_everything_is_killed(combination: Combination) -> None:
    task = combination.script(
        "(trap '' TERM HUP; exec setsid sleep 1000) & sleep 0.2; exit 0", gracePeriod=0.3
    )
    assert combination.ending(task) == ("succeeded", 0)
