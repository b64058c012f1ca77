import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from task_runner.lib.clock import timestamp
from task_runner.lib.output import MARK
from task_runner.lib.task_dir import TaskDir
from task_runner.service.logs import lines as lines_module
from task_runner.service.logs import log_file
from task_runner.service.logs import stream as stream_module
from task_runner.service.logs.follower import Followers
from task_runner.service.logs.stream import LogStream

DEADLINE = 30.0
RESULT = {"taskId": "x", "exitCode": 0}
END = {"end": True, **RESULT}
STAMP = "2026-11-23T17:20:00.123456+00:00"
RECORD = f"{STAMP} WARNING [a] late\n".encode()
LOG = (
    b"plain\n\r\n" + RECORD + b"nul \0 and \xff\xc3\n" + "ä€😀\n".encode() * 3 + b"z" * 200
    + b"\n" + RECORD.replace(b"WARNING", b"DEBUG") + b"no end"
)  # fmt: skip


class FakeTask:
    """A task whose output and end the test decides."""

    def __init__(self, path: Path) -> None:
        self.directory = TaskDir(str(path), "x")
        self.closing = asyncio.Event()
        self.threads = ThreadPoolExecutor(4)
        self.followers = Followers(self.threads, self.closing)
        self.result: Mapping[str, Any] | None = None
        self.subscribed: list[asyncio.Event] = []

    def write(self, data: bytes, at: int | None = None) -> None:
        with open(self.directory.output.log, "ab" if at is None else "r+b") as file:
            file.seek(at or 0)
            file.write(data)

    def replace(self, data: bytes) -> None:
        other = Path(f"{self.directory.output.log}.other")
        other.write_bytes(data)
        other.rename(self.directory.output.log)

    def mark(self, offset: int, seconds: float) -> None:
        with open(self.directory.output.marks, "ab") as file:
            file.write(MARK.pack(offset, round(seconds * 1_000_000)))

    def end(self) -> None:
        self.result = RESULT
        for changed in self.subscribed:
            changed.set()

    def stream(self) -> LogStream:
        changed = asyncio.Event()
        self.subscribed.append(changed)
        return LogStream(self.directory.output, self.followers, self._result, changed)

    async def _result(self) -> Mapping[str, Any] | None:
        return self.result


Test = Callable[[FakeTask], Coroutine[Any, Any, None]]


@asynccontextmanager
async def fake_task(path: Path) -> AsyncIterator[FakeTask]:
    task = FakeTask(path)
    with task.threads:
        yield task
        assert task.followers._timer is None, "somebody still follows"


def in_loop(test: Test) -> Callable[[Path], None]:
    """Run a coroutine function of a task as a test."""

    async def timed(path: Path) -> None:
        async with asyncio.timeout(DEADLINE), fake_task(path) as task:
            await test(task)

    def run(tmp_path: Path) -> None:
        asyncio.run(timed(tmp_path))

    run.__name__ = test.__name__
    return run


async def all_of(stream: AsyncGenerator[bytes, None]) -> bytes:
    async with aclosing(stream):
        return b"".join([data async for data in stream])


async def entries_of(stream: AsyncGenerator[bytes, None]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await all_of(stream)).splitlines()]


def slices(data: bytes, start: int, entries: list[dict[str, Any]]) -> bytes:
    """Return the bytes that the entries stand for, after a look at what they say of them."""
    found = b""
    for entry in entries:
        raw = data[start : entry["offset"]]
        text = raw.removesuffix(b"\n")
        text = text.removesuffix(b"\r") if text != raw else text
        assert text.decode(errors="replace").endswith(entry["message"])
        found += raw
        start = entry["offset"]
    return found


@in_loop
async def test_text_of_every_part(task: FakeTask) -> None:
    task.write(LOG)
    stream = task.stream()
    assert (await stream.extent()).size == len(LOG)
    assert await all_of(stream.text()) == LOG
    for start in range(0, len(LOG) + 2, 7):
        for stop in range(0, len(LOG) + 9, 31):
            assert await all_of(stream.text(start, stop)) == LOG[start:stop]


