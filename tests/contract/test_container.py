"""What is special about containers: what others do to them, and what is left of them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from task_runner.environments.multiprocess import Entry, MultiprocessEnvironment
from task_runner.isolation.container import name_of
from task_runner.lib.errors import UnreachableError, ValidationError
from task_runner.lib.policy import Policy
from task_runner.lib.task import Task, task_from_dict
from task_runner.lib.task_dir import TaskDir
from tests.podman import PLAIN, PYTHON, PodmanHere
from tests.task_processes import is_running, kill_all_of
from tests.tasks import begin, ending, finish, output_of, record_of, run, stop
from tests.waiting import wait_until

Environment = MultiprocessEnvironment
MIB = 1 << 20
HUNGRY = "exec tail /dev/zero"
UNTIL_GO = "until [ -e go ]; do sleep 0.02; done"


@pytest.fixture
def environment(tmp_path: Path, podman: PodmanHere) -> Iterator[Environment]:
    """Give an environment whose containers are those of the tests' own podman."""
    with environment_with(tmp_path, podman.command) as environment:
        yield environment
    assert podman.containers() == []
    assert podman.unnoticed() == []


@contextmanager
def environment_with(tmp_path: Path, command: tuple[str, ...]) -> Iterator[Environment]:
    shared = (str(tmp_path / "shared"),)
    policy = Policy(read_only=shared, writable=shared, container_command=command)
    environment = MultiprocessEnvironment(tmp_path / "work", policy=policy)
    yield environment
    kill_all_of(tmp_path)
    for entry in environment.get_all_tasks():
        environment.start_task(entry.task_id)
        environment.wait_completion(entry.task_id, timeout=60)
        environment.unregister_task(entry.task_id)
    environment.close()


def task_of(environment: Environment, fields: dict[str, Any], **options: Any) -> Task:
    words = {"isolation": "container", "isolationOptions": {"image": PLAIN, **options}, **fields}
    return task_from_dict(words, environment.work_dir.policy)


def sh(
    environment: Environment, text: str, limits: dict[str, Any] | None = None, **options: Any
) -> Task:
    fields = {"machine": "command", "parameters": {"argv": ["sh", "-c", text]}}
    return task_of(environment, {**fields, "limits": limits or {}}, **options)


def echo(environment: Environment, *lines: str, **options: Any) -> Task:
    return task_of(environment, {"machine": "echo", "parameters": [*lines]}, **options)


def container_of(entry: Entry) -> str:
    return name_of(TaskDir(entry.work_dir, entry.task_id))


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))


def kill_task_runner(entry: Entry) -> None:
    """Kill it once it knows the container: until then the machine is the client, which ends."""
    wait_until(lambda: machine_of_container(entry))
    kill(record_of(entry)["process_id"])


def arguments(pid: str | bytes) -> list[bytes]:
    with suppress(OSError):
        return [Path(f"/proc/{os.fsdecode(pid)}/cmdline").read_bytes()]
    return []


def go(entry: Entry) -> None:
    Path(entry.work_dir, "files", "go").touch()


def test_its_name_and_label_tell_whose_it_is(environment: Environment, podman: PodmanHere) -> None:
    entry = begin(environment, sh(environment, f"echo up; {UNTIL_GO}"), b"up")
    assert podman.containers() == [container_of(entry)]
    label = podman("inspect", container_of(entry), "--format", "{{json .Config.Labels}}")
    assert entry.work_dir in label
    go(entry)
    assert ending(finish(environment, entry)) == ("succeeded", 0)
    wait_until(lambda: podman.containers() == [])


def test_a_missing_image_is_podmans_failure(environment: Environment) -> None:
    entry = run(environment, sh(environment, "true", image="localhost/no-such-image"))
    assert ending(entry) == ("error", None)
    error = record_of(entry)["error"]
    assert "podman did not start the container (exit code 125)" in error
    assert "localhost/no-such-image" in error


