"""Whatever has become of the index: the node starts, and has every task."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.node import Node, running_node
from tests.waiting import wait_until


def text(path: Path) -> None:
    path.write_text("this is no database, and long enough to be taken for one" * 100)


def zeros(path: Path) -> None:
    path.write_bytes(bytes(8192))


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def broken_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 8192)


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "precious").touch()


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def of_somebody_else(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE tasks (todo TEXT)")
        connection.execute("INSERT INTO tasks VALUES ('water the plants')")
        connection.commit()


def with_tables_of_somebody_else(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ALTER TABLE tasks RENAME COLUMN owner TO landlord")


SET_ASIDE = [
    text, zeros, half, broken_page, directory, fifo, link_to_itself, of_somebody_else,
    with_tables_of_somebody_else,
]  # fmt: skip


def with_tasks(node: Node) -> list[str]:
    """Run tasks, and stop the node so that all is in the file of the index itself."""
    tasks = [node.submit(parameters=[f"RETURN {i}"]) for i in range(3)]
    for task in tasks:
        node.result(task)
    node.terminate()
    assert not list(node.work_dir.glob("index.sqlite-wal"))
    return tasks


@pytest.mark.parametrize("damage", SET_ASIDE)
def test_a_damaged_index_is_set_aside_and_made_anew(
    node: Node, damage: Callable[[Path], None]
) -> None:
    tasks = with_tasks(node)
    index = node.work_dir / "index.sqlite"
    damage(index)
    found = index.lstat()
    node.start()
    assert list(node.states()) == tasks
    assert [node.view(task)["exitCode"] for task in tasks] == [0, 1, 2]
    assert node.result(node.submit(parameters=["RETURN 9"]))["exitCode"] == 9
    (aside,) = node.http.get("/readyz?verbose").json()["setAside"]
    kept = (node.work_dir / aside["path"]).lstat()
    assert (kept.st_ino, kept.st_size) == (found.st_ino, found.st_size), "it is kept as it was"
    assert aside["path"].startswith("index.sqlite.damaged-")
    assert f"{aside['path']} is set aside: {aside['reason']}" in node.log.read_text()


@pytest.mark.parametrize("size", [None, 0])
def test_a_missing_or_empty_index_is_made_anew(node: Node, size: int | None) -> None:
    tasks = with_tasks(node)
    index = node.work_dir / "index.sqlite"
    index.unlink() if size is None else os.truncate(index, size)
    node.start()
    assert list(node.states()) == tasks
    assert node.http.get("/readyz?verbose").json()["setAside"] == []


def test_workers_that_start_at_once_agree_on_one_index(tmp_path: Path) -> None:
    with running_node(tmp_path / "work", "gunicorn", "--workers", "3") as node:
        tasks = with_tasks(node)
        text(node.work_dir / "index.sqlite")
        before = len(node.log.read_text())  # not all of its workers may have got so far
        node.start()
        wait_until(lambda: node.log.read_text()[before:].count("startup complete") == 3)
        assert len(list(node.work_dir.glob("index.sqlite.damaged-*"))) == 1
        assert list(node.states()) == tasks


def test_a_locked_index_is_waited_for(node: Node) -> None:
    tasks = with_tasks(node)
    with closing(sqlite3.connect(node.work_dir / "index.sqlite")) as stranger:
        stranger.execute("PRAGMA locking_mode = EXCLUSIVE")
        stranger.execute("BEGIN EXCLUSIVE")
        node.begin()
        wait_until(lambda: has_open(node, node.work_dir / "index.sqlite"))
        assert not node.is_ready()
    wait_until(node.is_ready)
    assert list(node.states()) == tasks
    assert not list(node.work_dir.glob("index.sqlite.damaged-*"))


def has_open(node: Node, path: Path) -> bool:
    assert node.process is not None
    master = node.process.pid
    workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    fds = [fd for worker in workers for fd in Path(f"/proc/{worker}/fd").iterdir()]
    return str(path) in {os.readlink(fd) for fd in fds if os.path.lexists(fd)}
