"""The table of handlings that `make prove` removes one by one: each is where it says, and has its test."""

from __future__ import annotations

import re
from pathlib import Path

from prove.handlings import HANDLINGS

import gpuwatch

TESTS = Path(__file__).parent


def test_every_handling_is_in_the_source_and_can_be_removed() -> None:
    wrong = []
    for handling in HANDLINGS:
        source = Path(gpuwatch.__file__).parent / handling.file
        try:
            handling.removed_from(source.read_text(encoding="utf-8"))
        except ValueError as error:
            wrong.append(str(error))
    assert not wrong


def test_every_handling_names_a_test_that_there_is() -> None:
    for handling in HANDLINGS:
        file, _, name = handling.test.removeprefix("tests/").partition("::")
        function = re.escape(name.partition("[")[0])
        assert re.search(rf"^def {function}\(", (TESTS / file).read_text(encoding="utf-8"), re.MULTILINE), handling.name
