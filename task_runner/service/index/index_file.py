"""The file of the index: opened, made when it is missing, set aside when it is damaged."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress

DAMAGE = {
    sqlite3.SQLITE_ERROR,  # tables that are not ours
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_NOTADB,
}
"""What no waiting helps against, unlike a lock or a full disk; see https://sqlite.org/rescode.html."""
DAMAGED = ".damaged-"


class IndexFile:
    """Keeps a shared lock on the directory of the index, so that others know it is in use.

    Only who is alone with it may set it aside: to the others the old file would still be the index.
    """

    def __init__(self, path: str) -> None:
        """Wait for whoever is just looking at it. Raises OSError."""
        self.path = path
        self.damage: tuple[str, str] | None = None
        """What an index was renamed to that could not be used, and why."""
        directory = os.path.dirname(os.path.abspath(path))
        self._guard = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._is_alone = True
        except BlockingIOError:
            self._is_alone = False

    def open(self, connect: Callable[[str], sqlite3.Connection]) -> sqlite3.Connection:
        """Open it; when it is damaged, and nobody uses it, set it aside and open a new one.

        `connect` opens and, when it is new, makes it. Raises sqlite3.Error.
        """
        if not self._is_alone:
            fcntl.flock(self._guard, fcntl.LOCK_SH)
            return connect(self.path)
        try:
            connection = self._open_checked(connect)
        except sqlite3.Error as problem:
            code = getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
            if code & 0xFF not in DAMAGE:
                raise
            self.damage = (self._set_aside(), str(problem))
            connection = self._open_checked(connect)
        fcntl.flock(self._guard, fcntl.LOCK_SH)
        return connection

    def _open_checked(self, connect: Callable[[str], sqlite3.Connection]) -> sqlite3.Connection:
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise sqlite3.DatabaseError("it is no file")
        connection = connect(self.path)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _set_aside(self) -> str:
        """Rename it, with the files that belong to it."""
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        aside = f"{self.path}{DAMAGED}{stamp}-{os.getpid()}"
        os.rename(self.path, aside)
        for suffix in ("-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.rename(self.path + suffix, aside + suffix)
        return aside

    def close(self) -> None:
        """Let others be alone with it."""
        os.close(self._guard)
