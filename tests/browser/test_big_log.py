"""A log of five million lines."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.console import Console
from tests.node import Node, running_node
from tests.task_processes import kill_all_of
from tests.waiting import wait_until

LINES = 5_000_000
SCRIPT = f"seq -f 'line %.0f of a long log' {LINES}"
MOST = 6000
"""Lines that the page may hold, however many there are."""


FIRST_SEEN = """[...lines.querySelectorAll(".line")]
    .find((line) => line.offsetTop >= lines.scrollTop).innerText"""


@pytest.fixture(scope="module")
def big_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, str]]:
    work_dir = tmp_path_factory.mktemp("big") / "work"
    with running_node(work_dir) as node:
        task_id = node.sh(SCRIPT)
        assert node.view(task_id, wait=100)["outcome"] == "succeeded"
        yield node, task_id
        node.http.delete(f"/v1/tasks/{task_id}")
    kill_all_of(work_dir)


def numbers(page: Page) -> list[int]:
    """Return the numbers of the lines that the page holds, which are without a gap."""
    texts = page.locator("#lines .line").all_inner_texts()
    found = [int(text.split()[1]) for text in texts]
    assert found == list(range(found[0], found[0] + len(found)))
    assert len(found) < MOST
    return found


def seen(page: Page) -> int:
    """Return the number of the first line that is seen."""
    text = page.evaluate(FIRST_SEEN)
    return int(text.split()[1])


def test_it_opens_at_its_end_and_scrolls(page: Page, big_log: tuple[Node, str]) -> None:
    node, task_id = big_log
    console = Console(page, node)
    console.open_task(task_id)
    expect(console.line(f"line {LINES} of")).to_be_in_viewport()
    assert numbers(page)[-1] == LINES
    expect(page.locator("#track")).to_be_visible()
    page.locator("#lines").hover()
    at = seen(page)
    for _ in range(40):  # each step of the wheel moves on, and nothing jumps
        page.mouse.wheel(0, -900)
        page.wait_for_timeout(20)
        before, at = at, seen(page)
        assert before - 400 <= at <= before
    assert at < LINES - 1000
    numbers(page)


def test_any_place_is_a_click_away(page: Page, big_log: tuple[Node, str]) -> None:
    node, task_id = big_log
    console = Console(page, node)
    console.open_task(task_id)
    expect(console.line(f"line {LINES} of")).to_be_in_viewport()
    box = page.locator("#track").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + box["height"] / 2)
    page.mouse.down()
    expect(console.line(f"line {LINES} of")).to_have_count(0)
    page.mouse.up()
    wait_until(lambda: LINES * 0.4 < seen(page) < LINES * 0.6)
    numbers(page)
    page.keyboard.press("g")
    expect(console.line("line 1 of")).to_be_in_viewport()
    page.keyboard.press("Shift+G")
    expect(console.line(f"line {LINES} of")).to_be_in_viewport()


def test_a_line_in_the_middle_by_its_link(page: Page, big_log: tuple[Node, str]) -> None:
    node, task_id = big_log
    offset = (node.directory(task_id) / "output.log").read_bytes().index(b"line 2500000 of")
    console = Console(page, node)
    console.open_task(task_id, f"#at={offset}")
    expect(page.locator(".line.linked")).to_have_text("line 2500000 of a long log")
    expect(page.locator(".line.linked")).to_be_in_viewport()
    assert min(numbers(page)) < 2_500_000 < max(numbers(page))
