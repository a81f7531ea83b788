"""Variables of a deployment, and the lines of its keys: small pure parts against plain models.

Rule: any order, any nesting; what cannot be expanded says which variable is wrong.
"""

import tomllib
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.toml_lines import key_lines
from siltstone.engine.variables import ExpansionError, expand, resolve_variables


@given(st.integers(1, 30), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_circle_of_variables_is_named_in_full(length: int, others: int, random: Random) -> None:
    circle = [f"V{number}" for number in range(length)]
    raw = {name: f"/x${{{circle[(place + 1) % length]}}}" for place, name in enumerate(circle)}
    raw |= {f"O{number}": f"${random.choice(circle)}/$O{number - 1}" for number in range(1, others)} | {"O0": "plain"}
    raw = dict(random.sample(sorted(raw.items()), len(raw)))
    with pytest.raises(ExpansionError, match="circle") as caught:
        resolve_variables(raw)
    named = str(caught.value).partition(": ")[2].split(" -> ")
    assert named[0] == named[-1] == caught.value.variable
    assert set(named) == set(circle)
    assert len(named) == length + 1
    assert all(f"{{{after}}}" in raw[before] for before, after in pairwise(named))


@given(st.dictionaries(st.from_regex(r"\A[A-Z][A-Z0-9_]{0,3}\Z"), st.text(max_size=5), max_size=8), st.data())
def test_variables_expand_in_any_order(values: dict[str, str], data: st.DataObject) -> None:
    """Each value may use those before it; what comes out is what replacing by hand gives."""
    raw: dict[str, str] = {}
    expected: dict[str, str] = {}
    for name, text in values.items():
        used = data.draw(st.lists(st.sampled_from(sorted(expected)), max_size=2)) if expected else []
        raw[name] = "/" + text.replace("$", "$$") + "".join(f"${{{other}}}" for other in used)
        expected[name] = "/" + text + "".join(expected[other] for other in used)
    shuffled = dict(data.draw(st.permutations(sorted(raw.items()))))
    assert resolve_variables(shuffled) == expected
    assert expand("".join(f"${{{name}}}|" for name in raw), expected) == "".join(f"{expected[n]}|" for n in raw)


def test_variables_that_double_each_other_stop() -> None:
    raw = {"V0": "xx"} | {f"V{number}": f"$V{number - 1}" * 2 for number in range(1, 64)}
    with pytest.raises(ExpansionError, match="more than"):
        resolve_variables(raw)


TOML_VALUES = [
    "1",
    "'#['",
    '"\\"]"',
    "[1, [2], {a = 3}]",
    "{a = [1]}",
    '"""\n[no]\nx = 1\n"""',
    "'''\n'''",
    "[\n'[',#]\n]",
]
TOML_KEYS = st.sampled_from(["a", "b-c", '"d.e"', "'f#'", "g.h", '"i\\u0041"', "1"])


@given(st.lists(st.tuples(TOML_KEYS, st.sampled_from(TOML_VALUES), st.booleans()), max_size=6))
def test_key_lines_finds_every_key(lines: list[tuple[str, str, bool]]) -> None:
    """Each key is put in a table of its own, with a value that may look like keys and tables."""
    text = ""
    expected: dict[tuple[str | int, ...], int] = {}
    for number, (key, value, listed) in enumerate(lines):
        head = f"[[t.{number}]]" if listed else f" [ t . {number} ] # [x]"
        line = text.count("\n") + 2
        text += f"{head}\n{key} = {value} # {key} = 2\n"
        path: tuple[str | int, ...] = tuple(walk(tomllib.loads(f"{key} = 0")))
        table = ("t", str(number), 0) if listed else ("t", str(number))
        expected |= {table: line - 1, (*table, *path): line}
    assert expected.items() <= key_lines(text).items()


def walk(tree: dict[str, object]) -> list[str]:
    """The one path through nested tables of one key each."""
    [(key, value)] = tree.items()
    return [key, *(walk(value) if isinstance(value, dict) else [])]
