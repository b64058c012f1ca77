"""What a task left, as the API gives it: never on the event loop."""

import os
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

from task_runner.lib.task_dir import TaskDir
from task_runner.service.files.archive import pack
from task_runner.service.files.beneath import Entry, OpenFile, Parts, Tree
from task_runner.service.files.listing import list_files
from task_runner.service.index.index import Index
from task_runner.service.readers import Readers
from task_runner.service.threads import in_steps, in_thread


class TaskFiles:
    """List, open, read, pack."""

    def __init__(
        self, work_dir: str, index: Index, readers: Readers, threads: ThreadPoolExecutor
    ) -> None:
        """Give what is in a work directory, to the tasks that the index knows."""
        self._work_dir = work_dir
        self._index = index
        self._readers = readers
        self._threads = threads

    async def list(self, task_id: str, after: Parts, limit: int) -> list[Entry]:
        """Return what a task has left, see `list_files`. Raises TaskNotFoundError."""
        tree = await self._tree(task_id)
        return await in_thread(self._threads, list_files, tree, after, limit)

    async def open(self, task_id: str, path: Parts) -> OpenFile:
        """Open a file that a task has left. Raises TaskNotFoundError, NoSuchFileError."""
        tree = await self._tree(task_id)
        return await in_thread(self._threads, tree.open, path)

    def read(self, file: OpenFile, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        """Give the bytes of a file from `start` on, before `stop`, then close it."""
        return in_steps(self._threads, file.blocks(start, stop))

    async def pack(self, task_id: str) -> AsyncGenerator[bytes, None]:
        """Give what a task has left as a `.tar.gz`, see `pack`. Raises TaskNotFoundError."""
        tree = await self._tree(task_id)

        async def blocks() -> AsyncGenerator[bytes, None]:
            packed = in_steps(self._threads, pack(tree, task_id))
            with self._readers.hold(TaskDir.of(self._work_dir, task_id)):
                async with aclosing(packed):
                    async for block in packed:
                        yield block

        return blocks()

    async def _tree(self, task_id: str) -> Tree:
        await self._index.known(task_id)
        directory = TaskDir.of(self._work_dir, task_id)
        parent, name = os.path.split(directory.path)
        return Tree(parent, name, os.path.basename(directory.files))
