"""Tables to take away do no harm in a spreadsheet, however it takes them apart."""

import csv

import pytest

from retrieval.tables import harmless

BEGINS = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


@pytest.mark.parametrize("sign", BEGINS)
@pytest.mark.parametrize("before", ["", "a;", "a; ", 'a;"', "a\t", "a\r\n", ";;"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_no_cell_begins_as_a_formula_does(sign: str, before: str, delimiter: str) -> None:
    text = harmless(f"{before}{sign}1+1")
    for row in csv.reader(text.splitlines(), delimiter=delimiter):
        for cell in row:
            assert not cell.strip(' "').startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20")), row


@pytest.mark.parametrize("text", ["", "a.png", "2024-01-01", "Trips/a-b=c.jpg", "1; 2", "a @ b"])
def test_what_is_none_stays_as_it_is(text: str) -> None:
    assert harmless(text) == text
