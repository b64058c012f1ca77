from pathlib import Path

import pytest

from task_runner.isolation.sandbox_view import View, arguments_of

NOWHERE = View("/srv/files", (), (), (), (), False)


def arguments(view: View) -> list[str]:
    return [*arguments_of(view)]


def mounts(view: View) -> list[tuple[str, ...]]:
    """Return the mounts in their order, as (option, source, target) or (option, target)."""
    words = arguments(view)
    found = []
    for number, word in enumerate(words):
        if word in {"--bind", "--ro-bind", "--ro-bind-try"}:
            found.append(tuple(words[number : number + 3]))
        elif word in {"--tmpfs", "--remount-ro"}:
            found.append(tuple(words[number : number + 2]))
    return found


def test_nothing_is_shared_and_nothing_may_be_gained() -> None:
    words = arguments(NOWHERE)
    wanted = {"user", "pid", "ipc", "uts", "net"}
    assert {f"--unshare-{name}" for name in wanted} <= set(words)
    assert {"--disable-userns", "--as-pid-1", "--cap-drop"} <= set(words)
    assert words[words.index("--cap-drop") + 1] == "ALL"


def test_the_network_of_the_host_only_when_it_is_asked_for() -> None:
    assert "--unshare-net" not in arguments(NOWHERE._replace(network=True))


def test_the_root_comes_first_and_the_files_after_all_that_could_cover_them() -> None:
    order = mounts(NOWHERE)
    assert order[0] == ("--ro-bind", "/", "/")
    assert order[-1] == ("--bind", "/srv/files", "/srv/files")
    assert arguments(NOWHERE)[-2:] == ["--chdir", "/srv/files"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work" / "task-1" / "files").mkdir(parents=True)
    return tmp_path / "work"


def test_what_is_hidden_lies_on_all_that_was_asked_for(work: Path) -> None:
    files = f"{work}/task-1/files"
    around = str(work.parent)
    order = mounts(View(files, (str(work),), (), (around,), (), False))
    hide = order.index(("--tmpfs", str(work)))
    assert order.index(("--ro-bind", around, around)) < hide
    assert hide < order.index(("--bind", files, files)) < order.index(("--remount-ro", str(work)))


def test_what_is_hidden_twice_is_hidden_once(work: Path) -> None:
    hidden = (f"{work}/task-1", str(work), f"{work.parent}/missing")
    order = mounts(View(f"{work}/task-1/files", hidden, (), (), (), False))
    assert [mount[1] for mount in order if mount[0] == "--remount-ro"] == [str(work)]


def test_what_is_hidden_where_links_lead(work: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(work)
    alias = f"{tmp_path}/alias"
    order = mounts(View(f"{alias}/task-1/files", (alias,), (), (), (), False))
    assert ("--tmpfs", str(work)) in order
    assert ("--bind", f"{work}/task-1/files", f"{work}/task-1/files") in order


def test_what_is_needed_is_shown_where_it_would_be_hidden(work: Path) -> None:
    script = f"{work}/task-1/script"
    shown = (script, str(work), "/usr/lib", "/run/python")
    order = mounts(View(f"{work}/task-1/files", (str(work),), shown, (), (), False))
    assert ("--ro-bind-try", script, script) in order
    assert ("--ro-bind-try", "/run/python", "/run/python") in order
    assert not [mount for mount in order if mount[1] == "/usr/lib"]


def test_what_would_show_the_hidden_again_is_not_shown(work: Path) -> None:
    shown = (str(work), str(work.parent), "/")
    order = mounts(View(f"{work}/task-1/files", (str(work),), shown, (), (), False))
    assert not [mount for mount in order if mount[0] == "--ro-bind-try" and mount[1] in shown]
