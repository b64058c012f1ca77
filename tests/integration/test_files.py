"""What a task left, over HTTP: listed and given byte by byte, and no way out of its directory."""

import hashlib
import io
import os
import socket
import stat
import tarfile
from contextlib import ExitStack, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest

from task_runner.lib.task_dir import TaskDir
from task_runner.service.readers import nobody_reads
from tests.node import Json, Node
from tests.waiting import wait_until

SECRET = b"not for you"
NAMES = ["a b.txt", "ünïcode.txt", "100%.txt", "a?b#c", "quo\"te'.txt", "back\\slash", "new\nline"]


@pytest.fixture
def task(node_for_all: Node) -> str:
    """Give a task that is over, with an empty directory of files."""
    task = node_for_all.submit()
    node_for_all.result(task)
    return task


def files(node: Node, task: str) -> Path:
    return node.directory(task) / "files"


def listed(node: Node, task: str, **params: Any) -> list[Json]:
    answer = node.http.get(f"/v1/tasks/{task}/files", params=params)
    assert answer.status_code == 200, answer.text
    entries: list[Json] = answer.json()
    return entries


def raw_get(node: Node, target: bytes) -> tuple[int, bytes]:
    """Ask for a path exactly as it is: a client library would tidy it up."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=30) as connection:
        connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n")
        connection.sendall(b"Connection: close\r\n\r\n")
        answer = b""
        while data := connection.recv(65536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_what_a_task_leaves_is_listed_and_given(node_for_all: Node) -> None:
    task = node_for_all.sh("mkdir -p out/deep; echo hi > out/deep/a.txt; printf x > b; ln -s b c")
    node_for_all.result(task)
    entries = listed(node_for_all, task)
    assert [(one["path"], one["type"], one["size"]) for one in entries] == [
        ("b", "file", 1),
        ("c", "symlink", None),
        ("out", "directory", None),
        ("out/deep", "directory", None),
        ("out/deep/a.txt", "file", 3),
    ]
    assert [one["href"] for one in entries if one["type"] != "file"] == [None] * 3
    answer = node_for_all.http.get(entries[-1]["href"])
    assert answer.content == b"hi\n"
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["last-modified"]


def test_it_can_be_had_while_the_task_runs(node: Node) -> None:
    task = node.sh("echo part > half; sleep 60")
    wait_until(lambda: [one["size"] for one in listed(node, task)] == [5])
    assert node.http.get(f"/v1/tasks/{task}/files/half").content == b"part\n"


@pytest.mark.parametrize("name", NAMES)
def test_every_name_leads_to_its_file(node_for_all: Node, task: str, name: str) -> None:
    (files(node_for_all, task) / name).write_text(name)
    (entry,) = listed(node_for_all, task)
    assert entry["path"] == name
    answer = node_for_all.http.get(entry["href"])
    assert (answer.status_code, answer.text) == (200, name)
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename*=UTF-8''")
    assert disposition.isascii()


def test_names_that_are_no_text_are_exact_in_their_links(node_for_all: Node, task: str) -> None:
    directory = os.fsencode(files(node_for_all, task))
    for name in (b"caf\xe9", b"\xff\xfe", b"caf\xc3\xa9"):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(name)
    entries = listed(node_for_all, task)
    assert [one["path"] for one in entries] == ["café", "caf\ufffd", "\ufffd\ufffd"]
    for entry, name in zip(entries, (b"caf\xc3\xa9", b"caf\xe9", b"\xff\xfe"), strict=True):
        assert raw_get(node_for_all, entry["href"].encode()) == (200, name)


def test_pages(node_for_all: Node, task: str) -> None:
    top = files(node_for_all, task)
    paths = [f"d{i}/e{j}" for i in range(3) for j in range(4)]
    for path in paths:
        (top / path).parent.mkdir(exist_ok=True)
        (top / path).touch()
    whole = [one["path"] for one in listed(node_for_all, task)]
    assert whole == sorted([*paths, "d0", "d1", "d2"])
    for limit in range(1, len(whole) + 2):
        seen: list[str] = []
        url = f"/v1/tasks/{task}/files?limit={limit}"
        while url:
            answer = node_for_all.http.get(url)
            assert len(answer.json()) <= limit
            seen += [one["path"] for one in answer.json()]
            url = answer.links["next"]["url"] if "next" in answer.links else ""
        assert seen == whole


def test_ranges_tags_and_times(node_for_all: Node, task: str) -> None:
    path, url = files(node_for_all, task) / "data", f"/v1/tasks/{task}/files/data"
    path.write_bytes(bytes(range(100)))

    def get(**headers: str) -> httpx2.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return node_for_all.http.get(url, headers=sent)

    first = get()
    tag, modified = first.headers["etag"], first.headers["last-modified"]
    assert (first.status_code, first.content) == (200, bytes(range(100)))
    assert parsedate_to_datetime(modified).timestamp() == int(path.stat().st_mtime)
    part = get(Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/100"
    assert get(Range="bytes=100-").status_code == 416
    assert get(Range="bytes=0-1", If_Range=tag).status_code == 206
    assert get(Range="bytes=0-1", If_Range='"other"').status_code == 200
    assert get(Range="bytes=0-1", If_Range=modified).status_code == 200
    for current in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = get(If_None_Match=current)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
    assert get(If_None_Match='"x"', If_Modified_Since=modified).status_code == 200
    assert get(If_Modified_Since=modified).status_code == 304
    for not_current in ("Thu, 01 Jan 1970 00:00:00 GMT", "yesterday"):
        assert get(If_Modified_Since=not_current).status_code == 200
    head = node_for_all.http.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "100")
    path.write_bytes(b"other")
    assert get(If_None_Match=tag).content == b"other"


@pytest.mark.parametrize("name", ["page.html", "image.svg", "code.js", "x.xhtml", "style.css"])
def test_nothing_can_run_as_a_page_of_this_node(node_for_all: Node, task: str, name: str) -> None:
    (files(node_for_all, task) / name).write_text("<script>alert(1)</script>")
    answer = node_for_all.http.get(f"/v1/tasks/{task}/files/{name}")
    assert answer.headers["content-disposition"].startswith("attachment;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_a_compressed_file_is_given_as_it_is(node_for_all: Node, task: str) -> None:
    (files(node_for_all, task) / "a.txt.gz").write_bytes(b"\x1f\x8b...")
    answer = node_for_all.http.get(f"/v1/tasks/{task}/files/a.txt.gz")
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.content == b"\x1f\x8b..."


@pytest.fixture
def traps(node_for_all: Node, task: str) -> str:
    """Give a task whose files are of every kind, and lead everywhere."""
    top = files(node_for_all, task)
    outside = node_for_all.work_dir / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret").write_bytes(SECRET)
    (top / "dir").mkdir()
    (top / "dir" / "inner").write_bytes(b"inner")
    (top / "link").symlink_to(outside / "secret")
    (top / "inside").symlink_to("dir/inner")
    (top / "dirlink").symlink_to(outside)
    (top / "loop").symlink_to("loop")
    (top / "dangling").symlink_to("nowhere")
    os.mkfifo(top / "fifo")
    (top / "locked").write_bytes(SECRET)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(top / "sock"))
    return task


@pytest.mark.parametrize(
    "path",
    [
        "link",
        "inside",
        "dirlink",
        "dirlink/secret",
        "loop",
        "loop/x",
        "dangling",
        "fifo",
        "sock",
        "dir",
        "dir/",
        "dir/inner/",
        "dir/inner/x",
        "",
        ".",
        "..",
        "../task.json",
        "..%2Ftask.json",
        "%2e%2e/task.json",
        "%2e%2e%2ftask.json",
        "dir/../../task.json",
        "dir/..%2f..%2ftask.json",
        "dir%2Finner",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "//etc/passwd",
        "dir/./inner",
        "dir//inner",
        "dir/inner%00",
        "%00",
        "x" * 300,
        "x/" * 300,
        "nope",
        "%",
        "%zz",
    ],
)
def test_there_is_no_way_out(node_for_all: Node, traps: str, path: str) -> None:
    status, body = raw_get(node_for_all, f"/v1/tasks/{traps}/files/{path}".encode())
    assert status == 404, body
    assert SECRET not in body
    assert b"machine" not in body
    assert b"application/problem+json" not in body
    assert b'"status":404' in body


@pytest.mark.parametrize(
    "target",
    [
        "/v1/tasks/{}%2Ffiles%2Fdir/inner",
        "/v1%2Ftasks/{}/files/dir/inner/x",
        "/v1/tasks%2F{}%2Ffiles%2Fdir",
    ],
)
def test_encoded_slashes_elsewhere_are_no_separators(
    node_for_all: Node, traps: str, target: str
) -> None:
    assert raw_get(node_for_all, target.format(traps).encode())[0] == 404


def test_traps_are_listed_for_what_they_are(node_for_all: Node, traps: str) -> None:
    kinds = {one["path"]: one["type"] for one in listed(node_for_all, traps)}
    assert kinds == {
        "dangling": "symlink",
        "dir": "directory",
        "dir/inner": "file",
        "dirlink": "symlink",
        "fifo": "fifo",
        "inside": "symlink",
        "link": "symlink",
        "locked": "file",
        "loop": "symlink",
        "sock": "socket",
    }


def test_a_link_in_the_place_of_files_leads_nowhere(node_for_all: Node, task: str) -> None:
    outside = node_for_all.work_dir / "elsewhere"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    files(node_for_all, task).rmdir()
    files(node_for_all, task).symlink_to(outside)
    assert listed(node_for_all, task) == []
    assert node_for_all.http.get(f"/v1/tasks/{task}/files/secret").status_code == 404
    names = tar_of(node_for_all, task).getnames()
    assert names == [task, f"{task}.incomplete.txt"]


def test_a_writer_that_waits_at_a_fifo_is_not_disturbed(node: Node) -> None:
    task = node.sh("mkfifo f; echo ready; echo precious > f; echo written")
    wait_until(lambda: node.log_of(task) == b"ready\n")
    assert node.http.get(f"/v1/tasks/{task}/files/f").status_code == 404
    listed(node, task)
    tar_of(node, task)
    fifo = files(node, task) / "f"
    assert fifo.read_text() == "precious\n"
    assert node.result(task)["outcome"] == "succeeded"


def test_a_directory_that_becomes_a_link_in_between_is_no_way_out(node: Node) -> None:
    """The task swaps a directory and a symlink to elsewhere, as fast as it can."""
    outside = node.work_dir / "outside"
    outside.mkdir()
    (outside / "name").write_bytes(SECRET)
    task = node.sh(
        "mkdir real; echo mine > real/name; mv real d; "
        f"ln -s {outside} other; while :; do mv -T d real; mv -T other d; mv -T d other;"
        " mv -T real d; done"
    )
    seen = set()
    for _ in range(400):
        answer = node.http.get(f"/v1/tasks/{task}/files/d/name")
        seen.add(answer.content if answer.status_code == 200 else answer.status_code)
        assert SECRET not in answer.content
    assert seen <= {b"mine\n", 404}
    assert SECRET not in node.http.get(f"/v1/tasks/{task}/files.tar.gz").content


def test_a_file_that_grows_is_given_as_it_was(node: Node) -> None:
    task = node.sh("head -c 20000000 /dev/zero > f; echo ready; while echo more >> f; do :; done")
    wait_until(lambda: node.log_of(task) == b"ready\n")
    answer = node.http.get(f"/v1/tasks/{task}/files/f")
    assert len(answer.content) == int(answer.headers["content-length"]) >= 20_000_000


def test_a_file_that_shrinks_breaks_the_answer_off(node_for_all: Node, task: str) -> None:
    path = files(node_for_all, task) / "f"
    with path.open("wb") as file:
        file.truncate(1 << 30)

    def download() -> None:
        with node_for_all.http.stream("GET", f"/v1/tasks/{task}/files/f") as stream:
            for _ in stream.iter_bytes():
                os.truncate(path, 0)

    with pytest.raises(httpx2.RemoteProtocolError):
        download()
    assert node_for_all.http.get("/livez").status_code == 200


def test_a_file_that_is_replaced_is_given_whole(node_for_all: Node, task: str) -> None:
    path = files(node_for_all, task) / "f"
    path.write_bytes(b"a" * 30_000_000)
    digest = hashlib.sha256()
    with node_for_all.http.stream("GET", f"/v1/tasks/{task}/files/f") as stream:
        for block in stream.iter_bytes():
            digest.update(block)
            path.unlink(missing_ok=True)
    assert digest.digest() == hashlib.sha256(b"a" * 30_000_000).digest()


def tar_of(node: Node, task: str) -> tarfile.TarFile:
    answer = node.http.get(f"/v1/tasks/{task}/files.tar.gz")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/gzip"
    return tarfile.open(fileobj=io.BytesIO(answer.content), errors="surrogateescape")


def test_the_archive_has_everything(node_for_all: Node, traps: str) -> None:
    top = files(node_for_all, traps)
    with open(os.path.join(os.fsencode(top), b"caf\xe9" + b"x" * 200), "wb") as file:
        file.write(b"odd")
    (top / "program").write_text("#!/bin/sh\n")
    (top / "program").chmod(0o700)
    archive = tar_of(node_for_all, traps)
    members = {member.name: member for member in archive.getmembers()}
    assert members[f"{traps}/dir"].isdir()
    assert members[f"{traps}/link"].linkname.endswith("outside/secret")
    assert stat.S_IMODE(members[f"{traps}/program"].mode) == 0o700
    inner = archive.extractfile(f"{traps}/dir/inner")
    odd = archive.extractfile(f"{traps}/caf\udce9" + "x" * 200)
    notes = archive.extractfile(f"{traps}.incomplete.txt")
    assert inner is not None
    assert odd is not None
    assert notes is not None
    assert (inner.read(), odd.read()) == (b"inner", b"odd")
    assert sorted(notes.read().decode().splitlines()) == [
        "fifo: a fifo is not packed",
        "sock: a socket is not packed",
    ]
    kept = {f"{traps}/{one['path']}" for one in listed(node_for_all, traps)}
    assert {name.split("xxx")[0] for name in members} >= {
        name for name in kept if not name.endswith(("fifo", "sock")) and "\ufffd" not in name
    }


def test_an_archive_of_nothing(node_for_all: Node, task: str) -> None:
    assert tar_of(node_for_all, task).getnames() == [task]


def process_of(node: Node) -> Path:
    """Return the directory in /proc of the worker."""
    assert node.process is not None
    pid = node.process.pid
    (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return Path("/proc", worker)


def memory_of(node: Node) -> int:
    status = (process_of(node) / "status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def open_files(node: Node) -> str:
    names = []
    for link in (process_of(node) / "fd").iterdir():
        with suppress(FileNotFoundError):
            names.append(os.readlink(link))
    return " ".join(names)


def test_a_sparse_file_of_5_gb_costs_no_memory_and_a_client_may_leave(node: Node) -> None:
    task = node.sh("truncate -s 5G big; echo small > small; sleep 60")
    wait_until(lambda: len(listed(node, task)) == 2)
    before = memory_of(node)
    for path in ("files.tar.gz", "files/big"):
        with node.http.stream("GET", f"/v1/tasks/{task}/{path}") as stream:
            taken = 0
            for block in stream.iter_raw():
                taken += len(block)
                if taken > 200_000:
                    break
    assert memory_of(node) - before < 60 << 20
    assert node.http.get(f"/v1/tasks/{task}/files/small").content == b"small\n"
    wait_until(lambda: "big" not in open_files(node))


def test_slow_clients_of_archives_keep_nobody_waiting(node: Node) -> None:
    task = node.sh("head -c 30000000 /dev/urandom > big; sleep 60")
    wait_until(lambda: [one["size"] for one in listed(node, task)] == [30_000_000])
    with ExitStack() as stack:
        for _ in range(6):  # more than there are threads for reading
            url = f"http://127.0.0.1:{node.port}/v1/tasks/{task}/files.tar.gz"
            stack.enter_context(httpx2.stream("GET", url, timeout=60))
        assert node.log_of(node.submit(parameters=["ECHO hi"]), follow=True) == b"hi\n"
        with nobody_reads(TaskDir.of(str(node.work_dir), task)) as alone:
            assert not alone  # so that it is not removed for its age meanwhile
    wait_until(lambda: is_free(node, task))


def is_free(node: Node, task: str) -> bool:
    with nobody_reads(TaskDir.of(str(node.work_dir), task)) as alone:
        return alone


def test_odd_requests(node_for_all: Node, task: str) -> None:
    def status(path: str) -> int:
        return node_for_all.http.get(f"/v1/tasks/{path}").status_code

    for path in ("nope/files", "nope/files/x", "nope/files.tar.gz"):
        assert status(path) == 404
    for query in ("limit=0", "limit=1001", "cursor=..", "cursor=a//b", "cursor=%00"):
        assert status(f"{task}/files?{query}") == 400
