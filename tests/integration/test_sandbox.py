"""What a sandbox lets nobody do, and what happens when parts of it are killed."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from task_runner.environments.multiprocess import Entry, MultiprocessEnvironment
from task_runner.lib.errors import ValidationError
from task_runner.lib.inside import PACKAGE_PARENT
from task_runner.lib.policy import Policy
from task_runner.lib.state import State
from task_runner.lib.task import Task, task_from_dict
from tests.node import running_node
from tests.task_processes import is_running, kill_all_of, processes_of
from tests.tasks import begin, echo, ending, finish, output_of, record_of, run, script, stop
from tests.waiting import wait_until

Environment = MultiprocessEnvironment
SECRET = "s3cr3t-of-the-task"


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Give a directory outside of /tmp, which is hidden in any case."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as path:
        yield Path(path)
        kill_all_of(Path(path))


@pytest.fixture
def environment(elsewhere: Path) -> Iterator[Environment]:
    environment = Environment(elsewhere / "work")
    yield environment
    environment.close()


def boxed(text: str, policy: Policy = Policy(), **fields: Any) -> Task:  # noqa: B008
    parameters = {"script": text}
    task = {"machine": "command", "parameters": parameters, "isolation": "sandbox", **fields}
    return task_from_dict(task, policy)


def said(environment: Environment, text: str, **fields: Any) -> str:
    """Return what a script prints in a sandbox."""
    entry = run(environment, boxed(text, **fields))
    assert ending(entry) == ("succeeded", 0), output_of(entry)
    return output_of(entry).decode()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def leader_of(entry: Entry) -> int:
    return int(record_of(entry)["machine"]["pid"])


def init_of(entry: Entry) -> int:
    leader = leader_of(entry)
    children = Path(f"/proc/{leader}/task/{leader}/children")
    return int(wait_until(lambda: children.read_text().split())[0])


def nothing_is_left(entry: Entry) -> None:
    wait_until(lambda: not processes_of(Path(entry.work_dir)))


def test_control_files_and_other_tasks_are_out_of_reach(environment: Environment) -> None:
    other = begin(environment, script("echo of another; sleep 1000"), b"of another")
    text = f"""
    cd /
    for root in "" /proc/1/root /proc/self/root /proc/1/cwd/../../..; do
        cat $root{other.work_dir}/output.log $root$TASK_RUNNER_DIR/task.json
        cat $root$TASK_RUNNER_DIR/output.log
        echo x > $root$TASK_RUNNER_DIR/output.log
        rm -f $root$TASK_RUNNER_DIR/*.result $root{other.work_dir}/lock
    done
    ln $TASK_RUNNER_DIR/output.log $TASK_RUNNER_DIR/files/link
    ls -A {environment.work_dir.path} $TASK_RUNNER_DIR
    exit 0
    """
    entry = run(environment, boxed(text))
    assert ending(entry) == ("succeeded", 0)
    output = output_of(entry).decode()
    assert "of another" not in output
    assert f"{environment.work_dir.path}:\ntask-{entry.task_id}\n" in output
    assert f"{entry.work_dir}:\nfiles\nscript\n" in output
    assert Path(other.work_dir, "lock").exists()
    assert ending(stop(environment, other)) == ("canceled", -1)


def test_no_descriptor_leads_out(environment: Environment) -> None:
    text = "for fd in /proc/[0-9]*/fd/*; do [ -d $fd ] && readlink $fd; done; echo done"
    lines = said(environment, text).splitlines()
    assert [line for line in lines if not re.match(r"/proc/\d+/fd$", line)] == ["done"]


@pytest.mark.parametrize("place", ["tmp_path", "elsewhere"])
def test_the_directory_of_an_index_elsewhere_is_hidden(
    request: pytest.FixtureRequest, tmp_path: Path, place: str
) -> None:
    tmp_path = request.getfixturevalue(place)
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "index.sqlite").write_text("rows")
    policy = Policy(hidden=(f"{tmp_path}/index",))
    environment = Environment(tmp_path / "work", policy=policy)
    try:
        assert said(environment, f"ls -A {tmp_path}/index; echo end") == "end\n"
    finally:
        environment.close()


def test_a_work_directory_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    environment = Environment(tmp_path / "alias" / "work")
    try:
        text = f"pwd; echo made > here; ls {tmp_path}/*/work"
        entry = run(environment, boxed(text))
        assert ending(entry) == ("succeeded", 0)
        assert output_of(entry).decode().startswith(f"{entry.work_dir}/files\n")
        assert "lock" not in output_of(entry).decode()
        assert Path(entry.work_dir, "files", "here").read_text() == "made\n"
    finally:
        environment.close()


