"""How the end of a container is called, by what was seen of it."""

import signal
from typing import Any

import pytest

from task_runner.isolation.container_ending import UNKNOWN, Evidence, ending_of, is_out_of_memory
from task_runner.isolation.container_tools import Sight

EXITED = Sight("exited", 0, 0, 0, out_of_memory=False, label="mine")
KILLED = EXITED._replace(exit_code=137)
CREATED = EXITED._replace(status="created")


def evidence(**seen: Any) -> Evidence:
    words = {"entered": True, **seen.pop("words", {})}
    usual = Evidence("podman", 0, EXITED, 0, words, "")
    return usual._replace(**seen)


@pytest.mark.parametrize("status", [0, 7 << 8, 137 << 8, signal.SIGKILL, signal.SIGSEGV | 0x80])
def test_the_init_is_believed_whatever_podman_says(status: int) -> None:
    for sight in (EXITED, KILLED, CREATED, None):
        assert ending_of(evidence(sight=sight, words={"status": status}))[0] == status


@pytest.mark.parametrize("status", [-1, 0x7F, 0xFFFF, 1 << 40])
def test_what_is_no_wait_status_is_not_believed(status: int) -> None:
    assert ending_of(evidence(words={"status": status})) == UNKNOWN


def test_when_the_init_was_killed_all_was() -> None:
    status, words = ending_of(evidence(sight=KILLED))
    assert status == signal.SIGKILL
    assert "not_started" not in words


def test_removed_while_it_ran_nobody_knows() -> None:
    assert ending_of(evidence(sight=None)) == UNKNOWN


def test_removed_before_it_began_nobody_knows() -> None:
    assert ending_of(evidence(sight=None, client_code=0)._replace(words={})) == UNKNOWN
    assert ending_of(evidence(sight=None, client_code=None)._replace(words={})) == UNKNOWN


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (125, "podman did not start the container (exit code 125): Error: no such image"),
        (-9, "podman was ended by SIGKILL before it had started the container: Error: no"),
        (None, "podman did not start the container: Error: no such image"),
    ],
)
def test_podmans_own_failures(code: int | None, told: str) -> None:
    output = "Error:  no\nsuch image\n"
    seen = evidence(client_code=code, sight=CREATED, output=output)._replace(words={})
    status, words = ending_of(seen)
    assert status is None
    assert words["not_started"].startswith(told)


def test_a_program_that_is_not_in_the_image() -> None:
    words = {"not_started": "tool: No such file or directory"}
    assert ending_of(evidence(words=words)) == (None, words)


def test_an_image_without_python() -> None:
    words = {"not_started": "python3: No such file or directory", "python": True}
    _, told = ending_of(evidence(words=words))
    assert "needs Python 3.11" in told["not_started"]


def test_an_image_without_the_package() -> None:
    output = "Traceback ...\nModuleNotFoundError: No module named 'task_runner'\n"
    seen = evidence(output=output, words={"python": True, "status": 1 << 8})
    status, told = ending_of(seen)
    assert status is None
    assert "No module named 'task_runner'" in told["not_started"]
    assert ending_of(evidence(output=output, words={"status": 1 << 8}))[0] == 1 << 8


def test_memory() -> None:
    assert not is_out_of_memory(evidence())
    assert is_out_of_memory(evidence(kills_for_memory=1))
    assert is_out_of_memory(evidence(sight=KILLED._replace(out_of_memory=True)))
    assert ending_of(evidence(kills_for_memory=1))[0] == signal.SIGKILL
