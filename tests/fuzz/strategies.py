"""What is thrown at everything that reads what others wrote: any data, and good data that was damaged on its way."""

from __future__ import annotations

from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T", str, bytes)

Plain = None | bool | int | float | str | bytes | list["Plain"] | dict[str, "Plain"]

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=300)
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=10,
)
"""Whatever msgpack can hold."""

MAPS = st.dictionaries(st.text(max_size=10), PLAIN, max_size=4)


@st.composite
def damaged(draw: st.DrawFn, good: st.SearchStrategy[bytes]) -> bytes:
    """Up to four places of it are changed, left out, doubled, or filled with something else."""
    data = bytearray(draw(good))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["change", "cut", "remove", "double", "insert"])):
            case "change" if data:
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at:]
            case "remove":
                del data[at : at + draw(st.integers(1, 8))]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 16))]
            case _:
                data[at:at] = draw(st.binary(max_size=8))
    return bytes(data)


@st.composite
def in_pieces(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> list[bytes]:
    """As it arrives: cut anywhere."""
    data = draw(whole)
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@st.composite
def misspelled(draw: st.DrawFn, good: str, tokens: list[str]) -> str:
    """A good text, some places of which are other tokens."""
    text = good
    for _ in range(draw(st.integers(1, 3))):
        start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 30))
        text = text[:start] + draw(st.sampled_from(tokens)) + text[start + length :]
    return text


def over_and_over(unit: T, size_bytes: int) -> T:
    """A text, or bytes, of one unit after the other, so that what is slow in it is slow many times."""
    return unit * (size_bytes // len(unit))
