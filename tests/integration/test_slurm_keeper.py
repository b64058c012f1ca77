"""The cluster of the tests ends with them, also when they are killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.slurm_keeper import with_configuration
from tests.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("slurm"), pytest.mark.timeout(300)]

TESTS = """
import subprocess, sys, time
from pathlib import Path
from tests.slurm_cluster import running_cluster
with running_cluster(Path(sys.argv[1])) as cluster:
    cluster.tool("sbatch", "--wrap", "trap '' TERM; touch up; sleep 1000", f"--chdir={sys.argv[1]}")
    time.sleep(1000)
"""


def test_nothing_of_a_cluster_outlives_the_tests(tmp_path: Path) -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", TESTS, tmp_path], cwd=ROOT, start_new_session=True
    )
    try:
        wait_until((tmp_path / "up").exists, 120)
        assert len(with_configuration(tmp_path / "slurm.conf")) > 5
    finally:
        os.killpg(tests.pid, signal.SIGKILL)
        tests.wait()
    wait_until(lambda: not with_configuration(tmp_path / "slurm.conf"))
