"""A stop, or a time-out, runs the clean-up and ends everything, whatever stands around."""

import pytest

from tests.contract.conftest import Combination

LOOP = "while :; do sleep 0.05; done"


def test_a_trap_cleans_up(combination: Combination) -> None:
    task = combination.script(f"trap 'echo bye; exit 3' TERM; echo ready; {LOOP}")
    combination.has_said(task, b"ready")
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)
    assert combination.node.result(task)["returnCode"] == 3
    assert combination.log(task).endswith(b"bye\n")


def test_a_program_without_a_trap_ends_by_the_signal(combination: Combination) -> None:
    task = combination.script("echo ready; exec sleep 1000")
    combination.has_said(task, b"ready")
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)
    result = combination.node.result(task)
    assert (result["signal"], result["returnCode"]) == ("SIGTERM", 143)


@pytest.mark.parametrize("attempt", range(5))
def test_a_stop_right_after_the_start(combination: Combination, attempt: int) -> None:
    task = combination.program("sleep", "1000", gracePeriod=60)
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)


def test_what_ignores_the_signal_is_killed_after_the_grace_period(
    combination: Combination,
) -> None:
    task = combination.script(f"trap '' TERM; echo ready; {LOOP}", gracePeriod=0.3)
    combination.has_said(task, b"ready")
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)
    assert combination.node.result(task)["returnCode"] == 137


def test_a_child_that_cleans_up_is_not_cut_off_or_disturbed(combination: Combination) -> None:
    child = "trap 'sleep 0.5; echo clean; exit' TERM; echo ready; while :; do sleep 0.05; done"
    task = combination.script(f'sh -c "{child}" & wait')
    combination.has_said(task, b"ready")
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)
    assert combination.log(task).count(b"clean\n") == 1


def test_double_forks_go_as_well(combination: Combination) -> None:
    fork = "(setsid sh -c '(setsid sleep 1000 &) ; sleep 1000' &)"
    task = combination.script(f"{fork}; {fork}; echo ready; {LOOP}", gracePeriod=1)
    combination.has_said(task, b"ready")
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)


def test_a_stopped_process_hears_it_too(combination: Combination) -> None:
    task = combination.script("trap 'echo bye; exit' TERM; echo ready; kill -STOP $$; sleep 1000")
    combination.has_said(task, b"ready")
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)
    assert combination.log(task).endswith(b"bye\n")


def test_a_python_machine_cleans_up(combination: Combination) -> None:
    task = combination.echo("ECHO ready", "SLEEP 1000", "CLEANUP", "ECHO clean-up")
    combination.has_said(task, b"ready")
    combination.stop(task)
    assert combination.ending(task) == ("canceled", -1)
    assert combination.log(task) == b"ready\nclean-up\n"


def test_a_time_out(combination: Combination) -> None:
    task = combination.script(f"trap 'echo bye; exit' TERM; {LOOP}", timeout=5)
    assert combination.ending(task) == ("timeout", -2)
    assert combination.log(task).endswith(b"bye\n")


def test_a_time_out_of_a_python_machine(combination: Combination) -> None:
    task = combination.echo("SLEEP 1000", "CLEANUP", "ECHO clean-up", timeout=2)
    assert combination.ending(task) == ("timeout", -2)
    assert combination.log(task) == b"clean-up\n"
