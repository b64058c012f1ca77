"""What is documented is there, and what is there is documented."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from task_runner.api.models import EXAMPLES, TaskRequest
from task_runner.api.star_app import create_app
from task_runner.api.tasks import MAX_PAGE, MAX_WAIT
from task_runner.lib import registry
from task_runner.lib.outcome import EXCEPTION_EXIT_CODE, STOP_EXIT_CODES, Outcome
from task_runner.lib.state import State
from task_runner.lib.task import (
    DEFAULT_GRACE_PERIOD,
    MAX_LABELS,
    MAX_NAME,
    MAX_PRIORITY,
    Task,
    task_from_dict,
)
from task_runner.service.index.index import EVENTS_KEPT
from task_runner.service.settings import Settings
from tests.node import ROOT

PACKAGE = ROOT / "task_runner"
DOC = PACKAGE / "doc"
INDEX, TASKS, ISOLATION = DOC / "index.md", DOC / "tasks.md", DOC / "isolation.md"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOC.glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

DEFAULTS_IN_WORDS = {"max_running": "no limit", "index_path": "`WORK_DIR/index.sqlite`"}
NOT_IN_THE_FILE = {"conf"}


def without_code(text: str) -> str:
    """Leave out what is between fences, where `#` begins no heading and `](` no link."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield path and anchor of every link that leads to no other site."""
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def table(page: Path, first_cell: str) -> list[list[str]]:
    """Return the rows of the table whose head begins with a cell."""
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {first_cell} |"):
            break
    assert set(next(lines)) <= set("|- ")
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" |")])
    assert rows, f"there is no table of {first_cell} in {page}"
    return rows


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in links(page):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page} links to {path}"
        assert target.is_relative_to(ROOT)
        if anchor:
            assert anchor in anchors(target), f"{page} links to {path}#{anchor}"


