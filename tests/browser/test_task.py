"""A task and its log."""

import re
from itertools import count
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.console import Console
from tests.node import Node
from tests.waiting import wait_until

ENDINGS = [
    ("exit 0", {}, "succeeded", "It ended by itself, with exit code 0."),
    ("exit 7", {}, "failed", "It ended by itself, with exit code 7."),
    ("kill -9 $$", {}, "crashed", "It was killed by SIGKILL, which nobody here had sent."),
    ("sleep 60", {"timeout": 0.2}, "timeout", "It had run for the 0.2 s it was given"),
]


# Wheels scroll smoothly: whether the log has come to rest.
STANDS = """() => new Promise((resolve) => {
    const top = lines.scrollTop;
    setTimeout(() => resolve(lines.scrollTop === top), 200);
})"""


@pytest.mark.parametrize(("script", "fields", "state", "why"), ENDINGS)
def test_state_and_why(
    console: Console, script: str, fields: dict[str, float], state: str, why: str
) -> None:
    console.open_task(console.node.sh(script, **fields))
    console.expect_state(state)
    expect(console.page.locator("#why")).to_contain_text(why)


def test_a_task_that_is_not_there(console: Console) -> None:
    console.open_task("nothing")
    console.expect_state("not found")
    expect(console.page.locator("#why")).to_contain_text("there is no task")


def test_what_could_not_be_started(console: Console) -> None:
    console.open_task(console.node.submit("command", {"argv": ["no-such-program"]}))
    console.expect_state("error")
    expect(console.page.locator("#why")).to_contain_text("no-such-program")


def test_a_live_log(console: Console) -> None:
    task_id = console.node.sh("until test -e go; do sleep 0.05; done; echo went; sleep 600")
    console.open_task(task_id)
    expect(console.page.locator("#log-state")).to_contain_text("live")
    (console.node.directory(task_id) / "files" / "go").touch()
    expect(console.line("went")).to_be_visible()
    console.expect_state("running")


def test_progress(console: Console) -> None:
    script = "echo '{\"progress\": 0.25}' >&$TASK_RUNNER_STATUS_FD; sleep 600"
    console.open_task(console.node.sh(script))
    expect(console.page.locator("#progress")).to_have_js_property("value", 0.25)


def test_stop_and_rerun(console: Console) -> None:
    page = console.page
    task_id = console.node.sh("echo hello; sleep 600", name="sleeper")
    console.open_task(task_id)
    console.expect_state("running")
    page.locator('#actions [data-verb="stop"]').click()
    page.locator("dialog[open] button.danger").click()
    console.expect_state("canceled")
    expect(page.locator("#why")).to_contain_text("It was stopped on request")
    page.locator('#actions [data-verb="rerun"]').click()
    expect(page).not_to_have_url(f"{console.url}tasks/{task_id}")
    console.expect_state("running")
    expect(console.line("hello")).to_be_visible()
    expect(page.locator("#title")).to_have_text("sleeper")


def test_removed_while_it_is_looked_at(console: Console) -> None:
    task_id = console.node.submit("echo", ["ECHO x"])
    console.node.result(task_id)
    console.open_task(task_id)
    console.expect_state("succeeded")
    console.node.http.delete(f"/v1/tasks/{task_id}")
    console.expect_state("removed")


def test_the_tabs(console: Console) -> None:
    page = console.page
    task_id = console.node.sh("exit 3", env={"TOKEN": "hunter2"}, labels={"a": "b"})
    console.node.result(task_id)
    console.open_task(task_id)
    page.get_by_role("tab", name="Details").click()
    expect(page.locator("#details")).to_contain_text("exit 3")
    expect(page.locator("#details")).to_contain_text("TOKEN")
    assert "hunter2" not in page.content()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#events tbody tr").last).to_contain_text("failed exit code 3")
    page.reload()
    expect(page.locator("#events tbody tr").last).to_contain_text("failed exit code 3")


def test_more_files_than_are_shown(console: Console) -> None:
    task_id = console.node.sh("seq 1001 | xargs touch")
    console.node.result(task_id)
    console.open_task(task_id, "?tab=files")
    expect(console.page.locator("#files tbody tr")).to_have_count(1000)
    expect(console.page.locator("#files .foot")).to_contain_text("These are the first 1000")


def test_copy_as_a_command(console: Console) -> None:
    page = console.page
    task_id = console.node.sh("echo it\\'s", env={"TOKEN": "hunter2"})
    console.open_task(task_id)
    page.locator("#copy").click()
    command = page.locator("dialog[open] pre").first.inner_text()
    assert command.startswith(f"curl -s http://127.0.0.1:{console.node.port}/v1/tasks -H ")
    assert '"TOKEN":"…"' in command
    expect(page.locator("dialog[open]")).to_contain_text("fill in each …")


