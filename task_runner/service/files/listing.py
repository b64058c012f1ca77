"""What a task left, as a list: sorted, a page at a time, however large the tree is."""

import heapq
import os
from contextlib import suppress

from task_runner.service.files.beneath import MAX_DEPTH, Entry, Parts, Tree, entry_at


def list_files(tree: Tree, after: Parts, limit: int) -> list[Entry]:
    """Return what follows the path `after` (empty: the beginning), at most `limit` entries.

    What is in a directory follows it; names are sorted as bytes. Only the directories of this page
    are read, and of each no more names are kept than fit on it. What goes away meanwhile, and what
    is in a directory that cannot be read, is left out.
    """
    found: list[Entry] = []
    _fill(found, tree, (), after, limit)
    return found


def _fill(found: list[Entry], tree: Tree, path: Parts, after: Parts, limit: int) -> None:
    for entry in _first_of(tree, path, after[: len(path) + 1], limit - len(found) + 1):
        if len(found) == limit:
            return
        if entry.path > after:
            found.append(entry)
        if entry.kind == "directory" and len(entry.path) < MAX_DEPTH:
            _fill(found, tree, entry.path, after, limit)


def _first_of(tree: Tree, path: Parts, bound: Parts, count: int) -> list[Entry]:
    """Return the first entries of a directory whose paths are not before `bound`."""
    entries = []
    with suppress(OSError), tree.directory(path) as fd, os.scandir(fd) as there:
        names = (os.fsencode(one.name) for one in there)
        for name in heapq.nsmallest(count, (one for one in names if (*path, one) >= bound)):
            with suppress(OSError):
                entries.append(entry_at(name, fd, path))
    return entries