def test_a_name_that_is_taken_is_left_to_its_owner(
    environment: Environment, podman: PodmanHere
) -> None:
    entry = environment.register_task(sh(environment, "echo mine"))
    name = container_of(entry)
    podman("create", "--name", name, "--network", "none", PLAIN, "true")
    environment.start_task(entry.task_id)
    entry = finish(environment, entry)
    assert ending(entry) == ("error", None)
    assert "already in use" in record_of(entry)["error"]
    environment.unregister_task(entry.task_id)
    assert podman.containers() == [name]
    podman("rm", name)


def client(directory: Path, podman: PodmanHere, in_place_of_run: str) -> tuple[str, ...]:
    """Return a command that is podman, but does something else when it is to start a task."""
    path = directory / "podman"
    path.write_text(
        "#!/bin/bash\n"
        f'podman() {{ {" ".join(podman.command)} "$@"; }}\n'
        'if [[ "$3" != run || " $* " == *" --rootfs "* ]]; then podman "$@"; exit; fi\n'
        f"shift 3\n{in_place_of_run}\n"
    )
    path.chmod(0o700)
    return (str(path),)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        # It had made the container, but not started it. (`create` does not know all options.)
        ('podman create "${@:7}" >&2; kill -KILL $$', ("error", None)),
        # It had started it, and could tell nobody.
        ('podman run "$@"; kill -KILL $$', ("failed", 7)),
        # It had done nothing.
        ("kill -KILL $$", ("error", None)),
    ],
)
def test_a_client_that_is_killed(
    tmp_path: Path, podman: PodmanHere, script: str, expected: tuple[str, int | None]
) -> None:
    with environment_with(tmp_path, client(tmp_path, podman, script)) as environment:
        entry = run(environment, sh(environment, "sleep 0.5; exit 7"))
        assert ending(entry) == expected
        assert podman.containers() == []
        assert podman.unnoticed() == []


@pytest.mark.parametrize("words", ["conmon", "create", "start", "init"])
def test_a_client_killed_on_the_way_leaves_nothing_unknown(
    environment: Environment, words: str
) -> None:
    """Killed when a descendant of it with such a word in its arguments is seen."""
    entry = environment.register_task(sh(environment, f"{UNTIL_GO}; exit 7"))
    environment.start_task(entry.task_id)
    kill_when_it_has(record_of(entry)["machine"]["pid"], words.encode())
    go(entry)
    assert ending(finish(environment, entry)) in {("error", None), ("failed", 7)}


def kill_when_it_has(client: int, word: bytes) -> None:
    def has_or_is_gone() -> bool:
        return not is_running(client) or any(word in line for line in arguments_of_children(client))

    wait_until(has_or_is_gone)
    with suppress(ProcessLookupError):
        os.kill(client, signal.SIGKILL)


def arguments_of_children(pid: int) -> list[bytes]:
    with suppress(OSError):
        found = Path(f"/proc/{pid}/task").glob("*/children")
        return [
            b for path in found for child in path.read_bytes().split() for b in arguments(child)
        ]
    return []


def test_conmon_killed(environment: Environment, podman: PodmanHere) -> None:
    entry = begin(environment, sh(environment, f"echo up; {UNTIL_GO}; echo down; exit 7"), b"up")
    monitor = podman.state(container_of(entry))["ConmonPid"]
    assert isinstance(monitor, int)
    os.kill(monitor, signal.SIGKILL)
    go(entry)
    assert ending(finish(environment, entry)) == ("failed", 7)
    assert output_of(entry) == b"up\ndown\n"


def test_all_of_it_killed_from_outside(environment: Environment, podman: PodmanHere) -> None:
    entry = begin(environment, sh(environment, f"echo up; {UNTIL_GO}"), b"up")
    podman("kill", container_of(entry))
    assert ending(finish(environment, entry)) == ("crashed", 137)


