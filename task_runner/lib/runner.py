"""TaskRunner: the process that owns one task, from its start to its result.

It only waits, moves the output, keeps the time and writes the status file. The work is done by
the machine, in a process of its own: what kills that one cannot take the result with it.
"""

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from task_runner.lib import limits, process, registry
from task_runner.lib.clock import since_boot, timestamp
from task_runner.lib.fault_points import Step, reach
from task_runner.lib.guarded import Adopted, Child, Guarded
from task_runner.lib.machine_process import MachineProcess
from task_runner.lib.outcome import Outcome, result_of
from task_runner.lib.output import Output, make_fifo
from task_runner.lib.process import Identity
from task_runner.lib.state import HEARTBEAT
from task_runner.lib.status_file import Record, StatusFile, machine_of, runner_of
from task_runner.lib.streams import RETRY_INTERVAL, Streams
from task_runner.lib.task import Task, task_from_record
from task_runner.lib.task_dir import TaskDir, read_json
from task_runner.lib.work import work

STATUS_INTERVAL = 0.25
"""Seconds between two writes of what the machine says of itself."""
REMINDER = 0.05
"""Seconds until a machine that has not noticed its stop is told again; doubled each time."""
KILL_INTERVAL = 0.02
"""Seconds between two rounds of SIGKILL."""
RESTLESS = 0.05
"""Seconds between two looks at processes that are not our children, while waiting for their end."""

STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}

FOREVER = float("inf")


