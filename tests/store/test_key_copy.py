"""Copies of keys, kept apart from the store: text that opens it alone, and that shows when it is not whole."""

import pytest

from siltstone.store import (
    KeyCopy,
    Passphrase,
    Role,
    Store,
    WrongKey,
    export_key,
    key_copy_text,
    parse_key_copy,
    read_keys,
    unlock,
)

from .backends import MemoryBackend
from .keyed import CONTENT, NEW, A, with_keys
from .stores import names, read_back


@pytest.fixture
def backend() -> MemoryBackend:
    return with_keys()


class TestCopies:
    """A key kept apart from the store."""

    @pytest.mark.parametrize("role", ["all", "write", "read"])
    def test_as_text_and_back(self, backend: MemoryBackend, role: Role) -> None:
        copy = export_key(unlock(backend, A), NEW, label="kept", role=role)
        text = key_copy_text(copy, ["a remark"])
        assert max(map(len, text.splitlines())) < 80
        parsed = parse_key_copy(text)
        assert parsed is not None
        assert KeyCopy(parsed[0], parsed[1] or NEW) == copy
        assert unlock(backend, copy).ring.role == role
        assert "keys/" + read_keys(backend)[0].id in backend.objects

    def test_it_needs_no_key_object(self, backend: MemoryBackend) -> None:
        copy = export_key(unlock(backend, A), NEW, label="kept")
        for name in names(backend, "keys/"):
            backend.delete(name)
        assert read_back(Store.open(backend, copy)) == CONTENT

    def test_of_a_passphrase_it_holds_none(self, backend: MemoryBackend) -> None:
        text = key_copy_text(export_key(unlock(backend, A), Passphrase("four random words"), label="kept"), [])
        parsed = parse_key_copy(text)
        assert parsed is not None
        assert parsed[1] is None
        assert "four" not in text

    def test_every_missing_line_and_changed_letter_is_found(self, backend: MemoryBackend) -> None:
        text = key_copy_text(export_key(unlock(backend, A), NEW, label="kept"), [])
        lines = text.splitlines()
        for at in range(2, len(lines)):
            with pytest.raises(WrongKey):
                parse_key_copy("\n".join([*lines[:at], *lines[at + 1 :]]))
        for at in [*range(text.index("silt-ring") + 13, len(text) - 2, 7), len(text.rstrip("=\n")) - 1]:
            changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
            if text[at] != "\n":
                with pytest.raises(WrongKey):
                    parse_key_copy(changed)

    def test_other_text_is_none(self) -> None:
        assert parse_key_copy("silt-key-1:MjM0NTY3ODk6Ozw9Pj9AQUJDREVGR0hJSktMTU5PUFE=\n") is None
        assert parse_key_copy("") is None
