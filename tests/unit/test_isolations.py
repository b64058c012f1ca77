import pytest

from task_runner.lib import registry
from task_runner.lib.isolation import Isolation, Obstacle
from task_runner.lib.policy import Policy
from task_runner.service.isolations import isolation_views


class Hindered(Isolation):
    """Stands around.

    Or would.
    """

    def obstacle(self, policy: Policy) -> Obstacle:
        del policy
        return Obstacle("there is no wall", "Build one")

    wrap = None  # type: ignore[assignment]


class Broken(Hindered):
    def obstacle(self, policy: Policy) -> Obstacle:
        del policy
        raise ZeroDivisionError


def test_each_says_whether_it_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("Hindered", "Broken", "Missing")
    monkeypatch.setattr(
        "task_runner.service.isolations.ISOLATIONS", known := {n: f"{__name__}:{n}" for n in names}
    )
    monkeypatch.setattr(registry, "ISOLATIONS", known)
    views = {view["name"]: view for view in isolation_views(Policy())}
    assert list(views) == ["none", *sorted(names)]
    assert views["none"]["usable"]
    assert views["Hindered"] == {
        "name": "Hindered",
        "description": "Stands around.",
        "usable": False,
        "why": "there is no wall",
        "install": "Build one",
        "limits": views["none"]["limits"],
    }
    assert {"memory", "openFiles"} <= {*views["none"]["limits"]}
    assert not views["Broken"]["usable"]
    assert "Missing" in views["Missing"]["why"]
