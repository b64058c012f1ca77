"""What machines say of their parameters agrees with what they accept."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from task_runner.lib import registry
from task_runner.lib.errors import ValidationError
from task_runner.lib.task import task_from_dict
from task_runner.service.machines import DIALECT, machine_views
from tests.conftest import ROOT

DOC = ROOT / "task_runner" / "doc"
TEXT = st.text(max_size=8)
LINES = st.sampled_from(["ECHO hi", "SLEEP 0", "sleep .5 # x", "LOG INFO a", "", "RETURN 3", "#"])
ECHO = st.lists(LINES | TEXT, max_size=4) | st.lists(LINES).map("\n".join) | TEXT
ENV = st.dictionaries(st.from_regex(r"[A-Za-z_]\w{0,3}") | TEXT, TEXT, max_size=2)
COMMAND = st.fixed_dictionaries(
    {},
    optional={
        "argv": st.lists(TEXT | st.just("ls"), max_size=3),
        "script": TEXT,
        "env": ENV,
        "stdin": TEXT,
    },
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)


def schema_of(name: str) -> Any:
    return next(view["schema"] for view in machine_views() if view["name"] == name)


def accepts(name: str, parameters: Any) -> bool:
    try:
        task_from_dict({"machine": name, "parameters": parameters})
    except ValidationError:
        return False
    return True


@pytest.fixture
def countdown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOC / "example_machine")
    monkeypatch.setitem(registry.MACHINES, "countdown", "countdown:Countdown")


@pytest.mark.usefixtures("countdown")
def test_every_machine_of_ours_is_described() -> None:
    views = machine_views()
    assert {"command", "countdown", "echo"} <= {view["name"] for view in views}
    for view in views:
        assert view["error"] is None, view
        assert view["description"].endswith("."), view
        assert view["schema"]["$schema"] == DIALECT
        Draft202012Validator.check_schema(view["schema"])


def samples() -> Iterator[Mapping[str, Any]]:
    for path in sorted(DOC.glob("sample_*.json")):
        yield json.loads(path.read_text())


@pytest.mark.parametrize("sample", [*samples()], ids=lambda sample: str(sample["machine"]))
def test_the_samples_fit(sample: Mapping[str, Any]) -> None:
    Draft202012Validator(schema_of(sample["machine"])).validate(sample["parameters"])


@pytest.mark.parametrize("name", ["command", "echo"])
def test_the_examples_of_a_schema_are_accepted(name: str) -> None:
    schema = schema_of(name)
    examples = [*schema.get("examples", ())]
    for key, inner in schema.get("properties", {}).items():
        examples += [{key: example} for example in inner.get("examples", ())]
    assert examples
    assert all(accepts(name, example) for example in examples)


@pytest.mark.parametrize(("name", "likely"), [("echo", ECHO), ("command", COMMAND)])
def test_what_a_machine_accepts_its_schema_accepts(
    name: str, likely: st.SearchStrategy[Any]
) -> None:
    validator = Draft202012Validator(schema_of(name))
    seen = {True: 0, False: 0}

    @given(likely | ANYTHING)
    def agrees(parameters: Any) -> None:
        accepted = accepts(name, parameters)
        seen[accepted] += 1
        if accepted:
            validator.validate(parameters)

    agrees()
    assert all(seen.values())


@pytest.mark.usefixtures("countdown")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("echo", [None, {}, 1, [1], ["a\nb"]]),
        ("command", [None, [], {}, {"argv": []}, {"argv": "ls"}, {"argv": [1]}, {"script": ""}]),
        ("command", [{"argv": ["a"], "script": "b"}, {"argv": ["a"], "x": 1}]),
        ("command", [{"argv": ["a"], "env": {"1": "b"}}, {"argv": ["a"], "stdin": 1}]),
        ("countdown", [None, {}, {"from": 0}, {"from": 1001}, {"from": "3"}, {"from": 1, "x": 1}]),
    ],
)
def test_a_wrong_shape_is_refused_by_both(name: str, wrong: list[Any]) -> None:
    validator = Draft202012Validator(schema_of(name))
    for parameters in wrong:
        assert not accepts(name, parameters)
        assert not validator.is_valid(parameters), parameters


class Bare:
    def validate(self, task: object) -> None:
        pass


class NoJson(Bare):
    """Say something odd."""

    def schema(self) -> Mapping[str, Any]:
        return {"default": object()}


def test_odd_machines_are_listed_with_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, target in {
        "a-gone": "no.such.module:Machine",
        "a-bare": f"{__name__}:Bare",
        "a-nojson": f"{__name__}:NoJson",
    }.items():
        monkeypatch.setitem(registry.MACHINES, name, target)
    views = {view["name"]: view for view in machine_views()}
    assert list(views) == sorted(views)
    assert views["a-bare"] == {"name": "a-bare", "description": None, "schema": None, "error": None}
    assert "no.such.module" in views["a-gone"]["error"]
    assert "not JSON" in views["a-nojson"]["error"]
    assert views["echo"]["schema"]
