"""Tables to take away, as CSV that a spreadsheet opens rightly and without harm."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

# Before what begins a formula, at the beginning of a text or of what a spreadsheet may take for a
# cell of its own. The last four are the forms of full width that some programs take for the first.
BEGINS = "=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20"
FORMULA = re.compile(rf"\A(?=[{BEGINS}])|(?<=[;\t\r\n])(?=[ \"]*[{BEGINS}])")


def as_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """Return a table; the cells that come from elsewhere have been through `harmless`.

    UTF-8 with a byte order mark, by which Excel knows it.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig", errors="replace")


def harmless(text: str) -> str:
    """Keep a spreadsheet from taking a text for a formula, by an apostrophe before it.

    Also where a part of it would be one: many split a table at semicolons, whatever it was written
    with, where the comma separates decimals.

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return FORMULA.sub("'", text)