@in_loop
async def test_resume_at_every_offset(task: FakeTask) -> None:
    task.write(LOG)
    task.end()
    stream = task.stream()
    whole = await entries_of(stream.entries())
    assert whole[-1] == END
    offsets = [0, *(entry["offset"] for entry in whole[:-1])]
    assert offsets[-1] == len(LOG)
    for start in range(len(LOG) + 1):
        rest = await entries_of(stream.entries(start))
        assert slices(LOG, start, rest[:-1]) == LOG[start:]
        complete = [entry for entry in whole if entry.get("offset", len(LOG) + 1) > start]
        assert rest[1:] == complete[1:]
        if start in offsets:
            assert rest == complete
        elif start < len(LOG):  # the rest of a line is of the same level as its beginning
            assert rest[0] == {**complete[0], "message": rest[0]["message"]}
        assert await all_of(stream.text(start)) == LOG[start:]


def test_resume_in_a_long_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = f"{STAMP} INFO [a] ".encode() + "ä€😀".encode() * 60 + b"\n"

    @in_loop
    async def run(task: FakeTask) -> None:
        task.write(b"before\n" + line + b"after\n")
        task.end()
        stream = task.stream()
        whole = await entries_of(stream.entries())
        assert len(whole) > 8
        assert {entry["level"] for entry in whole[1:-2]} == {"INFO"}
        assert not any("\N{REPLACEMENT CHARACTER}" in entry["message"] for entry in whole[:-1])
        for number, entry in enumerate(whole[:-1]):
            assert await entries_of(stream.entries(entry["offset"])) == whole[number + 1 :]
        hidden = await entries_of(stream.entries(whole[3]["offset"], min_level="ERROR"))
        assert hidden == [{"start": whole[-3]["offset"], **whole[-2]}, whole[-1]]

    monkeypatch.setattr(lines_module, "MAX_LINE", 100)
    monkeypatch.setattr(log_file, "BLOCK", 150)
    run(tmp_path)


@in_loop
async def test_levels_and_times(task: FakeTask) -> None:
    task.write(b"a\n" + RECORD + RECORD.replace(b"WARNING", b"INFO") + b"b\n")
    task.mark(0, 1_700_000_000.25)
    stream = task.stream()
    entries = await entries_of(stream.entries(min_level="WARNING"))
    assert [(entry["time"], entry["message"]) for entry in entries] == [
        (timestamp(1_700_000_000.25), "a"),
        (STAMP, "late"),
        (timestamp(1_700_000_000.25), "b"),
    ]
    with pytest.raises(KeyError):
        await all_of(stream.entries(min_level="LOUD"))


@in_loop
async def test_a_part_ends_before_a_byte(task: FakeTask) -> None:
    task.write(LOG)
    task.end()
    stream = task.stream()
    whole = await entries_of(stream.entries())
    for before in range(len(LOG)):
        *part, last = await entries_of(stream.entries(0, before))
        assert part == [entry for entry in whole[:-1] if entry["offset"] <= before]
        assert last == {"next": part[-1]["offset"] if part else 0}
    assert await entries_of(stream.entries(0, len(LOG))) == whole
    assert await entries_of(stream.entries(0, len(LOG) + 1)) == whole


@in_loop
async def test_a_filtered_part_says_where_to_go_on(task: FakeTask) -> None:
    quiet = RECORD.replace(b"WARNING", b"DEBUG")
    task.write(quiet * 3)
    found = await entries_of(task.stream().entries(0, len(quiet) * 2 + 5, min_level="INFO"))
    assert found == [{"next": len(quiet) * 2}]


@in_loop
async def test_a_part_of_what_is_still_written(task: FakeTask) -> None:
    task.write(b"a\nb")
    part = await entries_of(task.stream().entries(0, 100))
    assert [part[0]["message"], part[1:]] == ["a", [{"next": 2}]]
    followed = asyncio.create_task(entries_of(task.stream().entries(0, 6, follow=True)))
    task.write(b"cd\nef\n")
    assert [entry.get("message") for entry in await followed] == ["a", "bcd", None]


@in_loop
async def test_a_running_task_without_following(task: FakeTask) -> None:
    task.write(b"a\nb")
    entries = await entries_of(task.stream().entries())
    assert [entry["message"] for entry in entries] == ["a"]
    assert await all_of(task.stream().text()) == b"a\nb"


@in_loop
async def test_no_output_at_all(task: FakeTask) -> None:
    stream = task.stream()
    assert ((await stream.extent()).size, await stream.tail_offset(3)) == (0, 0)
    assert await stream.since_offset(time.time()) == 0
    assert await all_of(stream.text()) == await all_of(stream.entries()) == b""
    task.end()
    assert await entries_of(stream.entries()) == [END]
    assert await entries_of(stream.entries(5, follow=True)) == [END]
    assert await all_of(stream.text(follow=True)) == b""


