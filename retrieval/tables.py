"""Tables to take away, as CSV that a spreadsheet opens rightly and without harm."""

import csv
import io
from collections.abc import Iterable, Sequence


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

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    # The last four are the forms of full width that some programs take for the first.
    return "'" + text if text.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")) else text
