"""Every storage is read to the stored numbers or refused by name; the table in the documents is the one that holds."""

import pytest

from tests.imageio import matrix

ROWS = matrix.rows()
# What must not be refused: grey and label maps of the usual storages.
READ = ("grey", "palette", "equal channels", "WhiteIsZero", "BlackIsZero", "white is", "MONOCHROME", "signed", "raw")
NOT_READ = (
    *("PPM, RGB, text, white is 65535", "PPM, RGB, bytes, white is 65535", "TIFF, BlackIsZero, 12 bits"),
    *("BMP, palette of greys, 4 bits", "NRRD, raw, 16 bits, no byte order given"),
)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.kind}, {row.storage}" for row in ROWS])
def test_storage(row):
    answers = [text for text in matrix.answer(row) if text]
    for text in answers:
        assert text.startswith(("as stored", "refused: "))
        assert "damaged" not in text and "not a picture" not in text  # refused, but not for what it holds
    if any(word in row.storage for word in READ) and f"{row.kind}, {row.storage}" not in NOT_READ:
        assert answers[0].startswith("as stored"), answers


def test_the_table_in_the_documents_is_the_one_that_holds():
    written = matrix.DOCUMENT.read_text(encoding="utf-8").partition(matrix.MARK)[2]
    for row in ROWS:
        assert f"| {row.kind} | {row.storage} |" in written, "run python -m tests.imageio.matrix --write"
    assert written.count("\n| ") - 1 == len(ROWS) and "WRONG" not in written
