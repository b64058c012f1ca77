"""The promises of doc/reliability.md name their tests; those exist."""

import re
from pathlib import Path

from tests.conftest import ROOT

TEXT = (ROOT / "task_runner/doc/reliability.md").read_text()
TESTS = ROOT / "tests"
OURS = Path(__file__).name


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", TEXT))
    there = {
        name
        for path in TESTS.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), flags=re.MULTILINE)
    }
    assert len(named) > 15
    assert named - there == set()


def test_every_file_that_is_named_exists() -> None:
    files = re.findall(r"`(?:tests/)?((?:faults|integration|unit)/\w+\.py)`", TEXT)
    assert len(files) > 10
    assert [name for name in files if not (TESTS / name).is_file()] == []


def test_every_kind_of_trouble_has_its_line() -> None:
    files = [path for path in (TESTS / "faults").glob("test_*.py") if path.name != OURS]
    assert [path.name for path in files if not _is_named(path)] == []


def _is_named(file: Path) -> bool:
    tests = re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    return file.name in TEXT or any(f"`{test}`" in TEXT for test in tests)