@in_loop
async def test_the_end_comes_after_the_last_byte(task: FakeTask) -> None:
    """What is written right before the end is read, although no growth was heard of."""
    stream = task.stream()
    async with aclosing(stream.entries(follow=True)) as following:
        waiting = asyncio.ensure_future(anext(following))
        task.write(b"first\n")
        assert json.loads(await waiting)["message"] == "first"
        task.write(b"second\nlast")
        task.end()
        rest = b"".join([data async for data in following])
    last = [json.loads(line) for line in rest.splitlines()]
    assert [entry.get("message") for entry in last] == ["second", "last", None]
    assert last[-1] == END


@in_loop
async def test_an_unfinished_line_waits(task: FakeTask) -> None:
    task.write(b"a\nb")
    async with aclosing(task.stream().entries(follow=True)) as following:
        assert json.loads(await anext(following))["message"] == "a"
        waiting = asyncio.ensure_future(anext(following))
        async with aclosing(task.stream().text(3, follow=True)) as bytes_follow:
            task.write(b"c")
            assert await anext(bytes_follow) == b"c"
            assert not waiting.done()
            task.write(b"\n")
            assert json.loads(await waiting)["message"] == "bc"


def test_fifty_followers_in_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[object] = []
    read = log_file.read_entries
    lines = [f"line {number}\n".encode() for number in range(3000)]

    def counted(*arguments: Any) -> Any:
        reads.append(arguments)
        return read(*arguments)

    @in_loop
    async def run(task: FakeTask) -> None:
        streams = [task.stream() for _ in range(50)]
        entries = [asyncio.create_task(all_of(s.entries(follow=True))) for s in streams[:45]]
        text = [asyncio.create_task(all_of(s.text(follow=True))) for s in streams[45:]]
        writer = threading.Thread(target=write_slowly, args=(task, lines))
        writer.start()
        while writer.is_alive():
            await asyncio.sleep(0.05)
            streams.append(task.stream())  # some come later
            entries.append(asyncio.create_task(all_of(streams[-1].entries(follow=True))))
        task.end()
        first, *others = await asyncio.gather(*entries)
        assert all(other == first for other in others)
        messages = [json.loads(line).get("message") for line in first.splitlines()]
        assert messages == [*(line.decode().rstrip() for line in lines), None]
        assert set(await asyncio.gather(*text)) == {b"".join(lines)}
        assert len(reads) < len(first.splitlines()) / 3

    monkeypatch.setattr(stream_module, "read_entries", counted)
    run(tmp_path)


def write_slowly(task: FakeTask, lines: list[bytes]) -> None:
    for number in range(0, len(lines), 100):
        half = b"".join(lines[number : number + 100])
        task.write(half[:777])
        time.sleep(0.005)
        task.write(half[777:])
        time.sleep(0.005)


@in_loop
async def test_a_line_of_ten_megabytes(task: FakeTask) -> None:
    line = os.urandom(5 << 20).hex().encode()
    streams = [task.stream(), task.stream()]
    following = asyncio.create_task(entries_of(streams[0].entries(follow=True)))
    text = asyncio.create_task(all_of(streams[1].text(follow=True)))
    for begin in range(0, len(line), 1 << 20):
        task.write(line[begin : begin + (1 << 20)])
        await asyncio.sleep(0)
    task.write(b"\nnext\n")
    task.end()
    *entries, after, end = await following
    assert len(entries) == len(line) // lines_module.MAX_LINE
    assert "".join(entry["message"] for entry in entries) == line.decode()
    assert (after["message"], end) == ("next", END)
    assert await text == line + b"\nnext\n"
    assert await streams[0].tail_offset(2) == 0
    assert await streams[0].tail_offset(1) == len(line) + 1


@pytest.mark.parametrize("kind", ["text", "entries"])
def test_closing_ends_followers_soon(tmp_path: Path, kind: str) -> None:
    @in_loop
    async def run(task: FakeTask) -> None:
        task.write(b"a\n")
        streams = [getattr(task.stream(), kind)(follow=True) for _ in range(3)]
        jobs = [asyncio.create_task(all_of(stream)) for stream in streams]
        await task.stream().extent()
        task.closing.set()
        async with asyncio.timeout(20):
            ends = await asyncio.gather(*jobs)
        assert all(b'"end"' not in end for end in ends)
        task.end()
        assert await all_of(getattr(task.stream(), kind)(follow=True)) == b""
        assert await all_of(task.stream().text()) == b"a\n"

    run(tmp_path)