class TaskRunner:
    """Runs the task of a directory, or goes on with it when an earlier TaskRunner was killed.

    Whoever wants the task to run launches one on its directory; as many as you like may be
    launched, at any time. The lock lets one at a time pass, and what that one finds decides:
    nothing yet, it starts the task; a status without an end, it adopts the machine; an end, it has
    nothing to do. So a task is started at most once, and never forgotten.
    """

    def __init__(
        self,
        directory: TaskDir,
        mirrors: tuple[int, int] | None = None,
        ends_at: float = FOREVER,
    ) -> None:
        """Prepare for a directory; `mirrors` are descriptors that show stdout and stderr live.

        `ends_at` (on the clock of `since_boot`) is when somebody else will end all of it: a task
        that is not over by then has its time-out so early that its grace period fits in.
        """
        self.directory = directory
        self._mirrors = mirrors or (None, None)
        self._ends_at = ends_at
        self._signals: set[int] = set()
        self._stop: Outcome | None = None
        self._ended = False
        self._kill_at = FOREVER
        self._remind_at = FOREVER
        self._reminders = 0
        self._said_at = -FOREVER
        self._unwritten = False
        self._dropped: dict[str, int] = {}

    def run(self, started: Callable[[Record], None] = lambda _record: None) -> Record | None:
        """Own the task until it is over; return the content of its status file.

        Returns None when another TaskRunner owns it. `started` is called once the task is known to
        run, or to be over already. Call it in the main thread of a process of its own, with
        SIGTERM blocked.
        """
        task = self._read_task()
        # The machine before all else, though it may not be needed: what this process has written
        # to until the fork would be copied for each of the two. It waits for its release.
        reach(Step.FORK_MACHINE, self.directory.path)
        machine = MachineProcess(lambda: work(task, self.directory))
        if not self.directory.take_lock():
            machine.abandon()
            return None
        self._listen()
        record = read_json(self.directory.status)
        is_judged = os.path.exists(self.directory.verdict)
        if record is None and not is_judged and not os.path.exists(self.directory.stop):
            return self._start(task, machine, started)
        machine.abandon()
        if record is not None and self._is_owned(record):
            return None
        if record is None and not is_judged:
            record = self._cancel_unstarted()
        elif record is not None and not is_judged and "finished_at" not in record:
            return self._adopt(task, record, started)
        started(record or {})
        return record

    def _is_owned(self, record: Record) -> bool:
        """Say whether another TaskRunner lives without the lock, as the task removed the file."""
        owner = runner_of(record)
        return "finished_at" not in record and owner.pid != os.getpid() and owner.is_alive() is True

    def _read_task(self) -> Task:
        fields = read_json(self.directory.task)
        if fields is None:
            raise FileNotFoundError(f"{self.directory.task} is missing")
        self._output_limit: int | None = fields.get("outputLimit")
        return task_from_record(fields)

    def _listen(self) -> None:
        """Stand ready for signals, which are only recorded, and wake up the loop."""
        self._wakeup, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            # What is ignored stays so, as under nohup(1); only the fork server ignores SIGCHLD.
            if number == signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, _frame: self._signals.add(number))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # also what our parent had blocked

    def _cancel_unstarted(self) -> Record:
        limits.forget(self.directory, self._note)
        status = StatusFile(self.directory.status, {"task_id": self.directory.task_id})
        status.take_over(process.identity_of(os.getpid()))
        status.finish(result_of(Outcome.CANCELED, None), None, {"output_size": 0})
        self._tidy()
        return status.record

    def _start(
        self, task: Task, machine: MachineProcess, started: Callable[[Record], None]
    ) -> Record:
        process.become_subreaper()
        self._open_streams(task)
        guarded = self._child(task, machine)
        self._status = StatusFile(self.directory.status, {"task_id": self.directory.task_id})
        if task.limits:
            self._hold_to_limits(task, machine)
        reach(Step.BEGIN, self.directory.path)
        self._status.begin(process.identity_of(os.getpid()), guarded.identity)
        self._prepare_to_guard(task, guarded)
        reach(Step.ANNOUNCE, self.directory.path)
        started(self._status.record)
        reach(Step.RELEASE, self.directory.path)
        machine.release()
        self._guard()
        self._drain()
        self._finish()
        self._machine.leave()
        self._tidy()
        return self._status.record

    def _adopt(self, task: Task, record: Record, started: Callable[[Record], None]) -> Record:
        reach(Step.ADOPT, self.directory.path)
        self._note("this TaskRunner goes on with the machine of one that was killed")
        self._open_streams(task)
        self._status = StatusFile(self.directory.status, record)
        self._prepare_to_guard(task, self._adopted(task, machine_of(record)))
        was_dead = self._machine.has_ended() and not self._machine.knows_end
        if not was_dead:  # else the file goes on telling of the host and the boot it was on
            self._status.take_over(process.identity_of(os.getpid()))
            self._status.write()
        if "stop" in record:
            self._stop = Outcome(record["stop"]["reason"])
            self._kill_at = since_boot() + self._grace_period
            if "asked" not in record["stop"]:  # a second time would disturb its clean-up
                self._ask_to_end()
        elif os.path.exists(self.directory.stop):
            self._signals.add(signal.SIGTERM)
        started(record)
        self._guard()
        self._drain()
        if was_dead:
            self._leave_group()
        else:
            self._finish()
            self._machine.leave()
        self._tidy()
        return record

    def _hold_to_limits(self, task: Task, machine: MachineProcess) -> None:
        """Limit a machine that was not released yet, unless its isolation does. Raises OSError."""
        isolated = task.isolation != "none"
        if isolated and registry.isolation_of(task.isolation).own_limits is not None:
            return
        group = limits.hold(machine.pid, task.limits, self.directory)
        if group is not None:
            self._status.record["cgroup"] = group

    def _leave_group(self) -> dict[str, str]:
        """Remove the control group, if there is one; return last words when memory ran out."""
        group = self._status.record.get("cgroup")
        killed = limits.end(group, self._note) if group else 0
        return {"out_of_memory": limits.out_of_memory(killed, self._limits)} if killed else {}

    def _child(self, task: Task, machine: MachineProcess) -> Guarded:
        if task.isolation == "none":
            return Child(machine)
        isolation = registry.isolation_of(task.isolation)
        guarded: Guarded = isolation.guard(machine, task, self.directory)
        return guarded

    def _adopted(self, task: Task, leader: Identity) -> Guarded:
        if task.isolation == "none":
            return Adopted(leader, self.directory.path)
        isolation = registry.isolation_of(task.isolation)
        guarded: Guarded = isolation.adopt(leader, task, self.directory)
        return guarded

    def _open_streams(self, task: Task) -> None:
        directory, limit = self.directory, self._output_limit
        mirror, stderr_mirror = self._mirrors
        reach(Step.OPEN_STREAMS, directory.path)
        with suppress(FileExistsError):
            os.mkdir(directory.files, 0o700)
        output = Output(directory.output, mirror, limit)
        stderr = Output(directory.stderr, stderr_mirror, limit) if task.has_stderr else None
        self._streams = Streams(output, stderr, self._note)
        self._status_fd = make_fifo(directory.status_fifo)

    def _prepare_to_guard(self, task: Task, machine: Guarded) -> None:
        self._machine = machine
        self._grace_period = task.grace_period
        self._limits = task.limits
        own_timeout = _timeout_at(task, machine.identity)
        self._timeout_at = min(own_timeout, self._ends_at - task.grace_period)
        self._heartbeat_at = since_boot() + HEARTBEAT

    def _guard(self) -> None:
        """Do what is due, wait for what comes next, until nothing of the machine is left."""
        poll = self._make_poll()
        watched = None
        while not self._is_over():
            watched = self._watch_machine(poll, watched)
            ready = [fd for fd, _ in poll.poll(self._patience())]
            if self._wakeup in ready:
                os.read(self._wakeup, 4096)
            if self._status_fd in ready:
                self._unwritten |= self._status.hear(self._status_fd)
            self._streams.pump(ready)
            if watched in ready:
                poll.modify(watched, 0)  # it stays readable
            self._keep_status()

    def _make_poll(self) -> select.poll:
        poll = select.poll()
        for fd in (self._status_fd, self._wakeup):
            poll.register(fd, select.POLLIN)
        self._streams.watch(poll)
        return poll

    def _watch_machine(self, poll: select.poll, watched: int | None) -> int | None:
        """Watch its pidfd: that of another process than before, when a client has done its part."""
        pidfd = self._machine.pidfd
        if pidfd != watched:
            if watched is not None:
                poll.unregister(watched)
            if pidfd is not None:
                poll.register(pidfd, select.POLLIN)
            self._unwritten |= self._status.follow(self._machine.identity)
        return pidfd

    def _is_over(self) -> bool:
        """Take every step that is due now, and say whether it was the last one."""
        now = since_boot()
        signals, self._signals = self._signals, set()
        if self._machine.has_ended():
            return self._is_swept(now)
        if signal.SIGCHLD in signals:
            self._machine.is_alone()  # reaps the daemons that have ended
        if self._stop is None:
            if signals & STOP_SIGNALS:
                self._begin_stop(Outcome.CANCELED)
            elif now >= self._timeout_at:
                self._begin_stop(Outcome.TIMEOUT)
        elif signal.SIGINT in signals:  # the second Ctrl-C of somebody at a terminal
            self._kill_at = now
        if now >= self._remind_at:
            self._remind()
        if now >= self._kill_at:
            self._machine.kill()
        return False

    def _is_swept(self, now: float) -> bool:
        """End what the machine left running, and say whether all of it is gone."""
        first = not self._ended
        self._ended = True
        if self._machine.is_alone():
            return True
        self._kill_at = min(self._kill_at, now + self._grace_period)
        self._machine.terminate_leftovers(group=first and self._stop is None)
        if now >= self._kill_at:
            self._machine.kill()
        return False

    def _begin_stop(self, reason: Outcome) -> None:
        self._stop = reason
        reach(Step.BEGIN_STOP, self.directory.path)
        self._try_hard(lambda: self._status.begin_stop(reason))
        self._kill_at = since_boot() + self._grace_period
        self._ask_to_end()
        self._remind_at = since_boot() + REMINDER

    def _ask_to_end(self) -> None:
        reach(Step.TERMINATE, self.directory.path)
        self._machine.terminate()
        # Noted for an adopter, who is not to ask again.
        self._status.record["stop"]["asked"] = True
        self._unwritten = True

    def _remind(self) -> None:
        self._reminders += 1
        pause = REMINDER * 2**self._reminders
        self._remind_at = since_boot() + pause if self._machine.remind() else FOREVER

    def _patience(self) -> float:
        """Return the milliseconds until something is due."""
        due = [self._heartbeat_at, self._streams.due()]
        now = since_boot()
        if not self._ended:
            due.append(self._remind_at)
        if not self._ended and self._stop is None:
            due.append(self._timeout_at)
        if self._kill_at < FOREVER:
            due.append(max(self._kill_at, now + KILL_INTERVAL))
        if self._ended and not self._machine.ends_are_seen:
            due.append(now + RESTLESS)
        if self._unwritten:
            due.append(self._said_at + STATUS_INTERVAL)
        # Rounded up: waking up a moment too early would mean to wait again.
        return max(0.0, (min(due) - now) * 1000 + 1)

    def _keep_status(self) -> None:
        now = since_boot()
        if self._dropped != (dropped := self._streams.dropped()):
            self._dropped = dropped
            self._status.record |= dropped
            self._unwritten = True
        if self._unwritten and now >= self._said_at + STATUS_INTERVAL:
            self._unwritten = False
            self._said_at = now
            self._try_hard(self._status.write)
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT
            self._try_hard(self._status.touch)
            if os.path.exists(self.directory.stop):  # in case the signal did not get here
                self._signals.add(signal.SIGTERM)

    def _try_hard(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as problem:
            self._note(f"{self.directory.status} cannot be written: {problem}")

    def _finish(self) -> None:
        """Write the result, which must be written, however long that takes."""
        reach(Step.COLLECT, self.directory.path)
        wait_status, report, usage = self._machine.collect()
        while self._status.hear(self._status_fd):
            pass
        result = result_of(self._stop, wait_status, {**(report or {}), **self._leave_group()})
        while True:
            try:
                reach(Step.FINISH, self.directory.path)
                self._status.finish(result, usage, self._streams.sizes())
                return
            except (FileNotFoundError, IsADirectoryError):  # the task took away the place for it
                return
            except OSError as problem:
                self._note(f"the result cannot be written yet: {problem}")
                time.sleep(RETRY_INTERVAL)

    def _tidy(self) -> None:
        reach(Step.TIDY, self.directory.path)
        with suppress(FileNotFoundError):  # the task may have removed all of it
            self.directory.tidy()

    def _drain(self) -> None:
        reach(Step.DRAIN, self.directory.path)
        self._streams.drain(hurried=lambda: signal.SIGINT in self._signals)

    def _note(self, trouble: str) -> None:
        """Write to TaskRunner's own log; when not even that can be written, there is no other."""
        with suppress(OSError), open(self.directory.runner_log, "a") as log:
            log.write(f"{timestamp()} {trouble}\n")


def _timeout_at(task: Task, machine: Identity) -> float:
    """Return when the task has had its time; counted from its real start, also when adopted."""
    if task.timeout is None:
        return FOREVER
    return machine.start_ticks / process.CLOCK_TICKS + task.timeout


if __name__ == "__main__":
    from task_runner.lib.command_line import main

    streams = sys.stdout.fileno(), sys.stderr.fileno()
    main(lambda directory: TaskRunner(directory, streams).run())
