"""Takes the pictures of the documentation again: `make pictures`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.browser.conftest import CHROMIUM, FLAGS
from tests.browser.console import Console
from tests.node import ROOT, Node, running_node
from tests.task_processes import kill_all_of

FOLDER = ROOT / "task_runner" / "doc" / "img"
WIDE, NARROW = ViewportSize(width=1080, height=540), ViewportSize(width=360, height=640)
BUILD = r"""
for file in tool list words main; do
    printf '\033[36mcc\033[0m -O2 -Wall -c %s.c\n' $file
    sleep 0.1
done
printf 'list.c:31:7: \033[1;35mwarning:\033[0m unused variable \033[1mlast\033[0m\n'
printf '\033[36mld\033[0m -o words tool.o list.o words.o main.o\n'
for n in $(seq 24); do printf '\033[32mok\033[0m %2s - words of file %s\n' $n $n; done
printf '\033[1;32m24 tests passed\033[0m\n'
sleep 600
"""
MEASURE = [
    "LOG INFO the sensor is found, 4 channels",
    "LOG WARNING channel 3 answers late: 212 ms",
    "LOG ERROR channel 3 does not answer",
    "RETURN 3",
]


def submit_all(node: Node) -> str:
    """Submit what is seen in the pictures; return the one whose log is."""
    node.submit("echo", MEASURE, name="read the sensors", labels={"site": "roof"})
    node.sh("kill -SEGV $$", name="convert video", labels={"team": "media"})
    node.sh("sleep 0.4", name="nightly backup", labels={"team": "ops", "host": "n1"})
    node.submit("command", {"argv": ["rsnc", "-a"]}, name="copy to archive", labels={"team": "ops"})
    node.sh("sleep 600", timeout=0.3, name="wait for the lock", labels={"team": "ops"})
    for number in range(3):
        node.submit("echo", ["ECHO tile"], name=f"render tile {number}", labels={"team": "maps"})
    node.sh("sleep 600", name="import photos", labels={"team": "media"})
    task_id = node.submit("command", {"script": BUILD}, name="build words", labels={"team": "web"})
    for state in node.states():
        if node.view(state)["name"] not in {"import photos", "build words"}:
            node.result(state)
    return task_id


@contextmanager
def picture(
    browser: Browser, name: str, scheme: Literal["light", "dark"], size: ViewportSize
) -> Iterator[Page]:
    page = browser.new_page(color_scheme=scheme, viewport=size)
    yield page
    page.screenshot(path=FOLDER / f"console-{name}.png", animations="disabled")
    page.close()


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="pictures-") as work_dir,
        running_node(Path(work_dir, "work")) as node,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        take(browser, node, submit_all(node))
        browser.close()
        kill_all_of(Path(work_dir))


def take(browser: Browser, node: Node, task_id: str) -> None:
    with picture(browser, "tasks", "light", WIDE) as page:
        Console(page, node).open()
        expect(page.locator("#rows tr")).to_have_count(10)
    with picture(browser, "log", "dark", WIDE) as page:
        console = Console(page, node)
        console.open_task(task_id)
        expect(console.line("24 tests passed")).to_be_visible()
        page.keyboard.press("t")
    with picture(browser, "submit", "light", WIDE) as page:
        Console(page, node).open("submit")
        page.get_by_role("radio", name="Script").check()
        page.get_by_role("textbox", name="Script", exact=True).fill("set -e\nmake -C words check\n")
        page.get_by_role("button", name="Check").click()
        expect(page.locator("#said")).to_have_text("It would be accepted.")
        page.evaluate("scrollTo(0, 0)")
    with picture(browser, "narrow", "dark", NARROW) as page:
        Console(page, node).open()
        expect(page.locator("#rows tr")).to_have_count(10)


if __name__ == "__main__":
    main()
