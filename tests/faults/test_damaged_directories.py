"""One damaged directory among good ones: it is set aside with a reason, and the rest is served."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.node import Node
from tests.task_processes import kill_all_of

GOOD = 5
Damage = Callable[[Path], None]


def content(data: bytes) -> Damage:
    def damage(path: Path) -> None:
        path.write_bytes(data)

    return damage


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def removed(path: Path) -> None:
    path.unlink()


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "precious").touch()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to(target: str) -> Damage:
    def damage(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return damage


def huge(path: Path) -> None:
    os.truncate(path, 1 << 40)  # of holes


def unreadable(path: Path) -> None:
    path.chmod(0)


def with_member(name: str, value: object) -> Damage:
    def damage(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))

    return damage


def without_member(name: str) -> Damage:
    def damage(path: Path) -> None:
        members = json.loads(path.read_text())
        del members[name]
        path.write_text(json.dumps(members))

    return damage


ANY_FILE: dict[str, tuple[Damage, str]] = {
    "empty": (content(b""), "Expecting value"),
    "truncated": (truncated, "is damaged"),
    "zeroed": (zeroed, "is damaged"),
    "no-json": (content(b"\xff\xfe nonsense"), "is damaged"),
    "deep": (content(b"[" * 100_000), "is damaged"),
    "list": (content(b"[1, 2]"), "does not hold an object"),
    "number": (content(b"1e400"), "does not hold an object"),
    "directory": (directory, "it is no file"),
    "fifo": (fifo, "it is no file"),
    "link-to-itself": (link_to("task.json"), "symbolic links"),
    "link-to-zeros": (link_to("/dev/zero"), "symbolic links"),
    "link-to-nothing": (link_to("nothing"), "symbolic links"),
    "huge": (huge, "it is larger than"),
    "unreadable": (unreadable, "Permission denied"),
}
TASK_JSON: dict[str, tuple[Damage, str]] = {
    **ANY_FILE,
    "removed": (removed, "task.json is missing"),
    "no-machine": (without_member("machine"), "machine: the field is missing"),
    "no-time": (without_member("createdAt"), "createdAt"),
    "machine-of-another-type": (with_member("machine", 7), "machine: a string is expected"),
    "labels-of-another-type": (with_member("labels", ["a"]), "labels: it must be an object"),
    "priority-of-another-type": (with_member("priority", {"a": 1}), "priority"),
    "time-of-another-type": (with_member("createdAt", 1), "createdAt"),
    "of-the-future": (with_member("quantum", True), "quantum: there is no such field"),
    "of-another-task": (with_member("taskId", "good-0"), "is of another task, 'good-0'"),
}
STATUS_FILE: dict[str, tuple[Damage, str]] = {
    **ANY_FILE,
    "outcome-of-another-type": (with_member("outcome", {}), "'outcome' is of another type"),
    "code-of-another-type": (with_member("exit_code", "0"), "'exit_code' is of another type"),
    "code-is-true": (with_member("exit_code", True), "'exit_code' is of another type"),
    "time-of-another-type": (with_member("finished_at", 5), "'finished_at' is of another type"),
}
del STATUS_FILE["unreadable"]  # the lock says nothing then, and so nothing is said


class Scene(NamedTuple):
    """A node on a work directory of which much was damaged while it was down."""

    node: Node
    set_aside: dict[str, str]
    states: dict[str, str]

    def reason(self, name: str) -> str:
        return self.set_aside.get(name, "")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    scratch = tmp_path_factory.mktemp("damaged")
    node = Node(scratch / "work")
    # As any other user than root, the node may not read everything.
    node.argv = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *node.argv]
    try:
        node.start()
        run_all(node)
        node.kill()
        damage_all(node)
        node.start()
        aside = node.http.get("/readyz?verbose").json()["setAside"]
        yield Scene(node, {one["path"]: one["reason"] for one in aside}, node.states())
    finally:
        node.close()
        node.directory("no-access").chmod(0o700)
        for path in node.work_dir.glob("task-*-huge/*"):
            path.unlink() if path.is_file() else None
        kill_all_of(scratch)


def run_all(node: Node) -> None:
    names = [f"good-{i}" for i in range(GOOD)]
    names += [f"task-json-{name}" for name in TASK_JSON]
    names += [f"status-{name}" for name in STATUS_FILE]
    names += ["no-access", "dot.dir"]
    for name in names:
        node.submit(parameters=["ECHO hello", "RETURN 3"], taskId=name)
    for name in names:
        node.result(name)


def damage_all(node: Node) -> None:
    work_dir = node.work_dir
    for name, (damage, _) in TASK_JSON.items():
        damage(node.directory(f"task-json-{name}") / "task.json")
    for name, (damage, _) in STATUS_FILE.items():
        damage(node.directory(f"status-{name}") / f"status-{name}.result")
    node.directory("no-access").chmod(0)
    shutil.copytree(node.directory("good-0"), work_dir / "task-copy")
    (work_dir / "task-file").write_text("precious")
    (work_dir / "task-link").symlink_to(node.directory("good-0"))
    (work_dir / "task-").mkdir()
    (work_dir / "task-with blank").mkdir()
    (work_dir / "lost+found").mkdir()
    (work_dir / "notes.txt").write_text("precious")
    (work_dir / ".staging" / "backup").mkdir()
    (work_dir / ".staging" / "backup" / "precious").touch()
    (work_dir / ".staging" / "file").touch()
    for path in work_dir.glob("index.sqlite*"):
        path.unlink()


def test_the_good_ones_are_served(scene: Scene) -> None:
    for i in range(GOOD):
        view = scene.node.view(f"good-{i}")
        assert (view["state"], view["outcome"], view["exitCode"]) == ("exited", "failed", 3)
        assert scene.node.log_of(f"good-{i}") == b"hello\n"


def test_new_ones_run(scene: Scene) -> None:
    assert scene.node.result(scene.node.submit(parameters=["RETURN 4"]))["exitCode"] == 4


@pytest.mark.parametrize("name", TASK_JSON)
def test_a_damaged_record_sets_the_task_aside(scene: Scene, name: str) -> None:
    task_id = f"task-json-{name}"
    assert TASK_JSON[name][1] in scene.reason(f"task-{task_id}")
    assert task_id not in scene.states
    assert (scene.node.directory(task_id) / "output.log").read_bytes() == b"hello\n"


@pytest.mark.parametrize("name", STATUS_FILE)
def test_a_damaged_status_is_no_result(scene: Scene, name: str) -> None:
    """Nobody lives who could write it again: what came of the task is not known any more."""
    view = scene.node.result(f"status-{name}")
    assert (view["state"], view["outcome"], view["exitCode"]) == ("lost", "unknown", None)
    assert STATUS_FILE[name][1] in view["error"]
    assert scene.node.log_of(f"status-{name}") == b"hello\n"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("task-no-access", "Permission denied"),
        ("task-copy", "is of another task, 'good-0'"),
        ("task-file", "it is no directory"),
        ("task-link", "it is no directory"),
        ("task-", "its name has no identifier"),
        ("task-with blank", "its name has no identifier"),
        ("lost+found", "it is nothing of the Task Runner"),
        ("notes.txt", "it is nothing of the Task Runner"),
        (".staging/backup", "it is nothing of the Task Runner"),
        (".staging/file", "it is nothing of the Task Runner"),
    ],
)
def test_what_is_not_ours_is_named_and_left_alone(scene: Scene, name: str, reason: str) -> None:
    assert reason in scene.reason(name)
    assert os.path.lexists(scene.node.work_dir / name)


def test_nothing_that_is_not_understood_is_deleted(scene: Scene) -> None:
    work_dir = scene.node.work_dir
    assert (
        (work_dir / "task-file").read_text() == (work_dir / "notes.txt").read_text() == "precious"
    )
    assert (work_dir / ".staging" / "backup" / "precious").exists()
    assert (scene.node.directory("task-json-directory") / "task.json" / "precious").exists()


def test_the_log_and_a_metric_tell_it_too(scene: Scene) -> None:
    log = scene.node.log.read_text()
    for name, reason in scene.set_aside.items():
        assert log.count(f"{name} is set aside: {reason}") == 1
    expected = f"task_runner_set_aside {float(len(scene.set_aside))}"
    assert expected in scene.node.http.get("/metrics").text


def test_without_verbose_it_is_just_ready(scene: Scene) -> None:
    assert scene.node.http.get("/readyz").text == "ok\n"


def test_what_is_taken_away_is_named_no_more(scene: Scene) -> None:
    (scene.node.work_dir / "lost+found").rmdir()
    listed = scene.node.http.get("/readyz?verbose").json()["setAside"]
    assert "lost+found" not in [one["path"] for one in listed]
