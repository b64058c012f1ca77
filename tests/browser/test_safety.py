"""What a page of another site can do to a node: nothing."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.console import Console
from tests.node import Node

# What a page can try: plain and with credentials, with and without a preflight, forms, frames.
ATTACK = """async (url) => {
    const task = '{"machine":"echo","parameters":["ECHO attacked"]}';
    const tried = [];
    const attempt = async (name, work) => {
        try { tried.push([name, await work()]); } catch (error) { tried.push([name, "blocked"]); }
    };
    for (const mode of ["cors", "no-cors"]) {
        const post = (path, type, body) => () =>
            fetch(url + path, {method: "POST", mode, body, headers: type && {"Content-Type": type}})
                .then((answer) => answer.text());
        await attempt(`read ${mode}`, () => fetch(url + "/v1/tasks", {mode}).then((a) => a.text()));
        await attempt(`json ${mode}`, post("/v1/tasks", "application/json", task));
        await attempt(`text ${mode}`, post("/v1/tasks", "text/plain", task));
        await attempt(`none ${mode}`, post("/v1/tasks", null, task));
        await attempt(`stop ${mode}`, post("/v1/tasks/victim/stop", null, ""));
        await attempt(`rerun ${mode}`, post("/v1/tasks/victim/rerun", null, ""));
    }
    const element = (name, properties) => new Promise((resolve) => {
        const made = Object.assign(document.createElement(name), properties);
        made.onload = () => resolve("loaded");
        made.onerror = () => resolve("blocked");
        document.body.append(made);
    });
    tried.push(["script", await element("script", {src: url + "/console/static/api.js"})]);
    tried.push(["image", await element("img", {src: url + "/console/static/icon.svg"})]);
    const frame = document.createElement("iframe");
    frame.name = "target";
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, {
        method: "POST",
        target: "target",
        enctype: "text/plain",
        action: url + "/v1/tasks/victim/stop",
    });
    document.body.append(form);
    await new Promise((resolve) => { frame.onload = resolve; form.submit(); });
    return tried;
}"""


class Site(BaseHTTPRequestHandler):
    """A page of another site."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title><body></body>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def foreign_port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


# The same name on another port; another name of this machine; another site.
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "evil.example"])
def test_a_page_of_another_site_can_do_nothing(
    context: BrowserContext, node: Node, foreign_port: int, host: str
) -> None:
    node.submit("command", {"argv": ["sleep", "600"]}, taskId="victim")
    page = context.new_page()
    page.route("http://evil.example*/", lambda route: route.fulfill(body="<title>evil</title>"))
    page.goto(f"http://{host}:{foreign_port}/")
    tried = page.evaluate(ATTACK, f"http://127.0.0.1:{node.port}")
    assert len(tried) == 14
    for name, result in tried:
        assert result in {"blocked", ""}, name  # of an opaque answer, nothing can be read
    assert node.states() == {"victim": "running"}


def test_a_link_from_another_site_opens_the_console(
    page: Page, node: Node, foreign_port: int
) -> None:
    page.goto(f"http://localhost:{foreign_port}/")
    page.evaluate("url => { location.href = url; }", f"http://127.0.0.1:{node.port}/console/")
    expect(page.locator("#empty")).to_be_visible()


def test_pages_run_no_foreign_script_and_stand_in_no_frame(console: Console) -> None:
    answer = console.node.http.get("/console/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "<script>" not in answer.text
    assert " on" not in answer.text.replace(" once", "").replace(" only", "")


def test_what_tasks_say_is_never_markup(console: Console) -> None:
    """A name, a label, a line, an error, a file: whatever it holds, it is shown as it is."""
    page, node = console.page, console.node
    evil = "<img src=x onerror=alert(1)><script>alert(2)</script>"
    script = f"echo '{evil}'; echo x > '<b>file<b>'; exit 1"
    task_id = node.sh(script, name=evil, labels={"evil": evil})
    node.result(task_id)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    console.open()
    expect(console.row(task_id).locator(".task a")).to_have_text(evil)
    console.open_task(task_id)
    expect(page.locator("#title")).to_have_text(evil)
    expect(console.lines().first).to_contain_text(evil)
    for tab in ("Details", "Events", "Files"):
        page.get_by_role("tab", name=tab).click()
    expect(page.locator("#files")).to_contain_text("<b>file<b>")
    assert page.locator("main img").count() == 0
