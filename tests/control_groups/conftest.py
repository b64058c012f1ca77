"""What the kernel does for limits, in a guest: there it has control groups of version 2.

Outside of it there is one test here, which runs all the others inside.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.control_groups.groups import UNIT, groups_in
from tests.fault_plans import Plans
from tests.node import Node, running_node
from tests.task_processes import kill_all_of

IN_GUEST = "GUEST" in os.environ


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Keep what runs inside and outside apart."""
    is_test = collection_path.name.startswith("test_")
    is_for_outside = collection_path.name == "test_in_guest.py"
    return True if is_test and is_for_outside == IN_GUEST else None


@pytest.fixture(scope="package")
def plans(tmp_path_factory: pytest.TempPathFactory) -> Plans:
    return Plans(tmp_path_factory.mktemp("faults") / "plans")


@pytest.fixture(scope="package")
def unit_node(plans: Plans, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Give a node in the unit, as all of these tests are."""
    work_dir = tmp_path_factory.mktemp("unit") / "work"
    with running_node(work_dir, **plans.settings) as node:
        yield node
    kill_all_of(work_dir)


@pytest.fixture(autouse=True)
def no_group_is_left() -> Iterator[None]:
    """Look after every test whether the groups of its tasks are gone."""
    yield
    assert groups_in(UNIT) == set()
