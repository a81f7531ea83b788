"""A writer of the model, step by step as store/writer.py goes.

    start -> lease -> read -> look -> [upload] -> secure -> [copy -> secure] -> create -> confirm -> end -> done
    publish -> end -> done

Rule: a step is one request. A writer that fails says so, and is `done` without having been told of a success.
"""

from collections.abc import Iterator

from .model_state import Setting, State, Writer, counting, in_force, newest, with_writer, without_lease


def own_pack(setting: Setting, number: int) -> int:
    """The pack that a writer uploads."""
    return 1 << (setting.copies + number - 1)


def writer_steps(state: State, setting: Setting, number: int) -> Iterator[State]:
    """What the writer may do next, and what may happen to it."""
    writer = state.writers[number - 1]
    yield from _STEPS[writer.at](state, setting, number, writer)


def _start(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    late = setting.broken == "lease-after-look"
    yield with_writer(state, number, writer._replace(at="read" if late else "lease", generation=newest(state)))


def _lease(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    leases = tuple(sorted((*state.leases, (number, writer.generation))))
    following = "secure" if setting.broken == "lease-after-look" else "read"
    yield with_writer(state, number, writer._replace(at=following), leases=leases)


def _read(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    known = 0
    for each in in_force(state.condemned, setting.broken):
        known |= each.packs
    if setting.broken == "relies-on-condemned":
        known = 0
    yield with_writer(state, number, writer._replace(at="look", known=known, read=newest(state)))


def _look(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    """Look the chunk up; or take it over from an earlier root, if there is one."""
    after = "lease" if setting.broken == "lease-after-look" else "secure"
    sound = state.named & state.packs & ~writer.known
    if number in setting.inherit and counting(state, setting.broken):
        relies = sound or state.packs & writer.known
        if setting.broken == "inherits-unseen":
            relies = 0  # nothing that it would hold against condemnations
        yield with_writer(state, number, writer._replace(at=after, relies=relies))
        return
    yield with_writer(state, number, writer._replace(at=after if sound else "upload", relies=sound))


def _publish(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    """Merge segments: what it knew of is named again, also what was removed since from under one that was given up."""
    yield with_writer(state, number, writer._replace(at="end"), named=state.named | writer.named)


def _upload(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    """Store the chunk; or find it published meanwhile."""
    if number in setting.again and (found := state.named & ~writer.known):
        there = found if setting.broken == "again-unseen" else found & state.packs
        yield with_writer(state, number, writer._replace(at="secure" if there else "upload", relies=there))
    mine = own_pack(setting, number)
    late = setting.broken == "lease-after-look"
    after = "lease" if late else "secure"
    packs, named = state.packs | mine, state.named | mine
    yield with_writer(state, number, writer._replace(at=after, relies=mine), packs=packs, named=named)


def _secure(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    """Read what was condemned since; copy where all that it relies on is condemned."""
    known = writer.known
    for each in state.condemned:
        if each.generation > writer.read:
            known |= each.packs
    writer = writer._replace(known=known, read=max(writer.read, newest(state)))
    condemned = bool(writer.relies) and not writer.relies & ~known
    if setting.broken == "relies-on-condemned":
        condemned = False
    yield with_writer(state, number, writer._replace(at="copy" if condemned else "create"))


def _copy(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    if not writer.relies & state.packs:
        yield _failed(state, number, writer)  # it is gone: the session fails
        return
    mine = own_pack(setting, number)
    packs, named = state.packs | mine, state.named | mine
    yield with_writer(state, number, writer._replace(at="secure", relies=mine), packs=packs, named=named)


def _create(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    root = 1 << number
    if setting.broken == "lease-ends-early":
        state = state._replace(leases=without_lease(state, number))
    yield with_writer(state, number, writer._replace(at="confirm"), roots=state.roots | root)
    # The answer is lost: the writer fails, keeps its lease, and the root is there, comes later, or never.
    leases = without_lease(state, number) if setting.broken == "lease-dropped-unanswered" else state.leases
    yield with_writer(state, number, Writer("done"), roots=state.roots | root, leases=leases)
    yield with_writer(state, number, Writer("done"), flying=state.flying | root, leases=leases)


def _confirm(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    root = 1 << number
    fenced = bool(state.fences & root) and setting.broken != "unconfirmed"
    if fenced and (number, True) not in state.accepted:
        yield _failed(state._replace(roots=state.roots & ~root), number, writer)
    else:
        yield with_writer(state, number, writer._replace(at="end"), told=state.told | root)


def _end(state: State, setting: Setting, number: int, writer: Writer) -> Iterator[State]:
    yield with_writer(state, number, Writer("done"), leases=without_lease(state, number))


def _failed(state: State, number: int, writer: Writer) -> State:
    """It says so, and removes its lease."""
    return with_writer(state, number, Writer("done"), leases=without_lease(state, number))


_STEPS = {
    "start": _start,
    "lease": _lease,
    "read": _read,
    "look": _look,
    "publish": _publish,
    "upload": _upload,
    "secure": _secure,
    "copy": _copy,
    "create": _create,
    "confirm": _confirm,
    "end": _end,
}
