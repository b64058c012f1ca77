"""What a task finds is the same, whatever stands around it."""

import json

from tests.contract.conftest import Combination

PROBE = """
for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo fd $fd; done
umask; pwd; echo "$GREETING"; echo $TASK_RUNNER_TASK_ID; echo $TASK_RUNNER_STATUS_FD; cat
"""


def test_descriptors_umask_directory_environment_and_input(combination: Combination) -> None:
    parameters = {"argv": ["sh", "-c", PROBE], "env": {"GREETING": "grüß dich"}, "stdin": "in\n"}
    task = combination.submit("command", parameters)
    assert combination.ending(task) == ("succeeded", 0)
    files = combination.node.directory(task) / "files"
    expected = f"fd 0\nfd 1\nfd 2\nfd 3\n0077\n{files}\ngrüß dich\n{task}\n3\nin\n"
    assert combination.log(task).decode() == expected


def test_a_program_leads_a_session_and_a_group_of_its_own(combination: Combination) -> None:
    task = combination.script("trap 'echo heard' USR1; sleep 0; kill -USR1 -- -$$; echo on")
    assert combination.ending(task) == ("succeeded", 0)
    assert combination.log(task) == b"heard\non\n"


def test_a_status_is_reported(combination: Combination) -> None:
    status = json.dumps({"progress": 0.5, "wörter": "ä"})
    task = combination.script(f"echo '{status}' >&3")
    assert combination.ending(task) == ("succeeded", 0)
    assert combination.node.result(task)["status"] == json.loads(status)


def test_files_stay_and_names_are_unicode(combination: Combination) -> None:
    task = combination.script("echo größe > 'ein näme.txt'; echo ☃")
    assert combination.ending(task) == ("succeeded", 0)
    assert combination.log(task).decode() == "☃\n"
    artifact = combination.node.directory(task) / "files" / "ein näme.txt"
    assert artifact.read_text() == "größe\n"


def test_output_can_be_opened_again(combination: Combination) -> None:
    task = combination.script("echo a; echo b > /dev/stderr; echo c > /proc/self/fd/1")
    assert combination.ending(task) == ("succeeded", 0)
    assert combination.log(task) == b"a\nb\nc\n"


def test_standard_error_may_have_a_log_of_its_own(combination: Combination) -> None:
    task = combination.script("echo out; echo err >&2", stderr="separate")
    assert combination.ending(task) == ("succeeded", 0)
    assert combination.log(task) == b"out\n"
    assert combination.node.log_of(task, stream="stderr") == b"err\n"


def test_a_big_output_is_whole(combination: Combination) -> None:
    task = combination.script("seq 1000000; printf '\\377\\000no final newline'")
    assert combination.ending(task) == ("succeeded", 0)
    expected = b"".join(b"%d\n" % n for n in range(1, 1_000_001)) + b"\xff\0no final newline"
    assert combination.log(task) == expected


def test_a_script_with_an_interpreter_of_its_own(combination: Combination) -> None:
    task = combination.script("#!/bin/sh -eu\necho sh; false; echo not reached")
    assert combination.ending(task) == ("failed", 1)
    assert combination.log(task) == b"sh\n"