@pytest.mark.parametrize("path", ["/", "/etc", "/usr", "/sys/fs/cgroup", "/var/tmp"])
def test_the_root_is_read_only(environment: Environment, path: str) -> None:
    said(environment, f"mkdir {path}/task-runner-was-here 2>/dev/null && exit 1; exit 0")
    assert not Path(path, "task-runner-was-here").exists()


def test_nothing_of_the_kernel_can_be_changed(environment: Environment) -> None:
    """Asked for, and not tried: root owns these, and writes to them without privileges."""
    text = """
    find /proc/sys /proc/irq /proc/fs /proc/bus /proc/sysrq-trigger -type f -writable 2>/dev/null
    echo done
    """
    assert said(environment, text) == "done\n"


def test_tmp_and_run_are_private(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "outside").touch()
    text = f"echo x > /tmp/inside; ls {tmp_path}/outside; ls -A /run; exit 0"
    assert "No such file" in said(environment, text)
    assert not Path("/tmp/inside").exists()


def test_there_are_no_privileges_and_none_to_be_gained(environment: Environment) -> None:
    text = """
    grep -E '^(Cap|NoNewPrivs)' /proc/self/status
    unshare --user true 2>/dev/null && echo gained
    mount -t tmpfs none /mnt 2>/dev/null && echo mounted
    umount $TASK_RUNNER_DIR 2>/dev/null && echo unmounted
    exit 0
    """
    lines = said(environment, text).splitlines()
    caps = [line.split() for line in lines if line.startswith("Cap")]
    assert {set_ for _, set_ in caps} == {"0000000000000000"}
    assert lines[-1] == "NoNewPrivs:\t1"


def test_only_its_own_processes_are_seen(environment: Environment) -> None:
    text = "echo /proc/[0-9]*; kill -0 1000 2>/dev/null && echo seen; readlink /proc/self/ns/ipc"
    output = said(environment, text)
    assert output.splitlines()[0] == "/proc/1 /proc/2"
    assert os.readlink("/proc/self/ns/ipc") not in output


REACH = "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {port}), 5)'"


