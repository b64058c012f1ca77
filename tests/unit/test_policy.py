from pathlib import Path

import pytest

from task_runner.lib.errors import ValidationError
from task_runner.lib.policy import NOTHING, Policy


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    for name in ("data", "results", "results/deep", "results/work", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "alias").symlink_to(tmp_path / "data")
    return Policy((f"{tmp_path}/data",), (f"{tmp_path}/results",), (f"{tmp_path}/results/work",))


@pytest.mark.parametrize("path", ["data", "data/.", "alias", "results", "results/deep"])
def test_what_may_be_read(policy: Policy, tmp_path: Path, path: str) -> None:
    policy.check_read_only(f"{tmp_path}/{path}", "field")


@pytest.mark.parametrize("path", ["results/deep", "results/deep/../deep"])
def test_what_may_be_written(policy: Policy, tmp_path: Path, path: str) -> None:
    policy.check_writable(f"{tmp_path}/{path}", "field")


@pytest.mark.parametrize(
    "path",
    [
        *["", "elsewhere", "data/link", "data/..", "data/../elsewhere", "database", "data/missing"],
        *["results/work", "results/work/task-1/files"],
    ],
)
def test_what_may_not_be_read(policy: Policy, tmp_path: Path, path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        policy.check_read_only(f"{tmp_path}/{path}", "field")
    assert caught.value.field == "field"


@pytest.mark.parametrize("path", ["data", "results", "results/work", "elsewhere", "alias"])
def test_what_may_not_be_written(policy: Policy, tmp_path: Path, path: str) -> None:
    """The directory around the work directory would allow to rename that."""
    with pytest.raises(ValidationError):
        policy.check_writable(f"{tmp_path}/{path}", "field")


@pytest.mark.parametrize("path", [None, 1, "", "relative", "/a\0b", ["/"]])
def test_what_is_no_path(policy: Policy, path: object) -> None:
    with pytest.raises(ValidationError, match="an absolute path"):
        policy.check_read_only(path, "field")


def test_nothing_is_allowed_by_default() -> None:
    with pytest.raises(ValidationError, match="nothing is"):
        NOTHING.check_read_only("/", "field")
