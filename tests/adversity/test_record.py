"""The record of what was acknowledged, while others add to it."""

import os

from tests.adversity.acknowledged import Record


def test_a_line_that_is_not_whole_was_not_noted(tmp_path):
    """A reader sees a long write in parts, and a kill ends it between two of them; what comes next counts."""
    record = Record(f"{tmp_path}/record")
    record.note("key", "first")
    os.write(record._descriptor, b'\n["key", "sec')
    assert record.of("key") == [["first"]]
    record.note("key", "third")
    assert record.of("key") == [["first"], ["third"]]