@pytest.mark.parametrize("network", [False, True])
def test_the_network_is_that_of_the_host_only_when_asked_for(
    environment: Environment, network: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = f"{REACH.format(port=server.getsockname()[1])} 2>/dev/null && echo reached; exit 0"
        output = said(environment, text, isolationOptions={"network": network})
    assert output == ("reached\n" if network else "")


def test_the_environment_of_the_task_reaches_the_program_alone(environment: Environment) -> None:
    """In that of bubblewrap, LD_PRELOAD would be code of the task's outside of the sandbox."""
    env = {"LD_PRELOAD": "/no/such.so", "LD_LIBRARY_PATH": "/tmp", "PYTHONPATH": SECRET}
    entry = begin(environment, boxed("echo $PYTHONPATH; sleep 1000", env=env), SECRET.encode())
    for pid in (leader_of(entry), init_of(entry)):
        for name in ("environ", "cmdline"):
            outside = Path(f"/proc/{pid}/{name}").read_bytes()
            assert SECRET.encode() not in outside
            assert b"LD_" not in outside
    stop(environment, entry)


@pytest.fixture
def places(tmp_path: Path) -> Policy:
    for name in ("data", "results", "elsewhere"):
        (tmp_path / "places" / name).mkdir(parents=True)
        (tmp_path / "places" / name / "file").write_text(f"{name}\n")
    places = f"{tmp_path}/places"
    return Policy((f"{places}/data",), (f"{places}/results",))


def test_more_can_be_had_where_it_is_allowed(tmp_path: Path, places: Policy) -> None:
    environment = Environment(tmp_path / "work", policy=places)
    (data,), (results,) = places.read_only, places.writable
    try:
        options = {"readOnly": [data], "writable": [results]}
        text = f"cat {data}/file; echo more >> {results}/file; echo x > {data}/file; exit 0"
        entry = run(environment, boxed(text, places, isolationOptions=options))
        assert output_of(entry).startswith(b"data\n")
        assert Path(data, "file").read_text() == "data\n"
        assert Path(results, "file").read_text() == "results\nmore\n"
    finally:
        environment.close()


def test_a_link_that_is_bent_after_the_check_leads_nowhere(tmp_path: Path, places: Policy) -> None:
    environment = Environment(tmp_path / "work", policy=places)
    deep = Path(places.writable[0], "deep")
    deep.mkdir()
    try:
        task = boxed(f"echo x > {deep}/file", places, isolationOptions={"writable": [str(deep)]})
        entry = environment.register_task(task)
        deep.rmdir()
        deep.symlink_to(tmp_path / "places" / "elsewhere")
        environment.start_task(entry.task_id)
        entry = finish(environment, entry)
        assert ending(entry) == ("error", None)
        assert "is not below what the settings" in record_of(entry)["error"]
        assert (tmp_path / "places" / "elsewhere" / "file").read_text() == "elsewhere\n"
    finally:
        environment.close()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"colour": 1}, "colour"),
        ({"network": 1}, "network"),
        ({"readOnly": "/srv"}, "readOnly"),
        ({"readOnly": ["/etc"]}, "readOnly"),
        ({"writable": ["/tmp"]}, "writable"),
        ({"writable": [1]}, "writable"),
    ],
)
def test_bad_options_are_named(options: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        boxed("true", isolationOptions=options)
    assert caught.value.field == f"isolationOptions.{field}"


def test_where_there_is_no_bubblewrap_a_task_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from task_runner.isolation import sandbox

    sandbox._probe.cache_clear()
    for program, words in (("no-such-bwrap", "Install the package bubblewrap"), ("false", "user")):
        monkeypatch.setattr(sandbox, "PROGRAM", program)
        with pytest.raises(ValidationError, match=words) as caught:
            boxed("true")
        assert caught.value.field == "isolation"


BROKEN = """
from task_runner.isolation.sandbox import Sandbox
class Broken(Sandbox):
    def wrap(self, work):
        command = super().wrap(work)
        return command._replace(argv=("bwrap", "--no-such-option", *command.argv[1:]))
"""


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install an isolation `broken`; before the fork server starts."""
    info = tmp_path / "site" / "broken-1.dist-info"
    info.mkdir(parents=True)
    (tmp_path / "site" / "broken_sandbox.py").write_text(BROKEN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    entry = "[task_runner.isolations]\nbroken = broken_sandbox:Broken\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])


def test_a_sandbox_can_be_the_default_of_a_node(tmp_path: Path) -> None:
    defaults = '{"isolation": "sandbox", "isolationOptions": {"network": true}}'
    with running_node(tmp_path / "work", TASK_RUNNER_TASK_DEFAULTS=defaults) as node:
        usual, other = node.sh("echo $$"), node.sh("echo $$", isolation="none")
        assert node.result(usual)["isolationOptions"] == {"network": True}
        assert (node.result(other)["isolation"], node.output(usual)) == ("none", "2\n")
        first = node.sh("true", taskId="mine")
        assert node.sh("true", taskId="mine") == first


@pytest.mark.usefixtures("broken")
def test_a_failure_of_bubblewrap_is_told_as_such(environment: Environment) -> None:
    entry = run(environment, boxed("echo never", isolation="broken"))
    assert ending(entry) == ("error", None)
    assert "bwrap: Unknown option --no-such-option" in record_of(entry)["error"]
    assert output_of(entry) == b""


TRAP = "trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"


def test_a_sandbox_is_adopted_and_stopped(environment: Environment) -> None:
    entry = begin(environment, boxed(TRAP), b"ready")
    kill(record_of(entry)["process_id"])
    assert environment.get_task_data(entry.task_id).state is State.RUNNING
    assert ending(stop(environment, entry)) == ("canceled", -1)
    assert output_of(entry).count(b"bye\n") == 1
    nothing_is_left(entry)


def test_an_adopted_python_machine_cleans_up(environment: Environment) -> None:
    task = echo("ECHO ready", "SLEEP 1000", "CLEANUP", "ECHO clean-up", isolation="sandbox")
    entry = begin(environment, task, b"ready")
    kill(record_of(entry)["process_id"])
    assert ending(stop(environment, entry)) == ("canceled", -1)
    assert output_of(entry) == b"ready\nclean-up\n"


def test_an_adopted_sandbox_that_ends_by_itself(environment: Environment) -> None:
    text = "echo ready; until [ -e go ]; do sleep 0.02; done; echo end"
    entry = begin(environment, boxed(text), b"ready")
    kill(record_of(entry)["process_id"])
    environment.start_task(entry.task_id)
    Path(entry.work_dir, "files", "go").touch()
    assert ending(finish(environment, entry)) == ("unknown", None)
    assert output_of(entry) == b"ready\nend\n"


def test_an_adopted_sandbox_that_ignores_the_stop_is_killed(environment: Environment) -> None:
    text = "trap '' TERM; (exec setsid sleep 1000) & echo ready; sleep 1000; sleep 1000"
    entry = begin(environment, boxed(text, gracePeriod=0.3), b"ready")
    kill(record_of(entry)["process_id"])
    assert ending(stop(environment, entry)) == ("canceled", -1)
    nothing_is_left(entry)


DAEMONS = "(setsid sh -c 'setsid sleep 1000 & sleep 1000' &) ; echo ready; sleep 1000"


def test_all_killed_with_the_leader_is_lost_and_nothing_is_left(environment: Environment) -> None:
    entry = begin(environment, boxed(DAEMONS), b"ready")
    leader = leader_of(entry)
    kill(record_of(entry)["process_id"])
    kill(leader)
    nothing_is_left(entry)
    assert environment.get_task_data(entry.task_id).state is State.LOST


def test_a_killed_leader_takes_all_with_it(environment: Environment) -> None:
    entry = begin(environment, boxed(DAEMONS), b"ready")
    kill(leader_of(entry))
    assert ending(finish(environment, entry)) == ("crashed", 137)
    nothing_is_left(entry)


def test_a_killed_init_takes_all_with_it_and_nobody_has_seen_the_end(
    environment: Environment,
) -> None:
    entry = begin(environment, boxed(DAEMONS), b"ready")
    kill(init_of(entry))
    assert ending(finish(environment, entry)) == ("unknown", None)
    nothing_is_left(entry)


@pytest.mark.parametrize("attempt", range(10))
def test_killed_in_the_first_moment(environment: Environment, attempt: int) -> None:
    entry = environment.register_task(boxed("sleep 1000"))
    environment.start_task(entry.task_id)
    record = record_of(entry)
    os.kill(record["process_id"], signal.SIGKILL)
    os.kill(record["machine"]["pid"], signal.SIGKILL)
    wait_until(lambda: not is_running(record["process_id"]))
    environment.start_task(entry.task_id)  # tidies up
    nothing_is_left(entry)


def test_the_program_cannot_end_the_sandbox_around_it(environment: Environment) -> None:
    text = "trap 'echo heard' HUP INT USR1 TERM; kill -USR1 0; kill -9 1; echo on"
    assert said(environment, text) == "heard\non\n"


def test_a_program_that_writes_into_the_report_harms_only_itself(environment: Environment) -> None:
    forged = '{"status":"x","returned":"y","exception":[],"entered":{}}'
    text = f"for fd in /proc/1/fd/*; do echo '{forged}' > $fd; done 2>/dev/null; exit 4"
    assert ending(run(environment, boxed(text))) in {("failed", 4), ("error", None)}


def test_a_virtual_environment_may_be_in_a_place_that_is_hidden(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    task = {"machine": "command", "isolation": "sandbox", "parameters": {"argv": ["echo", "hi"]}}
    here = tmp_path / "here"
    here.mkdir()
    (here / "task.json").write_text(json.dumps(task))
    python = str(tmp_path / "venv" / "bin" / "python")
    done = subprocess.run(
        [python, "-S", "-m", "task_runner.lib.runner", "task.json"],  # as the fork server starts
        cwd=here,
        env={**os.environ, "PYTHONPATH": PACKAGE_PARENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "hi\n"), done.stderr
