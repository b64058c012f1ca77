import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from task_runner.environments.multiprocess import MultiprocessEnvironment
from tests.node import Node, running_node
from tests.podman import PodmanHere, podman_here
from tests.ports import Reservation
from tests.slurm_cluster import Cluster, running_cluster
from tests.task_processes import kill_all_of

ROOT = Path(__file__).parent.parent

# How long an example takes says more of the computer than of the code.
settings.register_profile("task_runner", deadline=None)
settings.load_profile("task_runner")

# They are ignored in the background (`make test &`, nohup), and would be in what tests start, too.
# A handler does nothing either, and is not inherited.
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, lambda _number, _frame: None)


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[MultiprocessEnvironment]:
    """Give an environment on a directory of its own; nothing that it started outlives the test."""
    environment = MultiprocessEnvironment(tmp_path / "work", allow_arbitrary_paths=True)
    yield environment
    environment.close()
    kill_all_of(tmp_path)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Give a node that runs; nothing that it started outlives the test."""
    with running_node(tmp_path / "work") as node:
        yield node


@pytest.fixture
def port() -> Iterator[int]:
    """Give a port for a server that the test starts, or where nobody answers."""
    with Reservation() as reservation:
        yield reservation.port


@pytest.fixture(autouse=True)
def nothing_left_running(tmp_path: Path) -> Iterator[None]:
    """Kill what a test has left running."""
    yield
    kill_all_of(tmp_path)


@pytest.fixture(scope="module")
def node_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """Give a node for tests that leave nothing behind on it."""
    work_dir = tmp_path_factory.mktemp("node") / "work"
    with running_node(work_dir) as node:
        yield node
    kill_all_of(work_dir)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give a Slurm cluster; tests that use it are in the group `slurm`, so there is only one."""
    with running_cluster(tmp_path_factory.mktemp("slurm")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def podman() -> Iterator[PodmanHere]:
    """Give a podman of its own, with images."""
    with podman_here() as podman:
        yield podman
