"""What is written of strangers' requests: nothing that sets the owner's terminal up."""

import logging
from collections.abc import Iterator

import pytest

from retrieval.pages.logs import spare_the_terminal


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


def test_what_strangers_call_things_is_written_on_one_line_and_without_controls(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spare_the_terminal()
    logging.getLogger("any").warning("called %s", "x\nLookalike is open\r\x1b[31m\x9b2J\u2028ü")
    (record,) = caplog.records
    assert record.getMessage() == "called x�Lookalike is open��[31m�2J�ü"
    assert caplog.text.count("\n") == 1


def test_a_bug_is_written_with_all_the_lines_of_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    spare_the_terminal()
    try:
        raise ValueError("a bug")
    except ValueError:
        logging.getLogger("any").exception("it failed")
    assert "it failed\nTraceback" in caplog.text
    assert caplog.text.endswith("ValueError: a bug\n")