def test_colours_levels_and_times(console: Console) -> None:
    page = console.page
    task_id = console.node.submit(
        "echo", ["LOG INFO quiet", "LOG ERROR loud", "ECHO \x1b[1;31mred"]
    )
    console.node.result(task_id)
    console.open_task(task_id)
    expect(console.lines()).to_have_count(3)
    expect(page.locator("#lines .f1.bold")).to_have_text("red")
    expect(console.line("loud")).to_have_class("line ERROR")
    page.keyboard.press("t")
    assert page.evaluate("getComputedStyle(document.querySelector('.line a'),'::before').content")
    page.locator("#level").select_option("ERROR")
    expect(console.lines()).to_have_count(2)
    expect(page.locator("#log-state")).to_have_text("2 lines found")


def test_reading_above_the_end_is_not_disturbed(console: Console) -> None:
    page = console.page
    task_id = console.node.sh(
        "seq -f 'line %.0f' 500; until test -e go; do sleep 0.05; done;"
        "seq -f 'new %.0f' 40; sleep 600"
    )
    console.open_task(task_id)
    expect(console.line("line 500")).to_be_visible()
    page.locator("#lines").hover()
    page.mouse.wheel(0, -600)
    expect(page.locator("#new-lines")).to_be_visible()
    wait_until(lambda: page.evaluate(STANDS))
    before = page.evaluate("lines.scrollTop")
    (console.node.directory(task_id) / "files" / "go").touch()
    expect(page.locator("#new-lines")).to_have_text("40 new lines ↓")
    assert page.evaluate("lines.scrollTop") == before
    page.locator("#new-lines").click()
    expect(console.line("new 40")).to_be_in_viewport()
    expect(page.locator("#new-lines")).to_be_hidden()


def test_a_link_to_a_line(console: Console) -> None:
    page = console.page
    task_id = console.node.sh("seq -f 'line %.0f' 20000")
    console.node.result(task_id)
    log = console.node.log_of(task_id)
    console.open_task(task_id, f"#at={log.index(b'line 9000')}")
    expect(page.locator(".line.linked")).to_contain_text("line 9000")
    expect(page.locator(".line.linked")).to_be_in_viewport()
    expect(console.line("line 9001").first).to_be_in_viewport()
    page.keyboard.press("g")
    expect(console.line("line 1").first).to_be_in_viewport()
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{console.url}tasks/{task_id}#at=7")


def test_a_restart_of_the_service(page: Page, node: Node) -> None:
    console = Console(page, node)
    script = "n=0; while test ! -e stop; do n=$((n+1)); echo line $n end; sleep 0.02; done"
    task_id = node.sh(script)
    console.open_task(task_id)
    expect(console.line("line 10 end")).to_be_visible()
    node.kill()
    expect(page.locator("#banner")).to_be_visible()
    wait_until(lambda: "line 100 end" in node.output(task_id))
    node.start()
    expect(page.locator("#banner")).to_be_hidden()
    expect(console.line("line 100 end")).to_have_count(1)
    (node.directory(task_id) / "files" / "stop").touch()
    console.expect_state("succeeded")
    wanted = node.output(task_id).splitlines()
    expect(console.line(wanted[-1])).to_be_visible()
    assert console.lines().all_inner_texts() == wanted


def test_a_log_whose_opening_is_cut_off_is_followed_once(console: Console) -> None:
    page = console.page
    task_id = console.node.sh(
        "seq -f 'line %.0f' 500; until test -e go; do sleep 0.05; done;"
        "seq -f 'new %.0f' 40; sleep 600"
    )
    wait_until(lambda: "line 500\n" in console.node.output(task_id))
    reads, streams = count(1), list[Request]()

    def cut_off(route: Route) -> None:
        if next(reads) == 2:  # the first one looks where the last line ends
            route.abort()
        else:
            route.continue_()

    def begun(request: Request) -> None:
        if "/log?" in request.url and "follow=true" in request.url:
            streams.append(request)

    page.route("**/log?*before=*", cut_off)
    page.on("request", begun)
    console.open_task(task_id, "#at=0")
    expect(console.line("line 1").first).to_be_in_viewport()
    expect(page.locator("#banner")).to_be_hidden()
    (console.node.directory(task_id) / "files" / "go").touch()
    expect(page.locator("#new-lines")).to_have_text("40 new lines ↓")
    assert [stream.failure for stream in streams].count(None) == 1
    page.locator("#new-lines").click()
    expect(console.line("new 40")).to_be_in_viewport()
    assert console.lines().all_inner_texts() == console.node.output(task_id).splitlines()


