"""Pure: the addresses in a body, and what their ends say of the files there."""

from collections.abc import Iterable, Iterator, Sequence

from worker.places import LONGEST_ADDRESS

MAX_ADDRESSES = 16
"""Files of a run that are downloaded; of more, models first."""

DEEPEST_OUTPUT = 16
"""Levels of lists and objects that an address may be in."""


def read_addresses(value: object) -> tuple[str, ...]:
    """Return the URLs in an output, each once, and not too many."""
    return first_of(find_addresses(value))


def first_of(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return addresses, each once, and not too many: of more than that no model is left out."""
    each_once = tuple(dict.fromkeys(addresses))
    if len(each_once) <= MAX_ADDRESSES:
        return each_once
    return tuple(sorted(each_once, key=lambda each: promised(each) not in _MODELS))[:MAX_ADDRESSES]


_MODELS = {"glb", "gltf", "ply", "obj", "stl", "usdz", "splat", "spz"}


def find_addresses(value: object, depth: int = DEEPEST_OUTPUT) -> Iterator[str]:
    """Find the URLs in an output: a string, a list, an object, or none at all."""
    if isinstance(value, str):
        if value.startswith(("http://", "https://")) and value.isprintable() and len(value) <= LONGEST_ADDRESS:
            yield value
    elif isinstance(value, dict | list) and depth:
        for each in value.values() if isinstance(value, dict) else value:
            yield from find_addresses(each, depth - 1)


FILES = {*_MODELS, "zip", "png", "jpg", "jpeg", "webp", "json", "npz", "mtl", "mp4"}
"""What an address of a file ends in."""


def is_file(address: str) -> bool:
    """Tell an output beside ``output``, such as the ZIP of artifacts, from the other addresses in a body."""
    return promised(address) in FILES


def find_beside(value: object, made: Sequence[str]) -> Iterator[str]:
    """Find files beside an output: of a known kind anywhere, of any other in the folder of an output or below."""
    folders = tuple({_folder(each) for each in made[:MAX_ADDRESSES]} - {""})
    for each in find_addresses(value):
        if is_file(each) or (promised(each) and each.startswith(folders)):
            yield each


def _folder(address: str) -> str:
    """Return where an address lies, with the slash at its end, or nothing where it has no path."""
    folder = "".join(_without_query(address).rpartition("/")[:2])
    return folder if folder.count("/") > 2 else ""


def promised(address: str) -> str:
    """Return what the end of an address says of its file, such as ``glb``, or nothing."""
    last = _without_query(address).rpartition("/")[2]
    return last.rpartition(".")[2].lower() if "." in last else ""


def _without_query(address: str) -> str:
    return address.partition("?")[0].partition("#")[0]
