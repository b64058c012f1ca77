"""Which tasks to list, and the query that finds them."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Page(NamedTuple):
    """Which tasks to list, and in which order."""

    states: Sequence[str] = ()
    machine: str | None = None
    labels: Sequence[tuple[str, str | None]] = ()
    since: str | None = None
    after: int | None = None
    descending: bool = False
    limit: int = 1000


def page_query(columns: str, page: Page) -> tuple[str, list[Any]]:
    """Build the query of a page from fixed fragments; every value is bound."""
    fragments: list[tuple[str, list[Any]]] = []
    if page.states:
        marks = ",".join("?" * len(page.states))
        fragments.append((f"state IN ({marks})", list(page.states)))
    if page.machine is not None:
        fragments.append(("machine = ?", [page.machine]))
    if page.since is not None:
        fragments.append(("created_at >= ?", [page.since]))
    if page.after is not None:
        fragments.append(("seq < ?" if page.descending else "seq > ?", [page.after]))
    for name, value in page.labels:
        label = "SELECT 1 FROM labels WHERE labels.seq = tasks.seq AND name = ?"
        if value is None:
            fragments.append((f"EXISTS ({label})", [name]))
        else:
            fragments.append((f"EXISTS ({label} AND value = ?)", [name, value]))
    where = " AND ".join(fragment for fragment, _ in fragments) or "1"
    order = "DESC" if page.descending else "ASC"
    values = [value for _, bound in fragments for value in bound]
    query = f"SELECT {columns} FROM tasks WHERE {where} ORDER BY seq {order} LIMIT ?"  # noqa: S608
    return query, [*values, page.limit]
