"""A page of 100 tasks out of very many, against the same out of 100."""

import time

from bench.client import Connection
from bench.made import finished_rows
from bench.measure import Bench, Row, percentile, ratio, together
from bench.node import Node

PAGE = 100


def run(bench: Bench) -> list[Row]:
    count = bench.amount(100_000, 5_000)
    rounds, requests = bench.amount(5, 2), bench.amount(200, 20)
    for name, tasks in (("few", PAGE), ("many", count)):
        finished_rows(bench.path(name), tasks)
    few_times, many_times = [], []
    with Node(bench.path("few")) as few, Node(bench.path("many")) as many:
        few.group.settle()
        many.group.settle(30)
        with few.connect() as to_few, many.connect() as to_many:
            _pages(to_few, [0] * 20)
            _pages(to_many, [0] * 20)
            # Pages from everywhere, not only the first one.
            cursors = [(count - PAGE) * i // (requests - 1) for i in range(requests)]
            for _ in range(rounds):
                few_times.append(_pages(to_few, [0] * requests))
                many_times.append(_pages(to_many, cursors))
    return [_row(count, few_times, many_times)]


def _pages(connection: Connection, cursors: list[int]) -> list[float]:
    times = []
    for cursor in cursors:
        begin = time.perf_counter()
        page = connection.call("GET", f"/v1/tasks?limit={PAGE}&cursor={cursor}")
        times.append((time.perf_counter() - begin) * 1000)
        if len(page) != PAGE:
            raise ValueError(f"a page of {len(page)} tasks after {cursor}")
    return times


def _row(count: int, few: list[list[float]], many: list[list[float]]) -> Row:
    of_few, of_many = ([percentile(times, 50) for times in rounds] for rounds in (few, many))
    factor = ratio(of_many, of_few)
    return Row(
        f"page of {PAGE} out of {count} tasks, p50, against one out of {PAGE}",
        f"{factor:.2f} x",
        "<= 1.5 x",
        factor <= 1.5,
        f"out of {PAGE}: {percentile(of_few, 50):.2f} ms",
        [
            f"p50 {percentile(of_many, 50):.2f} ms, "
            f"p99 {percentile(together(many), 99):.2f} ms; "
            f"out of {PAGE}: p50 {percentile(of_few, 50):.2f} ms"
        ],
    )
