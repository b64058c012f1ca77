"""The command line as people and as programs call it: in a real pseudo-terminal, or piped."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyte

from tests.node import Node
from tests.waiting import wait_until

BIN = Path(sys.executable).parent
COMMAND = str(BIN / "task-runner")
INTERRUPT = b"\x03"
SETTINGS = "TASK_RUNNER_"
DEADLINE = 60.0


def environment(node: Node | None = None, **variables: str) -> dict[str, str]:
    """Return an environment with no settings but those given, and with the node's URL."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    plain.pop("NO_COLOR", None)
    where = {"TASK_RUNNER_URL": f"http://127.0.0.1:{node.port}"} if node else {}
    path = f"{BIN}:{os.environ['PATH']}"
    return {**plain, "PATH": path, "TERM": "xterm-256color", **where, **variables}


def piped(
    node: Node | None, *words: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line without a terminal."""
    return subprocess.run(
        [COMMAND, *words],
        env=environment(node, **variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def data(node: Node | None, *words: str, **options: str) -> str:
    """Return what a command prints that has to succeed, and to say nothing else."""
    done = piped(node, *words, **options)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


class Terminal:
    """A process in a terminal of its own, and what can be read on that."""

    def __init__(self, argv: list[str], env: dict[str, str], columns: int, rows: int) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.raw = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # EIO: nobody has the other end any more
            while block := os.read(self._master, 65536):
                with self._lock:
                    self.raw += block
                    self._stream.feed(block)

    @property
    def text(self) -> str:
        """What is on the screen, without blanks at the ends of lines and empty lines."""
        with self._lock:
            lines = [line.rstrip() for line in self._screen.display]
        return "\n".join(line for line in lines if line)

    def until(self, text: str) -> str:
        """Wait for a text on the screen."""

        def shown() -> bool:
            if text not in self.text and self.process.poll() is not None:
                self._reader.join(10)
                assert text in self.text, self.text
            return text in self.text

        wait_until(shown)
        return self.text

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def end(self, timeout: float = DEADLINE) -> int:
        """Return the exit code, when everything is on the screen."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._master)


@contextmanager
def terminal(
    node: Node | None,
    *words: str,
    argv: list[str] | None = None,
    columns: int = 100,
    rows: int = 40,
    **variables: str,
) -> Iterator[Terminal]:
    """Run the command line, or another program, in a terminal."""
    opened = Terminal(argv or [COMMAND, *words], environment(node, **variables), columns, rows)
    try:
        yield opened
    finally:
        opened.close()
