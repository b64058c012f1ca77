"""The list of tasks."""

from playwright.sync_api import Page, expect

from tests.browser.console import Console
from tests.node import Node


def test_a_browser_is_sent_to_the_console_and_a_client_gets_json(page: Page, node: Node) -> None:
    page.goto(f"http://127.0.0.1:{node.port}/")
    expect(page).to_have_url(f"http://127.0.0.1:{node.port}/console/")
    expect(page.locator("#empty")).to_have_text("There is no task yet.")
    answer = node.http.get("/")
    assert answer.json()["name"] == "task_runner"
    assert answer.headers["vary"] == "Accept"


def test_rows_tell_how_each_task_is(console: Console) -> None:
    node, page = console.node, console.page
    failed = node.sh("exit 3", name="unit tests", labels={"team": "web"})
    crashed = node.sh("kill -SEGV $$")
    running = node.sh("sleep 600")
    node.result(failed), node.result(crashed)
    console.open()
    expect(console.row(failed).locator(".state")).to_have_text("failed")
    expect(console.row(failed).locator(".result")).to_have_text("exit code 3")
    expect(console.row(failed).locator(".task a")).to_have_text("unit tests")
    expect(console.row(failed).locator(".labels")).to_have_text("team=web")
    expect(console.row(crashed).locator(".result")).to_have_text("SIGSEGV")
    expect(console.row(running).locator(".state")).to_have_text("running")
    node.http.post(f"/v1/tasks/{running}/stop")
    expect(console.row(running).locator(".state")).to_have_text("canceled")
    expect(page.locator('.chip[data-state="running"] b')).to_have_text("0")


def test_new_tasks_are_announced_and_move_nothing(console: Console) -> None:
    node, page = console.node, console.page
    first = node.submit("echo", ["ECHO a"])
    console.open()
    console.row(first).hover()
    before = console.row(first).bounding_box()
    new = [node.submit("echo", ["ECHO b"]) for _ in range(3)]
    news = page.locator("#news")
    expect(news).to_have_text("3 new tasks ↑")
    assert page.locator("#rows tr").first.get_attribute("id") == f"task-{first}"
    after = console.row(first).bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] == before["x"]
    news.click()
    expect(page.locator("#rows tr").first).to_have_attribute("id", f"task-{new[-1]}")
    expect(news).to_be_hidden()


def test_filters_are_in_the_address(console: Console) -> None:
    node, page = console.node, console.page
    wanted = node.sh("exit 0", labels={"for": "filter", "n": "1"})
    other = node.submit("echo", ["ECHO x"], labels={"for": "filter", "n": "2"})
    node.result(wanted), node.result(other)
    console.open("?label=for%3Dfilter")
    expect(console.row(other)).to_be_visible()
    page.locator('input[name="machine"]').fill("command")
    page.keyboard.press("Enter")
    expect(console.row(other)).to_have_count(0)
    expect(console.row(wanted)).to_be_visible()
    assert "machine=command" in page.url
    page.reload()
    expect(console.row(wanted)).to_be_visible()
    expect(console.row(other)).to_have_count(0)
    page.locator('.chip[data-state="lost"]').click()
    expect(page.locator("#empty")).to_have_text("No task fits this filter.")
    page.go_back()
    expect(console.row(wanted)).to_be_visible()


def test_a_filter_that_is_wrong_is_told(console: Console) -> None:
    console.open("?state=flying")
    expect(console.page.locator("#empty")).to_contain_text("state")


def test_an_identifier_leads_to_its_task(console: Console) -> None:
    task_id = console.node.submit("echo", ["ECHO x"])
    console.open()
    console.page.keyboard.press("/")
    console.page.keyboard.type(task_id)
    console.page.keyboard.press("Enter")
    expect(console.page.locator("#title")).to_have_text(task_id)


def test_several_are_stopped_run_again_and_removed(console: Console) -> None:
    node, page = console.node, console.page
    tasks = [node.sh("sleep 600", labels={"for": "several"}) for _ in range(2)]
    over = node.submit("echo", ["ECHO x"], labels={"for": "several"})
    node.result(over)
    console.open("?label=for%3Dseveral")

    def do(verb: str, chosen: list[str]) -> None:
        for task_id in chosen:
            console.row(task_id).locator("input").check()
        expect(page.locator("#selected-count")).to_have_text(f"{len(chosen)} selected")
        page.locator(f'#selected [data-verb="{verb}"]').click()

    do("stop", tasks)
    page.get_by_role("button", name="Cancel").click()
    assert {node.view(one)["state"] for one in tasks} == {"running"}
    page.locator('#selected [data-verb="stop"]').click()
    page.locator("dialog[open] button.danger").click()
    expect(page.locator("dialog[open] li")).to_have_text(
        [f"{one}it is over: canceled" for one in tasks]
    )
    page.locator("dialog[open]").get_by_role("button", name="Close").click()
    expect(console.row(tasks[0]).locator(".state")).to_have_text("canceled")

    do("rerun", tasks)
    expect(page.locator("dialog[open] li").first).to_contain_text("runs again as")
    page.keyboard.press("Escape")
    expect(page.locator("#news")).to_have_text("2 new tasks ↑")
    page.locator("#news").click()

    again = page.locator("#rows tr").first
    again.locator("input").check()
    do_not = again.get_attribute("id")
    assert do_not is not None
    console.row(over).locator("input").check()
    page.locator('#selected [data-verb="remove"]').click()
    page.locator("dialog[open] button.danger").click()
    results = page.locator("dialog[open] li")
    expect(results.filter(has_text=over)).to_contain_text("removed")
    expect(results.filter(has_text=do_not.removeprefix("task-"))).to_contain_text("not over")
    page.keyboard.press("Escape")
    expect(console.row(over).locator(".state")).to_have_text("removed")


def test_older_tasks_come_when_asked_for(console: Console) -> None:
    node, page = console.node, console.page
    tasks = [node.submit("echo", [], labels={"for": "pages"}) for _ in range(105)]
    console.open("?label=for%3Dpages")
    expect(page.locator("#rows tr")).to_have_count(100)
    page.locator("#older").click()
    expect(page.locator("#rows tr")).to_have_count(105)
    expect(page.locator("#rows tr").last).to_have_attribute("id", f"task-{tasks[0]}")
    expect(page.locator("#count")).to_have_text("105 tasks shown, these are all")


def test_keys_alone(console: Console) -> None:
    node, page = console.node, console.page
    tasks = [node.submit("echo", ["ECHO x"], labels={"for": "keys"}) for _ in range(3)]
    console.open("?label=for%3Dkeys")
    expect(page.locator("#rows tr")).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("x")
    expect(page.locator("#rows tr.current")).to_have_attribute("id", f"task-{tasks[1]}")
    expect(page.locator("#selected-count")).to_have_text("1 selected")
    page.keyboard.press("Escape")
    expect(page.locator("#selected")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.locator("#title")).to_have_text(tasks[2])
