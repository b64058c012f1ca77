"""Every screen, wide and narrow, light and dark: no violation of WCAG, nothing cut off."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.console import Console, Problems
from tests.node import Node

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# Colours depend on the theme, places on the width: two looks show both of each.
LOOKS: list[tuple[Literal["light", "dark"], ViewportSize]] = [
    ("light", ViewportSize(width=1280, height=800)),
    ("dark", ViewportSize(width=360, height=740)),
]
COLOURS = "".join(
    f"\x1b[{code}m colour {code} \x1b[0m" for code in (*range(30, 38), *range(90, 98))
)
WRITTEN = [
    "LOG DEBUG looking around",
    "LOG INFO warming up",
    "ECHO plain words",
    f"ECHO {COLOURS}",
    "ECHO \x1b[38;5;208morange\x1b[0m \x1b[38;2;90;20;140mviolet\x1b[0m \x1b[41mon red\x1b[0m",
    "LOG WARNING careful: the disk is 91 % full",
    "LOG ERROR the printer does not answer",
    "RETURN 1",
]


class Looks:
    """Looks at a page: by axe-core, by its width, and for those who want to see it."""

    def __init__(self, page: Page, folder: Path, suffix: str) -> None:
        self.page = page
        self.folder = folder
        self.suffix = suffix

    def at(self, name: str) -> None:
        self.page.screenshot(path=self.folder / f"{name}-{self.suffix}.png", animations="disabled")
        found = Axe().run(self.page, options=RULES)
        assert found.violations_count == 0, found.generate_report()
        width = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert width <= 0, f"{name} is {width} pixels too wide"


@pytest.fixture(params=LOOKS, ids=lambda look: f"{look[0]}-{look[1]['width']}")
def looks(request: pytest.FixtureRequest, browser: Browser, screenshots: Path) -> Iterator[Looks]:
    scheme, size = request.param
    context = browser.new_context(color_scheme=scheme, viewport=size)
    page = context.new_page()
    problems = Problems(page)
    yield Looks(page, screenshots, f"{scheme}-{size['width']}")
    problems.check()
    context.close()


@pytest.fixture(scope="module")
def tasks(node_for_all: Node) -> dict[str, str]:
    node = node_for_all
    tasks = {
        "written": node.submit("echo", WRITTEN, name="levels and colours", labels={"team": "web"}),
        "crashed": node.sh("kill -SEGV $$", name="parser", labels={"team": "compilers"}),
        "missing": node.submit("command", {"argv": ["no-such-program"]}, name="typo"),
        "running": node.sh("echo '{\"progress\": 0.4}' >&$TASK_RUNNER_STATUS_FD; sleep 600"),
        "files": node.sh("mkdir d; echo x > d/report.txt; seq 100000 > numbers", env={"A": "b"}),
    }
    for name in set(tasks) - {"running"}:
        node.result(tasks[name])
    return tasks


def test_tasks(looks: Looks, node_for_all: Node, tasks: dict[str, str]) -> None:
    console = Console(looks.page, node_for_all)
    console.open()
    expect(console.row(tasks["running"])).to_be_visible()
    expect(looks.page.locator('.chip[data-state="running"] b')).to_have_text("1")
    looks.at("tasks")
    console.row(tasks["crashed"]).locator("input").check()
    looks.at("tasks-selected")
    looks.page.locator('#selected [data-verb="remove"]').click()
    looks.at("tasks-remove")
    looks.page.keyboard.press("Escape")
    looks.page.keyboard.press("Escape")
    looks.page.keyboard.press("?")
    looks.at("tasks-keys")
    console.open("?label=nothing")
    expect(looks.page.locator("#empty")).to_be_visible()
    looks.at("tasks-none")


def test_task(looks: Looks, node_for_all: Node, tasks: dict[str, str]) -> None:
    console, page = Console(looks.page, node_for_all), looks.page
    console.open_task(tasks["written"])
    expect(console.lines()).to_have_count(len(WRITTEN) - 1)
    console.expect_state("failed")
    page.keyboard.press("t")
    looks.at("log")
    console.open_task(tasks["running"])
    expect(page.locator("#progress")).to_be_visible()
    looks.at("running")
    console.open_task(tasks["missing"])
    console.expect_state("error")
    looks.at("error")
    page.locator("#copy").click()
    looks.at("copy")
    for tab in ("details", "events", "files"):
        console.open_task(tasks["files"], f"?tab={tab}")
        console.expect_state("succeeded")
        expect(page.locator(f"#{tab} .sheet")).to_be_visible()
        looks.at(tab)


def test_submit(looks: Looks, node_for_all: Node) -> None:
    console, page = Console(looks.page, node_for_all), looks.page
    console.open("submit")
    expect(page.get_by_role("radio", name="Script")).to_be_visible()
    looks.at("submit")
    page.get_by_text("More: name").click()
    page.get_by_label("Timeout", exact=True).fill("-1")
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_label("Timeout", exact=True)).to_be_focused()
    looks.at("submit-errors")
    page.get_by_label("Timeout", exact=True).fill("")
    page.get_by_role("tab", name="JSON").click()
    looks.at("submit-json")


def test_system(looks: Looks, node_for_all: Node) -> None:
    Console(looks.page, node_for_all).open("system")
    expect(looks.page.locator("#machines")).to_contain_text("command")
    looks.at("system")


def test_the_theme_can_be_chosen(looks: Looks, node_for_all: Node) -> None:
    console, page = Console(looks.page, node_for_all), looks.page
    console.open()
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.locator("#theme").click()
    assert page.evaluate(colour) != before
    chosen = page.evaluate(colour)
    page.reload()
    assert page.evaluate(colour) == chosen
