import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from task_runner.lib import process
from task_runner.lib.clock import since_boot
from task_runner.lib.process import Identity, identity_of, members, send_signal, stat_of
from tests.waiting import wait_until

MARK = b"TASK_RUNNER_DIR=/tmp/nowhere"


@contextmanager
def sleeper(*argv: str, mark: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process in a session of its own, and kill what is left of that in the end."""
    env = {**os.environ, **({"TASK_RUNNER_DIR": "/tmp/nowhere"} if mark else {})}
    command = argv or ("/bin/sleep", "1000")
    with subprocess.Popen(command, env=env, start_new_session=True, stdout=subprocess.PIPE) as it:
        try:
            yield it
        finally:
            with suppress(ProcessLookupError):
                os.killpg(it.pid, signal.SIGKILL)


def said(running: subprocess.Popen[bytes]) -> list[int]:
    assert running.stdout is not None
    return [int(word) for word in running.stdout.readline().split()]


def test_a_process_is_alive_until_it_is_a_zombie() -> None:
    with sleeper() as running:
        identity = identity_of(running.pid)
        assert identity.is_alive()
        os.kill(running.pid, signal.SIGKILL)
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)
        entry = stat_of(running.pid)
        assert entry is not None
        assert entry.is_zombie
        assert not identity.is_alive()
        assert identity.open_pidfd() is None


@pytest.mark.parametrize(
    ("change", "alive"),
    [
        ({}, True),
        ({"start_ticks": 1}, False),
        ({"boot_id": "another"}, False),
        ({"host": "another"}, None),
        ({"pid": 4_000_000}, False),
    ],
)
def test_all_four_decide(change: dict[str, str | int], alive: bool | None) -> None:
    with sleeper() as running:
        identity = Identity(**{**identity_of(running.pid)._asdict(), **change})
        assert identity.is_alive() is alive
        assert send_signal(identity, signal.SIGTERM) is bool(alive)
        if alive:
            assert running.wait(20) == -signal.SIGTERM
        else:
            assert identity.open_pidfd() is None
            assert running.poll() is None


def test_who_does_not_exist_has_no_identity() -> None:
    with sleeper() as running:
        pid = running.pid
    with pytest.raises(ProcessLookupError):
        identity_of(pid)


@pytest.mark.parametrize("name", [") (", "a b", ") S 1 2 3 (", "(((", "\n\xff)"])
def test_the_name_of_a_process_may_hold_anything(tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o700)
    with sleeper(str(program), "1000") as running:
        wait_until(lambda: name.encode()[:15] in Path(f"/proc/{running.pid}/stat").read_bytes())
        entry = stat_of(running.pid)
        assert entry is not None
        assert (entry.pid, entry.parent) == (running.pid, os.getpid())
        assert (entry.group, entry.session) == (running.pid, running.pid)
        assert entry.state in "SRD"
        age = since_boot() - entry.start_ticks / process.CLOCK_TICKS
        assert -0.02 <= age < 20


def test_children_are_listed_with_their_zombies() -> None:
    code = """
import os, sys
from task_runner.lib.process import children
assert children() == []
pids = [os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}) for _ in range(3)]
assert children() == pids
os.kill(pids[1], 9); os.waitid(os.P_PID, pids[1], os.WEXITED | os.WNOWAIT)
assert children() == pids
os.waitpid(pids[1], 0)
assert children() == [pids[0], pids[2]]
for pid in children(): os.kill(pid, 9); os.waitpid(pid, 0)
assert children() == []
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_members_by_session() -> None:
    with sleeper("/bin/sh", "-c", "sleep 1000 & echo $! $$; wait") as running:
        child, leader = said(running)
        found = members(identity_of(leader), MARK)
        assert [member.pid for member in found] == sorted([child, leader])
        assert all(member.is_alive() for member in found)


def test_members_by_ancestor() -> None:
    with sleeper(
        "/bin/sh", "-c", "setsid sh -c 'setsid sleep 1000 & echo $! $$; wait' & wait"
    ) as it:
        grandchild, child = said(it)
        found = {member.pid for member in members(identity_of(it.pid), MARK)}
        assert {grandchild, child, it.pid} <= found
        os.kill(child, signal.SIGKILL)
        os.kill(grandchild, signal.SIGKILL)


def test_members_by_mark_when_the_leader_is_gone() -> None:
    daemon = "setsid sh -c 'sleep 1000 & echo $! $$; wait' & wait"
    with sleeper("/bin/sh", "-c", daemon, mark=True) as running:
        child, shell = said(running)
        leader = identity_of(running.pid)
        os.kill(running.pid, signal.SIGKILL)
        wait_until(lambda: not leader.is_alive())
        assert [member.pid for member in members(leader, MARK)] == sorted([child, shell])
        assert members(leader, MARK + b"/else") == []
        assert members(leader, MARK[:-1]) == []
        os.kill(child, signal.SIGKILL)
        os.kill(shell, signal.SIGKILL)


def test_the_session_of_a_stranger_with_the_same_number_is_not_taken() -> None:
    with sleeper() as running:
        earlier = identity_of(running.pid)._replace(start_ticks=1)
        assert members(earlier, MARK) == []


def test_who_asks_is_not_a_member_itself() -> None:
    code = """
import os
from task_runner.lib.process import identity_of, members
os.setsid()
child = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
found = members(identity_of(os.getpid()), b"MARK=none")
os.kill(child, 9)
assert [member.pid for member in found] == [child], found
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_environment_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    user = pwd.getpwuid(os.getuid())
    assert process.short_environment() == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell,
    }


def test_the_environment_of_a_user_without_a_name() -> None:
    code = (
        "import os; from task_runner.lib.process import short_environment; os.setuid(54321); "
        "print(sorted(short_environment()), short_environment()['HOME'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['HOME', 'LANG', 'PATH'] /\n"