def test_without_podman_the_exit_code_is_known_and_the_task_stays_until_it_is_back(
    tmp_path: Path, podman: PodmanHere
) -> None:
    path, gone = tmp_path / "podman", tmp_path / "gone"
    command = " ".join(podman.command)
    path.write_text(f'#!/bin/sh\n[ ! -e {gone} ] || exit 125\nexec {command} "$@"\n')
    path.chmod(0o700)
    with environment_with(tmp_path, (str(path),)) as environment:
        entry = begin(environment, sh(environment, f"echo up; {UNTIL_GO}; exit 7"), b"up")
        wait_until(lambda: machine_of_container(entry))
        gone.touch()
        go(entry)
        assert ending(finish(environment, entry)) == ("failed", 7)
        with pytest.raises(UnreachableError):
            environment.unregister_task(entry.task_id)
        assert environment.get_task_data(entry.task_id).exit_code == 7
        gone.unlink()
        environment.unregister_task(entry.task_id)
        assert podman.containers() == []


def test_removed_by_somebody_else(environment: Environment, podman: PodmanHere) -> None:
    entry = begin(environment, sh(environment, f"echo up; {UNTIL_GO}"), b"up")
    podman("rm", "--force", "--time", "0", container_of(entry))
    assert ending(finish(environment, entry)) == ("unknown", None)


@pytest.mark.parametrize("meanwhile", [True, False])
def test_the_exit_code_survives_task_runner(environment: Environment, meanwhile: bool) -> None:
    entry = begin(environment, sh(environment, f"echo up; {UNTIL_GO}; echo down; exit 7"), b"up")
    guarded = wait_until(lambda: machine_of_container(entry))
    kill_task_runner(entry)
    if meanwhile:
        go(entry)
        wait_until(lambda: not is_running(guarded))
    environment.start_task(entry.task_id)
    go(entry)
    assert ending(finish(environment, entry)) == ("failed", 7)
    if not meanwhile:  # else nobody had the FIFO open; a node has, while a TaskRunner is replaced
        assert output_of(entry) == b"up\ndown\n"


def machine_of_container(entry: Entry) -> int:
    """Return the pid of the first process in the container, once the status file has it."""
    pid = int(record_of(entry)["machine"]["pid"])
    is_inside = any(words.startswith(b"/run/task-runner/") for words in arguments(str(pid)))
    return pid if is_inside else 0


def test_an_exception_survives_task_runner(environment: Environment) -> None:
    task = echo(environment, "ECHO up", "SLEEP 1", "RAISE no luck", image=PYTHON)
    entry = begin(environment, task, b"up")
    kill_task_runner(entry)
    environment.start_task(entry.task_id)
    assert ending(finish(environment, entry)) == ("exception", -3)
    assert record_of(entry)["error"] == "RuntimeError: no luck"


def test_an_adopted_container_is_stopped(environment: Environment) -> None:
    text = "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.05; done"
    entry = begin(environment, sh(environment, text), b"up")
    kill_task_runner(entry)
    entry = stop(environment, entry)
    assert ending(entry) == ("canceled", -1)
    assert output_of(entry).endswith(b"bye\n")
    assert record_of(entry)["return_code"] == 3


def test_a_stop_while_an_image_is_fetched(tmp_path: Path, podman: PodmanHere) -> None:
    with environment_with(tmp_path, client(tmp_path, podman, "exec sleep 1000")) as environment:
        entry = begin(environment, sh(environment, "echo never"))
        assert ending(stop(environment, entry)) == ("canceled", -1)
        assert output_of(entry) == b""


def test_out_of_memory_is_named(environment: Environment) -> None:
    task = sh(environment, HUNGRY, limits={"memory": 48 * MIB})
    entry = run(environment, task)
    assert ending(entry) == ("crashed", 137)
    assert record_of(entry)["signal"] == "SIGKILL"
    assert "out of memory" in record_of(entry)["error"]


