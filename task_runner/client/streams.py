"""What is read live: logs and events. Each byte, line and event comes once, whatever breaks."""

from datetime import datetime

from task_runner.client.live import EVENTS, LOG, Live
from task_runner.client.models import Event, LogEntry
from task_runner.client.steps import NDJSON, TEXT, Give, Node, Params, Request, Stream, parsed
from task_runner.client.verbs import get, task_path

QUIET = 60.0
"""Seconds without a byte after which a stream is asked for again, to see whether the node lives."""


def logs(
    node: Node,
    task_id: str,
    *,
    follow: bool = False,
    offset: int = 0,
    tail: int | None = None,
    since: datetime | None = None,
    stream: str | None = None,
) -> Stream[bytes]:
    """Give the bytes of a log in blocks; with `follow`, until the task is over.

    It begins at the byte `offset`; or `tail` lines ago; or with what was written `since` (a time
    with a zone). Over broken connections and restarts of the node each byte comes once.
    `stream="stderr"` is the other log of a task that keeps it apart. Raises NotFoundError.
    """
    begin, complete = _begin(offset, tail, since), not follow
    while True:
        request = _request(task_path(task_id, "/log"), TEXT, follow=not complete, stream=stream)
        live = Live(node, LOG, request, begin)
        while block := (yield from live.read()):
            live.place = str(int(live.place) + len(block))
            yield Give(block)
        if complete:
            return
        # As text it does not say whether it ended with the task or with the node.
        task = yield from get(node, task_id)
        complete = task.is_over
        if complete and str(task.output_size) == live.place and stream != "stderr":
            return
        begin = (("offset", live.place),)
        if not complete:
            yield from live.pause()


def entries(
    node: Node,
    task_id: str,
    *,
    follow: bool = False,
    offset: int = 0,
    tail: int | None = None,
    since: datetime | None = None,
    level: str | None = None,
    grep: str | None = None,
    literal: bool = False,
    ignore_case: bool = False,
    stream: str | None = None,
) -> Stream[LogEntry]:
    """Give the lines of a log with their time, level and logger, otherwise as `logs`.

    `level` leaves out what has a lower one, `grep` what does not match: an RE2 expression (a text,
    if `literal`) that the node searches for. Bytes that are no UTF-8 are replaced. Raises
    InvalidRequestError.
    """
    wanted = {
        "level": level,
        "grep": grep,
        "literal": "true" if literal else None,
        "ignoreCase": "true" if ignore_case else None,
        "stream": stream,
    }
    request = _request(task_path(task_id, "/log"), NDJSON, follow=follow, **wanted)
    live = Live(node, LOG, request, _begin(offset, tail, since))
    while True:
        is_cut = False
        while (lines := (yield from live.lines())) is not None:
            for line in map(parsed, lines):
                if "end" in line:
                    return
                live.place = str(line["offset"])
                is_cut = "more" in line  # a search has taken long enough, and goes on there
                if not is_cut:
                    yield Give(LogEntry.of(line))
        if is_cut:
            continue
        if not follow:
            return
        yield from live.pause()


def events(node: Node, *, cursor: str | None = None, follow: bool = False) -> Stream[Event]:
    """Give the changes of state of all tasks, oldest first; with `follow`, without an end.

    `cursor` is that of the last event known; `now` for what comes; None for all that are kept. Over
    broken connections and restarts each event comes once. Raises CursorGoneError.
    """
    request = _request("/v1/events", NDJSON, follow=follow)
    live = Live(node, EVENTS, request, _given(cursor=cursor))
    while True:
        while (lines := (yield from live.lines())) is not None:
            for line in lines:
                event = Event.of(parsed(line))
                live.place = event.cursor
                yield Give(event)
        if not follow:
            return
        yield from live.pause()


def _request(path: str, accept: str, *, follow: bool, **wanted: str | None) -> Request:
    params = _given(follow="true" if follow else None, **wanted)
    return Request("GET", path, params, accept=accept, timeout=QUIET)


def _begin(offset: int, tail: int | None, since: datetime | None) -> Params:
    begin = _given(
        tail=None if tail is None else str(tail),
        since=None if since is None else since.isoformat(),
    )
    return begin or (("offset", str(offset)),)


def _given(**params: str | None) -> Params:
    return tuple((name, value) for name, value in params.items() if value is not None)
