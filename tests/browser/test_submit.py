"""Submitting, and what the node says of itself."""

import json
import re

from playwright.sync_api import Page, expect

from tests.browser.console import Console
from tests.node import Node


def test_a_task_from_the_form(console: Console) -> None:
    page = console.page
    console.open("submit")
    page.get_by_label("Program and arguments", exact=True).last.fill("echo\nit was submitted")
    page.get_by_text("More: name").click()
    expect(page.locator(".hint code", has_text="/v1/environments")).to_have_text("/v1/environments")
    page.get_by_label("Name", exact=True).fill("by hand")
    page.get_by_label("Labels", exact=True).fill("team=web\nempty=")
    page.get_by_label("Timeout", exact=True).fill("60")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#title")).to_have_text("by hand")
    expect(console.line("it was submitted")).to_be_visible()
    view = console.node.view(page.url.rpartition("/")[2])
    assert view["parameters"] == {"argv": ["echo", "it was submitted"]}
    assert view["labels"] == {"team": "web", "empty": ""}
    assert view["timeout"] == 60


def test_errors_are_beside_their_fields(console: Console) -> None:
    page = console.page
    console.open("submit")
    before = len(console.node.states())
    page.get_by_label("Machine", exact=True).select_option("echo")
    page.get_by_role("radio", name="Text").check()
    page.get_by_role("textbox", name="Text", exact=True).fill("ECHO fine\nLOG LOUD x")
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#parameters-part .error")).to_have_text(re.compile("line 2, column 5"))
    page.get_by_role("textbox", name="Text", exact=True).fill("ECHO fine")
    page.get_by_text("More: name").click()
    page.get_by_label("Timeout", exact=True).fill("-1")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_label("Timeout", exact=True)).to_be_focused()
    expect(page.get_by_label("Timeout", exact=True)).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Timeout", exact=True).fill("")
    page.get_by_role("button", name="Check").click()
    expect(page.locator("#said")).to_have_text("It would be accepted.")
    assert len(console.node.states()) == before


def test_form_and_json_are_the_same_task(console: Console) -> None:
    page = console.page
    console.open("submit")
    page.get_by_role("radio", name="Script").check()
    page.get_by_role("textbox", name="Script", exact=True).fill("exit 4")
    page.get_by_role("tab", name="JSON").click()
    task = json.loads(page.locator("#json-text").input_value())
    assert task == {"machine": "command", "parameters": {"script": "exit 4"}}
    page.locator("#json-text").fill('{"machine": "echo", "parameters": ["ECHO a", "SLEEP 0"]}')
    page.keyboard.press("Tab")
    page.get_by_role("tab", name="Form").click()
    expect(page.get_by_role("textbox", name="Lines", exact=True)).to_have_value("ECHO a\nSLEEP 0")
    page.get_by_role("tab", name="JSON").click()
    page.locator("#json-text").fill("{")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#said")).to_contain_text("not JSON")


def test_edit_and_rerun_keeps_what_is_secret(console: Console) -> None:
    page, node = console.page, console.node
    script = "echo token $TOKEN; echo $0 $1"
    parameters = {"argv": ["sh", "-c", script, "a", "b"]}
    task_id = node.submit("command", parameters, env={"TOKEN": "hunter2"}, name="first")
    node.result(task_id)
    console.open_task(task_id)
    page.get_by_role("link", name="Edit and rerun").click()
    expect(page.get_by_label("Env", exact=True)).to_have_value("TOKEN")
    assert "hunter2" not in page.content()
    page.get_by_label("Name", exact=True).fill("second")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#title")).to_have_text("second")
    expect(console.line("token hunter2")).to_be_visible()
    view = node.view(page.url.rpartition("/")[2])
    assert (view["rerunOf"], view["parameters"]) == (task_id, parameters)


def test_the_system(console: Console) -> None:
    console.open("system")
    expect(console.page.locator("#versions")).to_contain_text("Python")
    expect(console.page.locator("#machines")).to_contain_text("command")
    expect(console.page.locator("#environments")).to_contain_text("multiprocess")
    expect(console.page.locator("#isolations")).to_contain_text("sandbox")
    expect(console.page.locator("#disk")).to_contain_text(str(console.node.work_dir))


def test_a_node_that_is_gone_and_back(page: Page, node: Node) -> None:
    console = Console(page, node)
    console.open()
    expect(page.locator("#empty")).to_be_visible()
    node.kill()
    expect(page.locator("#banner")).to_be_visible()
    node.start()
    expect(page.locator("#banner")).to_be_hidden()
    task_id = node.submit("echo", ["ECHO x"])
    expect(console.row(task_id)).to_be_visible()
