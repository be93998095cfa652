"""What people were told, and their word that it was wrong: the file of notices, opened for each word alone.

They are few, and so neither the thread that tells people nor its connection is in their way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from gpuwatch.attribute.expectation import Whose
from gpuwatch.errors import StateError
from gpuwatch.state.notices import Notices
from gpuwatch.state.notices_file import NOTICES_NAME, NoticesFile


class Complaints:
    """The notices in an agent's directory, as whoever complains sees them."""

    def __init__(self, directory: Path, *, read_unix: Callable[[], float]) -> None:
        self._directory = directory
        self._read_unix = read_unix

    def told(self) -> set[Whose]:
        """The runs of which somebody was told, or in shadow mode would have been. Raises ValueError."""
        if not (self._directory / NOTICES_NAME).exists():
            return set()
        with self._open() as notices:
            return notices.told()

    def mark_wrong(self, whose: Whose, reason: str) -> None:
        """Mark the last notice of a run of `told` as a false alarm. Raises ValueError."""
        with self._open() as notices:
            notices.mark_wrong(whose, reason)

    @contextmanager
    def _open(self) -> Iterator[Notices]:
        try:
            with closing(NoticesFile(self._directory, unix=self._read_unix())) as file:
                yield Notices(file)
        except StateError as error:
            raise ValueError(str(error)) from error
