"""Seven tabs and six connections."""

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.console import Console, Problems
from tests.node import Node

LOOP = "n=0; while :; do n=$((n+1)); echo line $n end; sleep 0.2; done"


def test_seven_tabs_are_all_live(context: BrowserContext, node: Node) -> None:
    tasks = [node.sh(LOOP) for _ in range(7)]
    pages = [context.new_page() for _ in tasks]
    problems = [Problems(page) for page in pages]
    for page, task_id in zip(pages, tasks, strict=True):
        Console(page, node).open_task(task_id)
    for page in pages:
        expect(page.locator("#lines .line").last).to_be_visible()
    last = [_last_line(page) for page in pages]
    for page, text in zip(pages, last, strict=True):  # each goes on while all the others do
        expect(page.locator("#lines .line").last).not_to_have_text(text)
    for page, task_id in zip(pages, tasks, strict=True):  # calls get through, events too
        node.http.post(f"/v1/tasks/{task_id}/stop")
        expect(page.locator("#state")).to_have_text("canceled")
        expect(page.locator("#log-state")).not_to_contain_text("live")
        expect(page.locator("#banner")).to_be_hidden()
    for page, task_id in zip(pages, tasks, strict=True):
        expect(page.locator("#lines .line")).to_have_text(node.output(task_id).splitlines())
    for problem in problems:
        problem.check()


def _last_line(page: Page) -> str:
    return page.locator("#lines .line").last.inner_text()


def test_the_tab_that_reads_the_events_is_closed(context: BrowserContext, node: Node) -> None:
    first, second = context.new_page(), context.new_page()
    for page in (first, second):
        Console(page, node).open()
        expect(page.locator("#empty")).to_be_visible()
    a = node.submit("echo", ["ECHO a"])
    for page in (first, second):
        expect(page.locator(f"#task-{a}")).to_be_visible()
    first.close()
    node.submit("echo", ["ECHO b"])
    expect(second.locator("#news")).to_have_text("1 new task ↑")
