"""What is forked for every task is small: the standard library, and little of that."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

WORLD = f"""
import json, os, sys
sys.path.insert(0, {str(ROOT)!r})
import task_runner.environments.fork_server as fork_server
fork_server._prepare(1000)
print(json.dumps(sorted(sys.modules)))
"""

EXPENSIVE = {
    "argparse", "asyncio", "ctypes.util", "dataclasses", "email", "importlib.metadata", "inspect",
    "multiprocessing", "pathlib", "shutil", "site", "ssl", "subprocess", "tempfile", "unittest",
    "urllib",
}  # fmt: skip


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    command = [sys.executable, "-I", "-S", "-c", WORLD]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_the_fork_server_loads_the_standard_library_alone(loaded: set[str]) -> None:
    roots = {name.partition(".")[0] for name in loaded}
    assert roots - sys.stdlib_module_names == {"__main__", "task_runner"}


def test_it_loads_what_every_task_needs(loaded: set[str]) -> None:
    machines = {"task_runner.machines.echo", "task_runner.machines.command"}
    assert machines | {"task_runner.lib.runner", "json", "logging"} <= loaded


def test_it_loads_nothing_expensive(loaded: set[str]) -> None:
    assert loaded & EXPENSIVE == set()


def test_it_has_nothing_of_the_service(loaded: set[str]) -> None:
    ours = {name for name in loaded if name.startswith("task_runner.")}
    parts = {name.split(".")[1] for name in ours}
    assert parts == {"environments", "lib", "machines"}
    assert "task_runner.lib.isolation" not in ours


INIT = f"""
import sys
sys.path.append({str(ROOT)!r})
import task_runner.isolation.container_init
print(*sys.modules)
"""


def test_the_inits_load_next_to_nothing() -> None:
    command = [sys.executable, "-I", "-S", "-c", INIT]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    inits = {"task_runner.isolation.container_init", "task_runner.isolation.sandbox_init"}
    assert {*inits, "os"} <= loaded
    expensive = {"collections", "contextlib", "enum", "functools", "json", "re", "signal", "typing"}
    assert loaded & (EXPENSIVE | expensive) == set()
