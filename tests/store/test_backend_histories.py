"""Random histories of calls to a backend, against a dict.

Rule: what the contract promises call by call (test_backend_contract.py) holds after any calls before it, for every kind
of backend.
"""

from contextlib import nullcontext

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from siltstone.store import ObjectExists, ObjectInfo, ObjectMissing

from .backends import KINDS, fresh

# Few letters, so that folders are shared; and all that sort before, beside and after the '/'.
parts = st.text("ab_-.0Z", min_size=1, max_size=4).filter(lambda part: part[0] not in ".-")
names = st.lists(parts, min_size=1, max_size=4).map("/".join)


class History(RuleBasedStateMachine):
    """Any history of calls leaves what a dict would hold. A name is a folder or an object for good, as callers' are."""

    kind = ""

    def __init__(self) -> None:
        super().__init__()
        self.place = fresh(self.kind)
        self.objects: dict[str, bytes] = {}
        self.used: set[str] = set()

    @initialize()
    def connect(self) -> None:
        self.connection = self.place.__enter__()
        self.backend = self.connection()

    def teardown(self) -> None:
        self.place.__exit__(None, None, None)

    def clashes(self, name: str) -> bool:
        return any(name.startswith(other + "/") or other.startswith(name + "/") for other in self.used)

    @rule(name=names, content=st.binary(max_size=20))
    def put(self, name: str, content: bytes) -> None:
        if name in self.objects:
            mine = self.backend.remote and content == self.objects[name]  # as after an answer that was lost
            with nullcontext() if mine else pytest.raises(ObjectExists):
                self.backend.put(name, [content])
        elif not self.clashes(name):
            self.backend.put(name, [content])
            self.objects[name] = content
            self.used.add(name)

    @rule(name=names, content=st.binary(max_size=20))
    def replace(self, name: str, content: bytes) -> None:
        if not self.clashes(name):
            self.backend.replace(name, [content])
            self.objects[name] = content
            self.used.add(name)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.objects:
            name = data.draw(st.sampled_from(sorted(self.objects)))
            self.backend.delete(name)
            del self.objects[name]

    @rule(name=names)
    def read(self, name: str) -> None:
        if name in self.objects:
            assert self.backend.get(name) == self.objects[name]
        else:
            with pytest.raises(ObjectMissing):
                self.backend.get(name)

    @rule()
    def connect_again(self) -> None:
        self.backend = self.connection()

    @rule(prefix=st.one_of(st.just(""), names.map(lambda name: name + "/")))
    def list_folder(self, prefix: str) -> None:
        expected = [ObjectInfo(name, len(self.objects[name])) for name in sorted(self.objects)]
        assert list(self.backend.list(prefix)) == [info for info in expected if info.name.startswith(prefix)]

    @invariant()
    def holds_what_a_dict_would(self) -> None:
        expected = [ObjectInfo(name, len(self.objects[name])) for name in sorted(self.objects)]
        assert list(self.backend.list("")) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_histories(kind: str) -> None:
    machine = type("HistoryOf" + kind.title(), (History,), {"kind": kind})
    examples = 4 if kind == "s3" else 25  # each step is some requests
    run_state_machine_as_test(machine, settings=settings(max_examples=examples, stateful_step_count=25))
