"""A Slurm cluster of three nodes on this machine, for the tests: real daemons on free ports.

All of it runs as this user, in one directory; `SLURM_CONF` leads Slurm's tools to it. See
slurm.conf(5) for the settings, and munged(8).
"""

import getpass
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import Reservation
from tests.slurm_keeper import environment_of, with_configuration
from tests.task_processes import is_running, is_stopped, parent_of
from tests.waiting import wait_until

ROOT = Path(__file__).parent.parent
NODES = ("n1", "n2", "n3")
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={path}/munge.socket
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
SlurmctldPidFile={path}/slurmctld.pid
SlurmdPidFile={path}/slurmd-%n.pid
SlurmctldLogFile={path}/slurmctld.log
SlurmdLogFile={path}/slurmd-%n.log
StateSaveLocation={path}/state
SlurmdSpoolDir={path}/spool-%n
KillWait={kill_wait}
MinJobAge={min_job_age}
SlurmdTimeout={slurmd_timeout}
SchedulerParameters=batch_sched_delay=0,sched_min_interval=50000,bf_interval=1{scheduler}
NodeName=DEFAULT CPUs=8 RealMemory=4000
{nodes}
PartitionName=main Nodes=n[1-3] Default=YES MaxTime=INFINITE PreemptMode=OFF OverSubscribe=FORCE:40
PartitionName=low Nodes=n3 MaxTime=INFINITE PreemptMode=CANCEL PriorityTier=1
PartitionName=high Nodes=n3 MaxTime=INFINITE PreemptMode=OFF PriorityTier=2
"""


class Cluster:
    """Daemons by name: `munged`, `slurmctld`, `n1`, `n2`, `n3`."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.path = path
        self.conf = path / "slurm.conf"
        self.env = {"SLURM_CONF": str(self.conf)}
        self.daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.keeper: subprocess.Popen[bytes] | None = None
        self._reservations = [Reservation() for _ in ("slurmctld", *NODES)]
        host = os.uname().nodename
        nodes = [
            f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={reservation.port}"
            for name, reservation in zip(NODES, self._reservations[1:], strict=True)
        ]
        values = {
            "host": host,
            "user": getpass.getuser(),
            "path": path,
            "controller": self._reservations[0].port,
            "nodes": "\n".join(nodes),
            "kill_wait": 30,
            "min_job_age": 300,
            "slurmd_timeout": 30,
            "scheduler": "",
            **settings,
        }
        self.conf.write_text(CONF.format(**values))
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (path / name).mkdir()
        key = path / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)

    def start(self) -> None:
        self._start_keeper()
        self.start_munge()
        self.start_controller("-c")
        for node in NODES:
            self.start_node(node)
        wait_until(self.is_idle, 60)

    def _start_keeper(self) -> None:
        """Start what ends the daemons when this process is killed before it can."""
        self.keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.slurm_keeper", str(self.conf)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def start_munge(self) -> None:
        files = ("socket", "key-file", "pid-file", "log-file", "seed-file")
        names = ("munge.socket", "munge.key", "munged.pid", "munged.log", "munged.seed")
        options = [
            f"--{option}={self.path / name}" for option, name in zip(files, names, strict=True)
        ]
        self._run("munged", "munged", "--foreground", "--force", *options)
        wait_until((self.path / "munge.socket").exists, 60)

    def start_controller(self, *options: str) -> None:
        self._run("slurmctld", "slurmctld", "-D", *options)
        wait_until(self._is_up, 60)

    def _is_up(self) -> bool:
        self._check_daemons()
        return self.tool("scontrol", "ping", check=False).endswith("UP")

    def _check_daemons(self) -> None:
        for name, daemon in self.daemons.items():
            assert daemon.poll() is None, (self.path / f"{name}.out").read_text()

    def start_node(self, node: str) -> None:
        self._run(node, "slurmd", "-D", "-N", node)

    def _run(self, name: str, program: str, *arguments: str) -> None:
        path = f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin:/sbin"
        with (self.path / f"{name}.out").open("ab") as log:
            self.daemons[name] = subprocess.Popen(
                [program, *arguments],
                env={**os.environ, **self.env, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def terminate(self, name: str) -> None:
        """Stop a daemon in good order."""
        daemon = self.daemons.pop(name)
        daemon.terminate()
        daemon.wait(60)

    def kill(self, name: str) -> None:
        """SIGKILL a daemon; a node loses its jobs with it, as when its power fails.

        Nothing of a job lives long enough to tell of the end of another part.
        """
        daemon = self.daemons.pop(name)
        victims = [daemon.pid, *self._processes_of_jobs(name)]
        _signal(victims, signal.SIGSTOP)
        wait_until(lambda: all(is_stopped(pid) for pid in victims if is_running(pid)))
        _signal(victims, signal.SIGKILL)
        daemon.wait()

    def _processes_of_jobs(self, node: str) -> list[int]:
        """Return slurmstepds and what they have started on a node: these outlive its slurmd."""
        mark = f"SLURMD_NODENAME={node}\0".encode()
        started = [pid for pid in with_configuration(self.conf) if mark in environment_of(pid)]
        steps = {parent_of(pid) for pid in started}  # they need not have the mark
        return [*started, *filter(_is_step, steps.difference(started))]

    def is_idle(self) -> bool:
        self._check_daemons()
        return self.tool("sinfo", "-h", "-o", "%T", check=False) == "idle"

    def tool(self, *argv: str, check: bool = True) -> str:
        ran = subprocess.run(
            argv,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not check or ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def close(self) -> None:
        if "slurmctld" in self.daemons:
            self.tool("scancel", f"--user={getpass.getuser()}", "--signal=KILL", check=False)
        for name in (*NODES, "slurmctld", "munged"):
            if name in self.daemons:
                self.kill(name)
        if self.keeper is not None:
            self.keeper.communicate()
        for reservation in self._reservations:
            reservation.close()


def _is_step(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"slurmstepd")
    return False


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in filter(is_running, pids):
        os.kill(pid, number)


@contextmanager
def running_cluster(path: Path, **settings: object) -> Iterator[Cluster]:
    cluster = Cluster(path, **settings)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
