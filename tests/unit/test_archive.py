"""Trees of every shape become an archive that tar(1) reads, or a list, within bounds."""

import gzip
import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task_runner.lib.errors import NoSuchFileError
from task_runner.service.files.archive import MAX_NOTES, pack
from task_runner.service.files.beneath import MAX_DEPTH, Tree
from task_runner.service.files.listing import list_files


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "task" / "files").mkdir(parents=True)
    return tmp_path / "task" / "files"


@pytest.fixture
def tree(top: Path) -> Tree:
    return Tree(str(top.parent.parent), "task", "files")


def unpacked(blocks: Iterator[bytes]) -> tarfile.TarFile:
    data = gzip.decompress(b"".join(blocks))
    return tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape")


def notes_in(archive: tarfile.TarFile) -> list[str]:
    file = archive.extractfile("t.incomplete.txt")
    assert file is not None
    return file.read().decode().splitlines()


def test_tar_unpacks_the_same_tree(tree: Tree, top: Path, tmp_path: Path) -> None:
    (top / "a").mkdir()
    (top / "a" / ("n" * 250)).write_bytes(os.urandom(700_000))
    (top / "a" / "sparse").touch()
    os.truncate(top / "a" / "sparse", 3_000_001)
    (top / "link").symlink_to("a")
    with open(os.fsencode(top) + b"/\xff\xfe", "wb") as file:
        file.write(b"odd")
    os.utime(top / "link", (1, 10**9), follow_symlinks=False)
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(["tar", "-xz", "-C", target], input=b"".join(pack(tree, "t")), check=True)
    subprocess.run(["diff", "-r", "--no-dereference", top, target / "t"], check=True)
    assert (target / "t" / "link").lstat().st_mtime == 10**9
    assert [path.name for path in target.iterdir()] == ["t"]


def test_a_file_that_shrinks_is_padded_and_told(tree: Tree, top: Path) -> None:
    path = top / "f"
    path.write_bytes(os.urandom(2_000_000))
    (top / "g").write_bytes(b"whole")
    blocks = pack(tree, "t")
    first = next(blocks)
    os.truncate(path, 1_000_000)
    archive = unpacked(iter([first, *blocks]))
    assert archive.getmember("t/f").size == 2_000_000
    whole = archive.extractfile("t/g")
    assert whole is not None
    assert whole.read() == b"whole"
    (note,) = notes_in(archive)
    assert note == "f: became shorter: after 1000000 bytes there are only zeros"


def test_no_step_is_large(tree: Tree, top: Path) -> None:
    (top / "f").write_bytes(os.urandom(3_000_000))
    for number in range(50):
        (top / f"small{number}").write_bytes(os.urandom(1000))
    blocks = list(pack(tree, "t"))
    assert max(map(len, blocks)) < 600_000
    assert len(unpacked(iter(blocks)).getnames()) == 52


def test_too_deep_and_too_many_to_tell(tree: Tree, top: Path) -> None:
    fd = os.open(top, os.O_RDONLY)
    for _ in range(MAX_DEPTH + 5):
        os.mkdir("d", dir_fd=fd)
        inner = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    for number in range(MAX_NOTES + 5):
        os.mkfifo(top / f"fifo{number}")
    archive = unpacked(pack(tree, "t"))
    assert len(archive.getnames()) == 1 + MAX_DEPTH + 1
    notes = notes_in(archive)
    assert (len(notes), notes[-1]) == (MAX_NOTES + 1, "and more")
    assert len(list_files(tree, (), 10_000)) == MAX_DEPTH + MAX_NOTES + 5


def test_a_tree_that_is_gone_is_empty(tree: Tree, top: Path) -> None:
    top.rmdir()
    assert notes_in(unpacked(pack(tree, "t"))) == [".: No such file or directory"]
    assert list_files(tree, (), 10) == []
    with pytest.raises(NoSuchFileError, match="No such file"):
        tree.open((b"f",))


NAME = st.sampled_from([b"a", b"b", b"a.b", b"a-b", b"\xff", b"z"])
PATHS = st.lists(st.lists(NAME, min_size=1, max_size=4).map(tuple), max_size=12, unique=True)


@settings(deadline=None)  # a busy machine is no failure
@given(PATHS, st.integers(1, 5))
def test_pages_are_sorted_and_complete(paths: list[tuple[bytes, ...]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        tree, top = Tree(scratch, "files"), os.fsencode(f"{scratch}/files")
        os.mkdir(top)
        for path in paths:
            os.makedirs(os.path.join(top, *path), exist_ok=True)
        expected = sorted({path[:depth] for path in paths for depth in range(1, len(path) + 1)})
        assert [entry.path for entry in list_files(tree, (), 1000)] == expected
        seen: list[tuple[bytes, ...]] = []
        while page := list_files(tree, seen[-1] if seen else (), limit):
            assert len(page) <= limit
            seen += [entry.path for entry in page]
        assert seen == expected
