"""The console in a browser: how soon a line is painted, and how a big log opens and scrolls."""

import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

from bench.measure import Bench, Row, percentile
from bench.node import Node

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
INTERVAL = 0.05
SMALL = 100
# The line says when it was written; it begins when the page follows, which the file `go` says.
PROGRAM = """
import os, sys, time
while not os.path.exists("go"):
    time.sleep(0.01)
for _ in range(int(sys.argv[1])):
    os.write(1, b"written at %d\\n" % time.time_ns())
    time.sleep(float(sys.argv[2]))
"""
# Milliseconds since the epoch at the frame after the one in which each line was put into the page.
OBSERVE = """() => {
    window.painted = [];
    const seen = (records) => requestAnimationFrame(() => setTimeout(() => {
        const now = performance.timeOrigin + performance.now();
        for (const record of records) for (const node of record.addedNodes) {
            const found = /written at (\\d+)/.exec(node.textContent);
            if (found) painted.push(now - Number(found[1]) / 1e6);
        }
    }));
    new MutationObserver(seen).observe(lines, {childList: true, subtree: true});
}"""
# Milliseconds between frames while the log is scrolled up by a screen each time.
SCROLL = """async () => {
    const gaps = [];
    let last = performance.now();
    for (let step = 0; step < 120; step += 1) {
        lines.scrollTop -= 300;
        await new Promise(requestAnimationFrame);
        gaps.push(performance.now() - last);
        last = performance.now();
    }
    return gaps;
}"""


def run(bench: Bench) -> list[Row]:
    with Node(bench.path("node")) as node, _browser() as browser:
        return [
            _latency(node, browser, bench.amount(200, 20)),
            *_big_log(node, browser, bench.amount(5_000_000, 100_000)),
        ]


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def _submit(node: Node, *argv: str, wait: bool = False) -> str:
    task = {"machine": "command", "parameters": {"argv": argv}}
    with node.connect() as connection:
        task_id: str = connection.call("POST", "/v1/tasks", task, 201)["taskId"]
        if wait:
            connection.call("GET", f"/v1/tasks/{task_id}?wait=100")
    return task_id


def _open(node: Node, page: Page, task_id: str) -> None:
    page.goto(f"http://127.0.0.1:{node.address[1]}/console/tasks/{task_id}")


def _latency(node: Node, browser: Browser, count: int) -> Row:
    task_id = _submit(node, sys.executable, "-S", "-E", "-c", PROGRAM, str(count), str(INTERVAL))
    page = browser.new_page()
    _open(node, page, task_id)
    page.locator("#log-state").filter(has_text="live").wait_for()
    page.evaluate(OBSERVE)
    with open(f"{node.work_dir}/task-{task_id}/files/go", "w"):
        pass
    page.locator("#state").filter(has_text="succeeded").wait_for(timeout=120_000)
    delays: list[float] = page.evaluate("painted")
    page.close()
    if len(delays) != count:
        raise ValueError(f"{len(delays)} lines instead of {count}")
    half, slowest = percentile(delays, 50), percentile(delays, 99)
    return Row(
        "a line written to the same line painted by Chromium, p50 / p99",
        f"{half:.0f} / {slowest:.0f} ms",
        "<= 100 ms",
        half <= 100 and slowest <= 100,
        notes=[f"most {max(delays):.0f} ms, {count} lines, {1 / INTERVAL:.0f} written per second"],
    )


def _big_log(node: Node, browser: Browser, count: int) -> list[Row]:
    small = _submit(node, "seq", str(SMALL), wait=True)
    big = _submit(node, "seq", "-f", "line %.0f of a long log", str(count), wait=True)
    page = browser.new_page()
    times = {
        task_id: [_until_seen(node, page, task_id) for _ in range(5)] for task_id in (small, big)
    }
    gaps: list[float] = page.evaluate(SCROLL)
    page.close()
    one, other = statistics.median(times[small]), statistics.median(times[big])
    slowest = percentile(gaps, 95)
    return [
        Row(
            f"open a log of {count:,} lines in the console, until its last line is there",
            f"{other / one:.2f} x a log of {SMALL} lines",
            "<= 2 x",
            other <= 2 * one,
            notes=[f"{other:.0f} ms against {one:.0f} ms"],
        ),
        Row(
            f"scroll up through a log of {count:,} lines, 300 pixels a frame: p95 between frames",
            f"{slowest:.0f} ms",
            "<= 50 ms",
            slowest <= 50,
            notes=[
                f"p50 {percentile(gaps, 50):.0f} ms, most {max(gaps):.0f} ms, {len(gaps)} frames"
            ],
        ),
    ]


def _until_seen(node: Node, page: Page, task_id: str) -> float:
    """Return the milliseconds from the beginning of the navigation until a line is there."""
    _open(node, page, task_id)
    page.locator("#lines .line").last.wait_for()
    return float(page.evaluate("performance.now()"))