@in_loop
async def test_a_reader_that_leaves_is_forgotten(task: FakeTask) -> None:
    job = asyncio.create_task(all_of(task.stream().entries(follow=True)))
    await task.stream().extent()
    assert task.followers._files
    job.cancel()
    await asyncio.wait([job])
    assert not task.followers._files
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_loop
async def test_a_truncated_log(task: FakeTask) -> None:
    task.write(b"one\ntwo\n")
    async with aclosing(task.stream().text(follow=True)) as following:
        assert await anext(following) == b"one\ntwo\n"
        os.truncate(task.directory.output.log, 0)
        waiting = asyncio.ensure_future(anext(following))
        task.write(b"three\n", at=8)  # as TaskRunner goes on
        assert await waiting == b"three\n"
        os.truncate(task.directory.output.log, 3)
        task.end()
        assert [data async for data in following] == []
    assert await entries_of(task.stream().entries(8)) == [END]


@in_loop
async def test_another_log_in_its_place_is_not_mixed_in(task: FakeTask) -> None:
    task.write(b"one\n")
    async with aclosing(task.stream().entries(follow=True)) as following:
        assert json.loads(await anext(following))["message"] == "one"
        task.replace(b"1\n2\n3\n")
        waiting = asyncio.ensure_future(anext(following))
        async with aclosing(task.stream().text(follow=True)) as new:
            assert await anext(new) == b"1\n2\n3\n"
        task.end()
        assert json.loads(await waiting) == END


@pytest.mark.parametrize("kind", ["text", "entries"])
@pytest.mark.parametrize("change", ["truncate", "replace", "remove"])
def test_a_log_that_goes_away_while_it_is_read(tmp_path: Path, kind: str, change: str) -> None:
    size = 3 * log_file.BLOCK

    @in_loop
    async def run(task: FakeTask) -> None:
        task.write(b"old old\n" * (size // 8))
        task.end()
        async with aclosing(getattr(task.stream(), kind)()) as reading:
            await anext(reading)
            if change == "truncate":
                os.truncate(task.directory.output.log, 0)
            elif change == "replace":
                task.replace(b"new new\n" * (size // 8))
            else:
                os.unlink(task.directory.output.log)
            rest = b"".join([data async for data in reading])
        assert rest == (b"" if kind == "text" else json.dumps(END).encode() + b"\n")

    run(tmp_path)


@in_loop
async def test_a_log_that_is_no_file_reads_like_none(task: FakeTask) -> None:
    os.symlink(task.directory.task, task.directory.output.log)
    assert await all_of(task.stream().text()) == b""
    os.unlink(task.directory.output.log)
    os.mkfifo(task.directory.output.log)
    assert await all_of(task.stream().text()) == b""
    assert await task.stream().tail_offset(1) == 0


def test_tail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = [
        b"",
        b"\n",
        b"a",
        b"a\n",
        b"\n\n\n",
        b"a\nbb\n\nccc",
        b"a\nbb\n\nccc\n",
        b"x" * 9 + b"\n",
    ]
    monkeypatch.setattr(log_file, "BLOCK", 3)
    for number, data in enumerate(logs):
        path = tmp_path / str(number)
        path.write_bytes(data)
        lines = data.splitlines(keepends=True)
        for count in range(len(lines) + 2):
            expected = sum(len(line) for line in lines[: max(len(lines) - count, 0)])
            assert log_file.find_tail(str(path), count) == expected


@in_loop
async def test_since(task: FakeTask) -> None:
    stream = task.stream()
    task.write(b"one\ntwo\nthr")
    assert await stream.since_offset(0) == await stream.since_offset(5) == 0
    for offset, seconds in ((0, 1.0), (4, 2.0), (9, 3.0)):
        task.mark(offset, seconds)
    expected = {0.5: 0, 1.0: 0, 1.005: 0, 1.5: 4, 2.0: 4, 2.5: 8, 3.0: 8, 3.005: 8, 3.5: 11}
    assert {seconds: await stream.since_offset(seconds) for seconds in expected} == expected
