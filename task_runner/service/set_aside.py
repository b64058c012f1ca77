"""What lies in the work directory and cannot be used: left alone, and told of with the reason."""

import logging
import os

log = logging.getLogger(__name__)


class SetAside:
    """Names, relative to the work directory, and why each is of no use."""

    def __init__(self, work_dir: str) -> None:
        """Know of nothing yet."""
        self._work_dir = work_dir
        self._reasons: dict[str, str] = {}

    def note(self, name: str, reason: object) -> None:
        """Note something that cannot be used; the log has it once."""
        name = name.removeprefix(f"{self._work_dir}/")
        why = str(reason).replace(f"{self._work_dir}/", "")
        if self._reasons.get(name) != why:
            log.error("%s is set aside: %s", name, why)
        self._reasons[name] = why

    def clear(self, name: str) -> None:
        """Note that it can be used after all."""
        if self._reasons.pop(name, None) is not None:
            log.info("%s can be used again", name)

    def listed(self) -> list[dict[str, str]]:
        """Return what is still there, as `path` and `reason`. It looks at the disk."""
        there = [
            name for name in self._reasons if os.path.lexists(os.path.join(self._work_dir, name))
        ]
        return [{"path": name, "reason": self._reasons[name]} for name in sorted(there)]
