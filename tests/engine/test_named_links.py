"""Links among the paths that were named: what is backed up, and what is said of it."""

from pathlib import Path

import pytest

from siltstone.engine import Noted, Warned
from tests.backing_up import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.make_store()
    (place.tree / "folder").mkdir()
    (place.tree / "folder" / "file").write_bytes(b"content")
    return place


def said(place: Place, *paths: Path) -> tuple[list[str], list[str]]:
    """The kinds of the warnings, and the notes that speak of links, of a backup of these paths."""
    place.level(*paths)
    notes = [event.message for event in place.events if isinstance(event, Noted) and "symlink" in event.message]
    return [event.kind for event in place.events if isinstance(event, Warned)], notes


def test_a_link_to_a_folder_is_a_warning(place: Place) -> None:
    (place.tree / "link").symlink_to("folder")
    assert said(place, place.tree / "link") == (["symlink"], [])


def test_a_link_to_a_file_is_none(place: Place) -> None:
    (place.tree / "link").symlink_to("folder/file")
    assert said(place, place.tree / "link") == ([], [])


def test_a_path_behind_a_link_is_a_note(place: Place) -> None:
    (place.tree / "link").symlink_to("folder")
    warnings, notes = said(place, place.tree / "link" / "file")
    assert (warnings, len(notes)) == ([], 1)
    assert str(place.tree / "folder" / "file") in notes[0]
