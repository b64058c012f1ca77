"""The client under fire: it does one chore, and tries again until it has an answer."""

import time
from collections import Counter
from typing import Any, NamedTuple

import httpx2

from tests.faults.chaos.plan import Chore

PAUSE = 0.2
"""Seconds between two attempts."""
PATIENCE = 10.0
"""Seconds until an answer: a worker that is suspended gives none."""
HELD = 5
"""Seconds that an answer is held by the service until a task is over."""


class Accepted(NamedTuple):
    """A task that was accepted, and what the service told of it at its end."""

    chore: Chore
    view: dict[str, Any]
    output: bytes


class Client:
    """Submits, stops, waits and deletes; safe in any thread."""

    def __init__(self, url: str, deadline: float) -> None:
        """Give up, with TimeoutError, at `deadline` (of the monotonic clock)."""
        self._http = httpx2.Client(base_url=url, timeout=PATIENCE, limits=httpx2.Limits())
        self._deadline = deadline
        self.answers: Counter[str] = Counter()

    def do(self, chore: Chore) -> Accepted:
        """Submit the task, stop it when the plan says so, wait for its end, fetch its log."""
        path = f"/v1/tasks/{chore.fields['taskId']}"
        self._insist("POST", "/v1/tasks", 201, json=chore.fields)
        if chore.stop_after is not None:
            time.sleep(chore.stop_after)
            self._insist("POST", f"{path}/stop", 200)
        while not is_over(view := self._insist("GET", path, 200, params={"wait": HELD}).json()):
            pass
        output = self._insist("GET", f"{path}/log", 200).content
        return Accepted(chore, view, output)

    def delete(self, chore: Chore) -> None:
        """Delete the task, and see that it is gone."""
        path = f"/v1/tasks/{chore.fields['taskId']}"
        self._insist("DELETE", path, 200, 404)  # the answer to an attempt before may be lost
        self._insist("GET", path, 404)

    def _insist(self, method: str, path: str, *expected: int, **arguments: Any) -> httpx2.Response:
        while time.monotonic() < self._deadline:
            try:
                answer = self._http.request(method, path, **arguments)
            except httpx2.TransportError as problem:
                self.answers[type(problem).__name__] += 1
            else:
                self.answers[str(answer.status_code)] += 1
                if answer.status_code in expected:
                    return answer
                if answer.status_code < 500:
                    raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
            time.sleep(PAUSE)
        raise TimeoutError(f"{method} {path} has no good answer")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def is_over(view: dict[str, Any]) -> bool:
    """Say whether a task is over, for good or lost."""
    return view["state"] in {"exited", "lost"}
