"""Tables and facts as plain lines."""

from siltstone.cli.columns import columns, facts


def test_columns_align() -> None:
    lines = columns(["NAME", "FILES"], [["a", "1"], ["longer", "12345"]], right=frozenset({"FILES"}))
    assert list(lines) == ["NAME    FILES", "a           1", "longer  12345"]


def test_a_table_without_rows_is_its_header() -> None:
    assert list(columns(["NAME", "FILES"], [])) == ["NAME  FILES"]


def test_facts_leave_out_what_is_not_known() -> None:
    assert list(facts([("host", "a"), ("version", ""), ("time", "now")])) == ["  host  a", "  time  now"]
