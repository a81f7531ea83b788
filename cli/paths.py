"""Paths on their way out: to a terminal, and into JSON.

Rule: a path is bytes and need not be UTF-8. What is printed can be read and can do nothing: bytes that are not UTF-8,
and characters that do not print (line breaks, terminal escapes), become backslash escapes. JSON carries a path twice
when it is not UTF-8: with replacement characters to read, and in hex to be exact.
"""


def shown(path: bytes | str) -> str:
    """A path (or any text that holds one) for people: `caf\\xe9`, `two\\nlines`; everything printable as it is."""
    text = as_bytes(path).decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def about(path: bytes | str, message: str) -> str:
    """A message with the path that it is about, which stands there once: errors of the store begin with it."""
    place, said = shown(path), shown(message)
    return said if not place or said.startswith((f"{place}: ", f"{place}, ")) else f"{place}: {said}"


def path_record(path: bytes | str, name: str = "path") -> dict[str, str]:
    """{"path": text}, and {"path_hex": hex of the bytes} too where the path is not UTF-8."""
    raw = as_bytes(path)
    try:
        return {name: raw.decode("utf-8")}
    except UnicodeDecodeError:
        return {name: raw.decode("utf-8", "replace"), f"{name}_hex": raw.hex()}


def as_bytes(path: bytes | str) -> bytes:
    """The bytes of a path as the system gives it (surrogate escapes turned back)."""
    return path if isinstance(path, bytes) else path.encode("utf-8", "surrogateescape")
