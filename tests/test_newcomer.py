"""What the README says leads a newcomer from a clone to what was backed up: every word of it, in an empty home."""

import tempfile
from pathlib import Path

import pytest

from bench.newcomer import ROOT, newcomer


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="there is nothing to clone")
def test_the_readme_leads_to_a_restore() -> None:
    with tempfile.TemporaryDirectory(prefix="silt-new-") as folder:  # sockets want a short path
        steps = newcomer(Path(folder))
    assert [step.what for step in steps[:2]] == ["git clone", "./dev shell"]
    assert [step.what for step in steps[2:]] == ["Five minutes"] * 4 + ["And a database"] * 5