def test_out_of_memory_is_named_when_all_was_over_before_anybody_looked(
    tmp_path: Path, podman: PodmanHere
) -> None:
    script = 'podman run "$@"; podman wait --latest >/dev/null'
    with environment_with(tmp_path, client(tmp_path, podman, script)) as environment:
        entry = run(environment, sh(environment, HUNGRY, limits={"memory": 48 * MIB}))
        assert ending(entry) == ("crashed", 137)
        assert "the kernel killed 1" in record_of(entry)["error"]


def test_out_of_memory_is_named_whoever_was_killed(environment: Environment) -> None:
    """A child of the program; then what the program has left running."""
    limits = {"memory": 48 * MIB}
    entry = run(environment, sh(environment, "tail /dev/zero || exit 7", limits=limits))
    assert ending(entry) == ("failed", 7)
    assert "out of memory" in record_of(entry)["error"]
    text = f"(trap 'touch term; {HUNGRY}' TERM; touch up; while :; do sleep 0.02; done) & "
    entry = run(environment, sh(environment, f"{text} until [ -e up ]; do :; done", limits=limits))
    assert ending(entry) == ("succeeded", 0)
    assert "out of memory" in record_of(entry)["error"]


def test_a_sigkill_of_another_kind_is_not_called_out_of_memory(environment: Environment) -> None:
    entry = run(environment, sh(environment, "kill -KILL $$", limits={"memory": 48 * MIB}))
    assert ending(entry) == ("crashed", 137)
    assert record_of(entry).get("error") is None


def test_processes_and_processors_are_limited(environment: Environment) -> None:
    text = "for n in $(seq 30); do sleep 5 & done; wait"
    entry = run(environment, sh(environment, text, limits={"pids": 20, "cpu": 0.5}))
    assert ending(entry)[0] == "failed"
    assert b"can't fork" in output_of(entry)


def test_fewer_processes_than_a_container_takes_to_start_are_refused(
    environment: Environment,
) -> None:
    with pytest.raises(ValidationError) as caught:
        sh(environment, "true", limits={"pids": 15})
    assert caught.value.field == "limits.pids"


def test_the_image_is_read_only_and_nothing_is_privileged(environment: Environment) -> None:
    text = "touch /file; touch /tmp/file && echo tmp; grep -E 'NoNewPrivs|CapEff' /proc/self/status"
    entry = run(environment, sh(environment, text))
    said = output_of(entry).decode()
    assert "Read-only file system" in said
    assert "tmp\n" in said
    assert "CapEff:\t0000000000000000" in said
    assert "NoNewPrivs:\t1" in said


def test_there_is_no_network_but_the_loopback(environment: Environment) -> None:
    entry = run(environment, sh(environment, "ls /sys/class/net"))
    assert output_of(entry) == b"lo\n"


def test_mounts(environment: Environment, tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / "shared" / name).mkdir(parents=True)
    (tmp_path / "shared" / "in" / "file").write_text("words")
    mounts = [
        {"source": str(tmp_path / "shared" / "in"), "target": "/data"},
        {"source": str(tmp_path / "shared" / "out"), "writable": True},
    ]
    text = f"cp /data/file {tmp_path}/shared/out/copy; touch /data/new"
    entry = run(environment, sh(environment, text, mounts=mounts))
    assert ending(entry) == ("failed", 1)
    assert (tmp_path / "shared" / "out" / "copy").read_text() == "words"
    assert b"Read-only file system" in output_of(entry)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"image": None}, "image"),
        ({"image": "--privileged"}, "image"),
        ({"pull": "sometimes"}, "pull"),
        ({"network": "host"}, "network"),
        ({"privileged": True}, "privileged"),
        ({"mounts": {}}, "mounts"),
        ({"mounts": [{"source": "/etc"}]}, "mounts.source"),
        ({"mounts": [{"source": "/etc", "writable": 1}]}, "mounts.writable"),
        ({"mounts": [{"source": "SHARED", "target": "data"}]}, "mounts.target"),
        ({"mounts": [{"source": "SHARED", "target": "/a,b"}]}, "mounts.target"),
        ({"mounts": [{"source": "SHARED", "options": "rw"}]}, "mounts.options"),
    ],
)
def test_options_are_checked(
    environment: Environment, tmp_path: Path, options: dict[str, Any], field: str
) -> None:
    (tmp_path / "shared").mkdir()
    for mount in options.get("mounts", []):
        if isinstance(mount, dict) and mount["source"] == "SHARED":
            mount["source"] = str(tmp_path / "shared")
    with pytest.raises(ValidationError) as caught:
        sh(environment, "true", **options)
    assert caught.value.field == f"isolationOptions.{field}"


