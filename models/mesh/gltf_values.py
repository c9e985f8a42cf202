"""Values of a stranger's glTF, taken only as what they should be: numbers within bounds, lists of objects, data that is inside the file."""

from __future__ import annotations

import base64
import binascii

MAX_BYTES = 512 * 2**20  # of a file, and of everything in it
MAX_JSON = 8 * 2**20  # bytes of its JSON: Python's lists take twenty times as much
MAX_ENTRIES = 20_000  # of each list in it
MAX_NODES = 10_000


def refusal(expected: str, came: str, remedy: str) -> ValueError:
    """One sentence: what was expected, what came, what to do."""
    return ValueError(f"from_glb: expected {expected}, got {came}; {remedy}")


def entries(header: dict, name: str) -> list:
    """A list of the JSON's, of objects alone.

    Raises:
        ValueError: no such list, or one that is too long.
    """
    values = header.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise refusal(f"a list of objects as {name}", "something else", "export the broken file again")
    most = MAX_NODES if name == "nodes" else MAX_ENTRIES
    if len(values) > most:
        raise refusal(f"at most {most} {name}", f"{len(values)}", "join or simplify the model's parts")
    return values


def whole(value: object, what: str, most: int = MAX_BYTES) -> int:
    """A whole number from 0 to `most`.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise refusal(
            f"{what} to be a whole number from 0 to {most}",
            f"{str(value)[:40]}",
            "export the broken file again",
        )
    return value


def entry(values: list, index: object, what: str) -> int:
    """The number of an entry that is there.

    Raises:
        ValueError: it is not.
    """
    if not values:
        raise refusal(f"{what} among the file's own", "none at all", "export the broken file again")
    return whole(index, f"the number of {what}", len(values) - 1)


def finite(values: object, count: int, what: str) -> list[float]:
    """`count` finite numbers.

    Raises:
        ValueError: anything else.
    """
    right = isinstance(values, list) and len(values) == count
    if not right or not all(
        isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) < 1e30 for x in values
    ):
        raise refusal(
            f"{count} finite numbers as {what}", f"{str(values)[:60]}", "export the broken file again"
        )
    return [float(x) for x in values]


def embedded(uri: object, what: str) -> bytes:
    """The bytes of a data: URI.

    Raises:
        ValueError: another URI, which names a file or a place elsewhere, or text that is no base64.
    """
    if not isinstance(uri, str) or not uri[:5].lower() == "data:":
        came = f"one at {uri[:40]!r}" if isinstance(uri, str) else "one at no address"
        raise refusal(f"every {what} inside the GLB", came, "export it with everything embedded")
    mark = uri.find("base64,", 0, 200)
    if mark < 0 or len(uri) > MAX_JSON:
        raise refusal(
            f"a {what} in base64", "a data: URI of another form", "export it with everything embedded"
        )
    try:
        return base64.b64decode(uri[mark + 7 :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise refusal(f"a {what} in base64", "text that is none", "export the broken file again") from error
