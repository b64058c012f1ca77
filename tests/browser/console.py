"""The console as a test uses it."""

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, expect

from tests.node import Node

NETWORK = "Failed to load resource"
"""What Chromium itself writes of an answer that is an error; the page has to deal with it."""


class Problems:
    """What went wrong in a page: exceptions, errors, violations of its security policy."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        page.on("pageerror", self._exception)
        page.on("console", self._message)

    def _exception(self, error: Error) -> None:
        self.found.append(f"{error} {error.stack}")

    def _message(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(NETWORK):
            self.found.append(message.text)

    def check(self) -> None:
        assert self.found == []


class Console:
    def __init__(self, page: Page, node: Node) -> None:
        self.page = page
        self.node = node
        self.url = f"http://127.0.0.1:{node.port}/console/"

    def open(self, path: str = "") -> None:
        self.page.goto(self.url + path)

    def open_task(self, task_id: str, rest: str = "") -> None:
        self.open(f"tasks/{task_id}{rest}")

    def row(self, task_id: str) -> Locator:
        return self.page.locator(f"#task-{task_id}")

    def lines(self) -> Locator:
        return self.page.locator("#lines .line")

    def line(self, text: str) -> Locator:
        return self.lines().filter(has_text=text)

    def expect_state(self, text: str) -> None:
        expect(self.page.locator("#state")).to_have_text(text)