def test_no_secret_is_in_the_arguments_or_the_configuration_of_the_container(
    environment: Environment, podman: PodmanHere
) -> None:
    fields = {
        "machine": "command",
        "parameters": {"argv": ["sh", "-c", f'echo "$TOKEN"; {UNTIL_GO}'], "env": {"P": "geheim2"}},
        "env": {"TOKEN": "geheim\nand a second line"},
    }
    entry = begin(environment, task_of(environment, fields), b"a second line")
    assert not any(b"geheim" in words for pid in os.listdir("/proc") for words in arguments(pid))
    assert "geheim" not in podman("inspect", container_of(entry))
    assert output_of(entry) == b"geheim\nand a second line\n"
    go(entry)
    finish(environment, entry)


def test_a_python_machine_says_what_it_needs(environment: Environment) -> None:
    entry = run(environment, echo(environment, "ECHO hello"))
    assert ending(entry) == ("error", None)
    assert "Python 3.11 or later" in record_of(entry)["error"]


def test_a_python_machine_says_that_the_package_is_missing(
    environment: Environment, tmp_path: Path
) -> None:
    empty = tmp_path / "shared" / "empty"
    empty.mkdir(parents=True)
    package = Path(os.__file__).parent / "site-packages" / "task_runner"
    mounts = [{"source": str(empty), "target": str(package)}]
    entry = run(environment, echo(environment, "ECHO hello", image=PYTHON, mounts=mounts))
    assert ending(entry) == ("error", None)
    assert "No module named 'task_runner" in record_of(entry)["error"]


def test_where_there_is_no_tool_it_is_refused_with_what_helps(tmp_path: Path) -> None:
    with environment_with(tmp_path, ("no-such-podman",)) as environment:
        with pytest.raises(ValidationError) as caught:
            sh(environment, "true")
        assert caught.value.field == "isolation"
        assert "no-such-podman" in str(caught.value)


def test_a_runtime_that_does_not_work_is_refused(tmp_path: Path, podman: PodmanHere) -> None:
    with environment_with(tmp_path, (*podman.command, "--runtime", "no-such")) as environment:
        with pytest.raises(ValidationError) as caught:
            sh(environment, "true")
        assert "no-such" in str(caught.value)


def test_the_words_of_docker(tmp_path: Path, podman: PodmanHere) -> None:
    """There is no dockerd here: podman understands the command line that is meant for docker."""
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\nexec {" ".join(podman.command)} "$@"\n')
    docker.chmod(0o700)
    with environment_with(tmp_path, (str(docker),)) as environment:
        text = "echo '{\"progress\": 1}' >&3; echo out; echo err >&2; cat; kill -SEGV $$"
        parameters = {"argv": ["sh", "-c", text], "stdin": "in\n"}
        task = task_of(environment, {"machine": "command", "parameters": parameters})
        entry = run(environment, task)
        assert ending(entry) == ("crashed", 139)
        assert output_of(entry) == b"out\nerr\nin\n"
        assert record_of(entry)["status"] == {"progress": 1}
        entry = begin(environment, sh(environment, f"echo up; {UNTIL_GO}; exit 7"), b"up")
        kill_task_runner(entry)
        environment.start_task(entry.task_id)
        go(entry)
        assert ending(finish(environment, entry)) == ("failed", 7)
        entry = begin(environment, sh(environment, f"echo up; {UNTIL_GO}"), b"up")
        assert ending(stop(environment, entry)) == ("canceled", -1)
        assert podman.containers() == []