def test_links_are_found_at_all() -> None:
    assert ("task_runner/doc/index.md", "settings") in links(ROOT / "README.md")
    assert ("", "the-machine-echo") in links(TASKS)
    assert sum(len(list(links(page))) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_json_example_is_json(page: Path) -> None:
    for block in blocks(page, "json"):
        for line in [block] if "\n  " in block else block.splitlines():
            assert json.loads(line)


@pytest.fixture
def countdown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the machine of the example known, as installing it does."""
    declared = (DOC / "example_machine" / "pyproject.toml").read_text()
    assert 'countdown = "countdown:Countdown"' in declared
    monkeypatch.syspath_prepend(DOC / "example_machine")
    monkeypatch.setitem(registry.MACHINES, "countdown", "countdown:Countdown")


def task_examples() -> list[Any]:
    in_curl = re.search(r"-d '\s*(\{.*?\})'", INDEX.read_text(), re.DOTALL)
    assert in_curl is not None
    return [
        *map(json.loads, [*blocks(TASKS, "json"), *blocks(ISOLATION, "json")]),
        json.loads(in_curl[1]),
        *(json.loads(path.read_text()) for path in sorted(DOC.glob("*.json"))),
        *(example["value"] for example in EXAMPLES.values()),
    ]


@pytest.fixture
def background(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the isolation of the example known, as installing it does."""
    declared = (DOC / "example_isolation" / "pyproject.toml").read_text()
    assert 'background = "background:Background"' in declared
    monkeypatch.syspath_prepend(DOC / "example_isolation")
    monkeypatch.setitem(registry.ISOLATIONS, "background", "background:Background")


@pytest.mark.usefixtures("countdown", "background")
@pytest.mark.parametrize("example", task_examples())
def test_every_example_of_a_task_is_accepted(example: Mapping[str, Any]) -> None:
    TaskRequest.model_validate(example)
    task_from_dict(example)


def test_the_examples_are_found_at_all() -> None:
    machines = [example["machine"] for example in task_examples()]
    assert len(machines) >= 10
    assert set(machines) == {"echo", "command", "countdown"}


def test_every_setting_is_in_the_table_with_its_default() -> None:
    rows = {code(variable)[0]: (file, text) for variable, file, text in table(INDEX, "variable")}
    assert rows.keys() == {f"TASK_RUNNER_{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        file, text = rows[f"TASK_RUNNER_{name.upper()}"]
        assert code(file) == ([] if name in NOT_IN_THE_FILE else [name])
        default = field.get_default(call_default_factory=True)
        if default is None:
            assert DEFAULTS_IN_WORDS.get(name, "") in text
        elif isinstance(default, str):
            assert text.endswith(f"; `{default}`")
        else:
            # The default stands behind the last semicolon, and ends the sentence.
            said = text.rpartition("; ")[2].partition(". ")[0].strip("`")
            assert json.loads(said) == default


@pytest.fixture
def openapi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("TASK_RUNNER_WORK_DIR", str(tmp_path / "work"))
    monkeypatch.delenv("TASK_RUNNER_CONF", raising=False)
    return create_app().openapi()


def documented_calls() -> set[tuple[str, str]]:
    """Return verb and path of every call in the table; a path alone has the verb before it."""
    calls = set()
    for cell, *_ in table(INDEX, "call"):
        verb = ""
        for word in code(cell):
            *verbs, path = word.split()
            verb = verbs[0] if verbs else verb
            calls.add((verb, path))
    return calls


def test_every_route_is_documented_and_no_other(openapi: dict[str, Any]) -> None:
    routes = {
        (verb.upper(), path.replace("{task_id}", "{id}"))
        for path, verbs in openapi["paths"].items()
        for verb in verbs
    }
    assert documented_calls() == routes


def test_every_query_parameter_is_documented(openapi: dict[str, Any]) -> None:
    text = INDEX.read_text()
    names = {
        parameter["name"]
        for verbs in openapi["paths"].values()
        for operation in verbs.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    }
    assert {"wait", "follow", "cursor", "tail"} <= names
    undocumented = {name for name in names if not re.search(rf"`{name}\b", text)}
    assert undocumented == set()


def test_every_parameter_of_a_route_is_described(openapi: dict[str, Any]) -> None:
    for path, verbs in openapi["paths"].items():
        for operation in verbs.values():
            assert operation["description"], path


def test_numbers_of_the_api() -> None:
    text = " ".join(INDEX.read_text().split())
    assert f"at most {MAX_WAIT:.0f}" in text
    assert f"at most `limit` tasks ({MAX_PAGE}, which is also the default)" in text
    assert f"some {EVENTS_KEPT:,} are" in text


def test_the_fields_of_a_task() -> None:
    rows = {code(field)[0]: (value, default) for field, value, default in table(TASKS, "Field")}
    assert rows.keys() == TaskRequest.model_fields.keys()
    defaults = Task(None, "").to_dict()
    for name, (_, default) in rows.items():
        said = default.partition(":")[0].strip("`")
        if name == "machine":
            assert said == "required"
        elif isinstance(defaults[name], str):
            assert said == defaults[name]
        else:
            assert json.loads(said) == defaults[name], name
        field = TaskRequest.model_fields[name].get_default()
        assert name == "machine" or field == defaults[name]
    assert float(rows["gracePeriod"][1]) == DEFAULT_GRACE_PERIOD
    assert f"up to {MAX_NAME} characters" in rows["name"][0]
    assert f"up to {MAX_LABELS} strings" in rows["labels"][0]
    assert f"±{MAX_PRIORITY}" in rows["priority"][0]


def test_the_table_of_states() -> None:
    assert [code(state)[0] for state, _ in table(INDEX, "state")] == [*State]


@pytest.mark.parametrize(("page", "head"), [(INDEX, "outcome"), (TASKS, "Outcome")])
def test_the_tables_of_outcomes(page: Path, head: str) -> None:
    cells: dict[str, str] = {}
    for row in table(page, head):
        codes = row[1] if head == "outcome" else row[2]
        names = code(row[0])
        parts = codes.split(", ") if len(names) > 1 and ", " in codes else [codes] * len(names)
        cells.update(zip(names, parts, strict=True))
    assert cells.keys() == set(Outcome)
    for outcome in (Outcome.ERROR, Outcome.UNKNOWN):
        assert cells[outcome] == "null"
    numbers = {**STOP_EXIT_CODES, Outcome.EXCEPTION: EXCEPTION_EXIT_CODE}
    assert {name: int(cells[name]) for name in numbers} == numbers


def named_paths(page: Path) -> set[str]:
    """Return what looks like a path of this repository, in code and between fences."""
    text = page.read_text()
    words = {word for span in code(without_code(text)) for word in span.split()}
    words |= {word.strip(",;") for block in blocks(page, "sh") for word in block.split()}
    return {
        word
        for word in words
        if re.fullmatch(r"[\w./-]+", word)
        and (word.endswith((".py", ".md", ".sql", ".toml")) or re.fullmatch(r"(\w+/)+", word))
    }


@pytest.mark.parametrize(
    "page", [ROOT / "CONTRIBUTING.md", DOC / "design.md"], ids=["CONTRIBUTING.md", "design.md"]
)
def test_named_paths_exist(page: Path) -> None:
    found = named_paths(page)
    assert len(found) >= 5
    # `lib/state.py` is short for the one of the package; a task has `files/` of its own.
    places = [ROOT, PACKAGE, PACKAGE / "service"]
    missing = {
        name for name in found - {"files/"} if not any((place / name).exists() for place in places)
    }
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_target_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= targets


def test_every_folder_is_in_the_map_of_contributing() -> None:
    rows = {name for cell, _ in table(ROOT / "CONTRIBUTING.md", "folder") for name in code(cell)}
    for name in rows:
        assert (ROOT / name).is_dir(), name
    packages = {f"task_runner/{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert packages <= rows
