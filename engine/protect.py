"""Parity as a command works on it: the store's `protect`, with events.

Rule: nothing is decided here; what parity is and when it changes is the store's (`store/protection.py`).
"""

from siltstone.store import Backend, Policy, Protection, protect

from .errors import ConfigError
from .events import Progress, Report, Warned


def parse_policy(text: str) -> Policy:
    """'2/16': two parity objects for sixteen packs. Raises ConfigError."""
    try:
        return Policy.parse(text)
    except ValueError as error:
        hint = "write 2/16 for two parity objects over sixteen packs; at most 256 together"
        raise ConfigError(str(error), hint=hint) from None


def protect_store(backend: Backend, parity: str | None, *, dry_run: bool = False, report: Report) -> Protection:
    """Cover every pack, with parity such as '2/16'; see store.protect.

    Raises ConfigError where none is given and no stripe shows one.
    """
    policy = None if parity is None else parse_policy(parity)

    def tell(done: int, total: int) -> None:
        report(Progress("stripes", done, 0, total_files=total))

    result = protect(backend, policy, dry_run=dry_run, tell=tell)
    if result.policy is None:
        raise ConfigError("the store has no parity yet", hint="say how much: silt protect --parity 2/16")
    for fault in result.damaged:
        report(Warned("damaged", fault.object, fault.error))
    for pack in sorted(result.lost):
        report(Warned("damaged", f"packs/{pack[:2]}/{pack}", "a stripe covers it, and it is not there"))
    return result
