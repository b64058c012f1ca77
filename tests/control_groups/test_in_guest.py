"""Runs all other tests of this folder in a guest."""

import shlex
import sys
from pathlib import Path

import pytest

from tests.guest import running_guest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PYTEST = ("-B", "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "--durations=10")
PLUGINS = ("-p", "xdist", "-p", "pytest_timeout")
"""Those that the configuration needs; the others take their time to load."""
SCRIPT = """
cd {root}
unit=/sys/fs/cgroup/task-runner.service
mkdir -p $unit/service
echo +cpu +memory +pids > /sys/fs/cgroup/cgroup.subtree_control
echo $$ > $unit/service/cgroup.procs
PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 exec {pytest}
"""


@pytest.mark.timeout(300)
def test_limits_hold_in_a_guest(tmp_path: Path) -> None:
    pytest = shlex.join([sys.executable, *PYTEST, *PLUGINS, str(HERE)])
    script = SCRIPT.format(root=shlex.quote(str(ROOT)), pytest=pytest)
    with running_guest(script, tmp_path) as guest:
        ended = guest.wait(timeout=280)
    print(ended.output)
    assert ended.status == 0
