import json
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from task_runner.service.settings import DEFAULT_WORK_DIR, Settings, load

# Of each setting: the variable, its text, the value in the file, and what comes out of both.
VALUES: list[tuple[str, str, Any]] = [
    ("work_dir", "/srv/tasks", "/srv/tasks"),
    ("index_path", "/srv/index", "/srv/index"),
    ("environment", "slurm", "slurm"),
    ("environments", '{"slurm": {"settle": 5}}', {"slurm": {"settle": 5}}),
    ("max_running", "3", 3),
    ("max_output", "0", 0),
    ("min_free_bytes", "0", 0),
    ("allowed_read_only", '["/srv", "/opt"]', ["/srv", "/opt"]),
    ("allowed_writable", '["/scratch"]', ["/scratch"]),
    ("retain_seconds", "0.5", 0.5),
    ("retain_count", "0", 0),
    ("retain_bytes", "0", 0),
    ("task_defaults", '{"isolation": "sandbox"}', {"isolation": "sandbox"}),
    ("container_command", '["podman", "--runtime", "runc"]', ["podman", "--runtime", "runc"]),
    ("allow_remote_clients", "true", True),
    ("host_names", '["a.example", "b.example"]', ["a.example", "b.example"]),
    ("max_body_bytes", "2048", 2048),
    ("fault_points", "/srv/plans", "/srv/plans"),
    ("logging", '{"version": 1}', {"version": 1}),
    ("request_authorization", "anything", "anything"),
    ("url", "https://a.example:8443", "https://a.example:8443"),
    ("ca_file", "/srv/ca.pem", "/srv/ca.pem"),
    ("cert_file", "/srv/me.pem", "/srv/me.pem"),
    ("key_file", "/srv/me.key", "/srv/me.key"),
]


@pytest.fixture(autouse=True)
def no_settings_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("TASK_RUNNER_"):
            monkeypatch.delenv(name)


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "task_runner.json"
    monkeypatch.setenv("TASK_RUNNER_CONF", str(path))
    return path


def test_defaults() -> None:
    assert Settings().model_dump() == {
        "work_dir": DEFAULT_WORK_DIR,
        "index_path": None,
        "environment": "multiprocess",
        "environments": {},
        "max_running": None,
        "max_output": None,
        "min_free_bytes": 256 << 20,
        "task_defaults": {},
        "allowed_read_only": [],
        "allowed_writable": [],
        "retain_seconds": None,
        "retain_count": None,
        "retain_bytes": None,
        "container_command": [],
        "allow_remote_clients": False,
        "host_names": [],
        "max_body_bytes": 1 << 20,
        "fault_points": None,
        "logging": None,
        "request_authorization": None,
        "url": "http://127.0.0.1:8000",
        "ca_file": None,
        "cert_file": None,
        "key_file": None,
        "conf": None,
    }


def test_every_setting_is_tried_here() -> None:
    assert {name for name, _, _ in VALUES} | {"conf"} == set(Settings.model_fields)


@pytest.mark.parametrize(("name", "text", "value"), VALUES)
def test_a_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    monkeypatch.setenv(f"TASK_RUNNER_{name.upper()}", text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(("name", "text", "value"), VALUES)
def test_a_member_of_the_file(conf: Path, name: str, text: str, value: object) -> None:
    conf.write_text(json.dumps({name: value}))
    settings = Settings()
    assert getattr(settings, name) == value
    assert settings.model_fields_set == {name, "conf"}


def test_the_environment_is_above_the_file(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf.write_text('{"max_running": 3, "host_names": ["from.file"], "work_dir": "/file"}')
    monkeypatch.setenv("TASK_RUNNER_MAX_RUNNING", "5")
    monkeypatch.setenv("TASK_RUNNER_HOST_NAMES", "[]")
    settings = Settings()
    assert (settings.max_running, settings.host_names, settings.work_dir) == (5, [], "/file")
    assert Settings(max_running=7).max_running == 7


@pytest.mark.parametrize("text", ["", "  \n", "{}"])
def test_an_empty_file(conf: Path, text: str) -> None:
    conf.write_text(text)
    assert Settings().work_dir == DEFAULT_WORK_DIR


def test_an_unknown_key_in_the_file_is_refused(conf: Path) -> None:
    conf.write_text('{"max_runing": 3}')
    with pytest.raises(ValidationError, match="max_runing"):
        Settings()


def test_a_foreign_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks have such variables, and a node may be started by a task."""
    monkeypatch.setenv("TASK_RUNNER_DIR", "/somewhere")
    monkeypatch.setenv("WORK_DIR", "/somewhere")
    assert Settings().work_dir == DEFAULT_WORK_DIR


def test_a_missing_file_is_named(conf: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"TASK_RUNNER_CONF names {conf}"):
        Settings()


def test_a_directory_is_no_file(conf: Path) -> None:
    conf.mkdir()
    with pytest.raises(OSError, match=f"TASK_RUNNER_CONF names {conf}"):
        Settings()


@pytest.mark.parametrize("text", ["{", "no", "5", '"text"', "[]", '[["work_dir", "/x"]]', "null"])
def test_a_file_that_holds_no_object_is_named(conf: Path, text: str) -> None:
    conf.write_text(text)
    with pytest.raises(ValueError, match=f"TASK_RUNNER_CONF names {conf}"):
        Settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("max_running", "0"),
        ("max_running", "many"),
        ("max_body_bytes", "1023"),
        ("allowed_read_only", '["srv"]'),
        ("allowed_writable", "/scratch"),
        ("task_defaults", '{"machine": "echo"}'),
        ("allow_remote_clients", "perhaps"),
        ("host_names", "a.example"),
        ("logging", "{"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setenv(f"TASK_RUNNER_{name.upper()}", text)
    with pytest.raises(ValueError, match=name):  # pydantic has several kinds of it
        Settings()


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("MAX_RUNNING", "many", "max_running: Input should be a valid integer"),
        ("HOST_NAMES", "a.example", "host_names.*it must be JSON: Expecting value"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, told: str
) -> None:
    monkeypatch.setenv(f"TASK_RUNNER_{name}", text)
    with pytest.raises(ValueError, match=told) as caught:
        load()
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)
