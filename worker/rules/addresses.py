"""Pure: the addresses in a body, and what their ends say of the files there."""

import re
from collections.abc import Iterator

from worker.places import LONGEST_ADDRESS

MAX_ADDRESSES = 16


def read_addresses(value: object) -> tuple[str, ...]:
    """Return the URLs in an output, each once, and not too many."""
    return tuple(dict.fromkeys(find_addresses(value)))[:MAX_ADDRESSES]


def find_addresses(value: object, depth: int = 4) -> Iterator[str]:
    """Find the URLs in an output: a string, a list, an object, or none at all."""
    if isinstance(value, str):
        if value.startswith(("http://", "https://")) and value.isprintable() and len(value) <= LONGEST_ADDRESS:
            yield value
    elif isinstance(value, dict | list) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from find_addresses(each, depth - 1)


FILES = {
    "glb", "gltf", "ply", "obj", "stl", "usdz", "splat", "spz", "zip", "png", "jpg", "jpeg", "webp", "json", "npz",
    "mtl", "mp4",
}  # fmt: skip
"""What an address of a file ends in."""


def is_file(address: str) -> bool:
    """Tell an output beside ``output``, such as the ZIP of artifacts, from the other addresses in a body."""
    return promised(address) in FILES


def promised(address: str) -> str:
    """Return what the end of an address says of its file, such as ``glb``, or nothing."""
    last = re.split(r"[?#]", address, maxsplit=1)[0].rpartition("/")[2]
    return last.rpartition(".")[2].lower() if "." in last else ""