def test_every_line_once_at_high_speed(console: Console, tmp_path: Path) -> None:
    page = console.page
    task_id = console.node.sh("until test -e go; do sleep 0.05; done; seq 300000; sleep 600")
    console.open_task(task_id)
    expect(page.locator("#log-state")).to_contain_text("live")
    (console.node.directory(task_id) / "files" / "go").touch()
    expect(console.line("300000")).to_be_visible()
    numbers = [int(text) for text in console.lines().all_inner_texts()]
    assert numbers == list(range(numbers[0], 300001))
    assert len(numbers) < 10000


def test_older_lines_that_come_late_are_not_put_before_newer_ones(console: Console) -> None:
    page = console.page
    # Five lines that are long and look short: more of them have to be loaded at once.
    long = "head -c 30000 /dev/zero | tr '\\0' '\\r'"
    task_id = console.node.sh(
        f"for n in -4 -3 -2 -1 0; do {long}; echo $n; done; until test -e go; do sleep 0.05; done;"
        "seq 100000; sleep 600"
    )
    wait_until(lambda: console.node.output(task_id).endswith("0\n"))
    reads, held = count(1), list[Route]()

    def hold_back(route: Route) -> None:
        if next(reads) == 3:  # the first two open the log at its end
            held.append(route)
        else:
            route.continue_()

    page.route("**/log?*before=*", hold_back)
    console.open_task(task_id)
    expect(page.locator("#log-state")).to_contain_text("live")
    wait_until(lambda: page.evaluate("true") and held)
    (console.node.directory(task_id) / "files" / "go").touch()
    expect(console.line("100000")).to_be_visible()
    held[0].continue_()
    page.locator("#lines").hover()
    page.mouse.wheel(0, -100000)
    expect(console.line("99000").first).to_be_attached()
    numbers = [int(text) for text in console.lines().all_inner_texts()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_search_over_the_whole_log(console: Console) -> None:
    page = console.page
    task_id = console.node.sh("seq -f 'line %.0f' 200000; echo '[Needle] here'; seq 3000")
    console.node.result(task_id)
    log = console.node.log_of(task_id)
    console.open_task(task_id)
    expect(console.line("3000")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("[needle]")
    page.keyboard.press("Enter")
    expect(page.locator("#log-state")).to_have_text("1 line found")
    expect(page.locator("mark")).to_have_text("[Needle]")
    page.locator(".line a").click()
    expect(page.locator(".line.linked")).to_have_text("[Needle] here")
    expect(console.line("line 200000")).to_be_in_viewport()
    expect(page).to_have_url(f"{console.url}tasks/{task_id}#at={log.index(b'[Needle')}")
    page.locator("#pattern").click()
    page.locator("#find").fill("^line 1[0-9]{5}$")
    page.keyboard.press("Enter")
    expect(page.locator("#log-state")).to_contain_text("found so far")
    expect(console.line("line 199999")).to_be_visible()
    page.locator("#find").fill("(")
    page.keyboard.press("Enter")
    expect(page.locator("#log-state")).to_contain_text("grep")


def test_what_is_found_is_marked_whatever_stands_before_it(console: Console) -> None:
    task_id = console.node.sh("echo 'İİİİİİ needle'")
    console.node.result(task_id)
    console.open_task(task_id)
    console.page.locator("#find").fill("NEEDLE")
    console.page.keyboard.press("Enter")
    expect(console.page.locator("mark")).to_have_text("needle")


def test_a_search_goes_on_live(console: Console) -> None:
    page = console.page
    script = "echo one A; until test -e go; do sleep 0.05; done; echo two; echo three A; sleep 600"
    task_id = console.node.sh(script)
    console.open_task(task_id)
    page.locator("#find").fill("A")
    page.keyboard.press("Enter")
    expect(console.lines()).to_have_text(["one A"])
    (console.node.directory(task_id) / "files" / "go").touch()
    expect(console.lines()).to_have_text(["one A", "three A"])


def test_standard_error_apart(console: Console) -> None:
    task_id = console.node.sh("echo output; echo err >&2", stderr="separate")
    console.node.result(task_id)
    console.open_task(task_id)
    expect(console.lines()).to_have_text(["output"])
    expect(console.page.locator("#log-state")).to_have_text("7 B")
    console.page.locator("#stream").select_option("stderr")
    expect(console.lines()).to_have_text(["err"])
    expect(console.page.locator("#log-state")).to_have_text("4 B")
    expect(console.page.locator("#raw")).to_have_attribute("href", re.compile("stream=stderr"))


def test_what_a_log_does_not_keep_is_told(console: Console) -> None:
    script = "yes | head -c 200000; echo err >&2"
    task_id = console.node.sh(script, maxOutput=1024, stderr="separate")
    console.node.result(task_id)
    console.open_task(task_id, "?tab=details")
    details = console.page.locator("#details")
    expect(details).to_contain_text("Output65 KiB; 130 KiB more were dropped")
    expect(details).to_contain_text("Output of standard error4 B")
    expect(details).to_contain_text("Most output1.0 KiB")
