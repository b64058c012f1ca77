from typing import Any

import pytest

from task_runner.service.defaults import Defaulted, with_defaults

DEFAULTS: dict[Defaulted, Any] = {"isolation": "container", "isolationOptions": {"image": "a"}}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, DEFAULTS),
        ({"machine": "echo"}, {"machine": "echo"} | DEFAULTS),
        ({"isolation": "none"}, {"isolation": "none"}),
        (
            {"isolationOptions": {"image": "b"}},
            {"isolation": "container", "isolationOptions": {"image": "b"}},
        ),
    ],
)
def test_what_is_missing_is_added(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert with_defaults(fields, DEFAULTS) == expected


def test_limits_are_taken_whole() -> None:
    defaults: dict[Defaulted, Any] = {"limits": {"openFiles": 100}}
    assert with_defaults({"limits": {}}, defaults) == {"limits": {}}
