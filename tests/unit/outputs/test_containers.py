"""What is inside a GLB or a ZIP is looked at as far as lengths, names and JSON go, and no further."""

import io
import json
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import trimesh as typed_trimesh
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import OutputBroken, OutputUnusable
from worker.outputs.containers import MOST_ENTRIES, check_glb, check_zip
from worker.simulator.artifacts import Files, make_files
from worker.simulator.model import Hint

trimesh: Any = typed_trimesh  # Much of it has no types.

DOCUMENT = {"asset": {"version": "2.0"}}
BIN = (b"BIN\0", b"1234")
BUDGET = 0.1
"""Seconds of CPU that any file may take."""


def glb(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a GLB of these chunks."""
    body = b"".join(struct.pack("<I4s", len(content), kind) + content for kind, content in chunks)
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def described(document: object) -> bytes:
    """Return a GLB with this JSON."""
    return glb((b"JSON", json.dumps(document).encode()), BIN)


def verdict(check: Callable[[Any, int], None], content: bytes) -> str:
    """Return why a file is not kept, or nothing; anything but a refusal is a bug."""
    try:
        check(io.BytesIO(content), len(content))
    except (OutputBroken, OutputUnusable) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.fixture(scope="module")
def made(png: bytes) -> Files:
    """Return what the simulator makes of a photo."""
    return make_files(png, Hint(), 5)


def test_what_the_simulator_makes_is_kept(made: Files) -> None:
    """A model with a texture, and a ZIP of what was made on the way."""
    assert verdict(check_glb, made.glb) == verdict(check_zip, made.zip) == ""


@pytest.mark.parametrize(
    "scene",
    [trimesh.Scene([trimesh.creation.box()]), trimesh.Scene([trimesh.PointCloud(np.eye(3))])],
    ids=["mesh", "points"],
)
def test_what_others_write_is_kept(scene: Any) -> None:
    """Models with colours at their corners alone, and clouds."""
    assert verdict(check_glb, scene.export(file_type="glb")) == ""


GOOD = {
    "JSON alone": glb((b"JSON", json.dumps(DOCUMENT).encode())),
    "both": described(DOCUMENT),
    "an unknown chunk behind": glb((b"JSON", json.dumps(DOCUMENT).encode()), BIN, (b"XTRA", b"")),
    "no data, and an unknown chunk": glb((b"JSON", json.dumps(DOCUMENT).encode()), (b"XTRA", b"1234")),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_sound_glb_is_kept(name: str) -> None:
    """Chunks of other kinds are for those who know them (glTF 2.0, "Chunks")."""
    assert verdict(check_glb, GOOD[name]) == ""


BROKEN = {
    "a header alone": glb(),
    "half a chunk's header": glb() + b"1234",
    "noise": glb() + bytes(range(200)),
    "an end within the JSON": described(DOCUMENT)[:40],
    "an end within the data": described(DOCUMENT)[:-1],
    "a byte too many": described(DOCUMENT) + b"\0",
    "a chunk longer than all": glb() + struct.pack("<I4s", 2**32 - 1, b"JSON"),
    "data first": glb(BIN, (b"JSON", b"{}")),
    "two of JSON": glb((b"JSON", json.dumps(DOCUMENT).encode()), (b"JSON", b"{}")),
    "data twice": glb((b"JSON", json.dumps(DOCUMENT).encode()), BIN, BIN),
    "no JSON": glb((b"JSON", b"oops")),
    "empty JSON": glb((b"JSON", b"")),
    "JSON in another writing": glb((b"JSON", b"\xff\xfe{\0")),
    "deep JSON": glb((b"JSON", b'{"asset":' * 10_000)),
    "JSON of many parts": glb((b"JSON", b"[" + b"{}," * 4_000_000 + b"{}]")),
    "a list": described([DOCUMENT]),
    "no asset": described({"scenes": []}),
    "an asset that is none": described({"asset": "2.0"}),
    "no version": described({"asset": {"generator": "x"}}),
    "a version that is none": described({"asset": {"version": 2}}),
    "very many chunks": glb((b"JSON", json.dumps(DOCUMENT).encode()), *[(b"XTRA", b"")] * 100_000),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_glb_is_told(name: str) -> None:
    """It is fetched again, and its job fails if it stays so; in no time, and in little memory."""
    content, began = BROKEN[name], time.thread_time()
    assert verdict(check_glb, content).startswith(f"OutputBroken: The GLB of {len(content)} bytes ")
    assert time.thread_time() - began < BUDGET


def packed(files: Mapping[str, bytes], how: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    """Return a ZIP of files by name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        archive.comment = comment
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, how)
    return out.getvalue()


def renamed(to: bytes) -> bytes:
    """Return a ZIP of a file with this name, whatever zipfile thinks of it."""
    return packed({"N" * len(to): b"x"}).replace(b"N" * len(to), to)


def changed(at: int, form: str, *values: int) -> bytes:
    """Return a ZIP of one file whose entry in the directory has something else there."""
    content = bytearray(packed({"a.txt": b"x"}))
    struct.pack_into(form, content, content.index(b"PK\1\2") + at, *values)
    return bytes(content)


def ended(at: int, form: str, *values: int) -> bytes:
    """Return one whose end record has something else there."""
    content = bytearray(packed({"a.txt": b"x"}))
    struct.pack_into(form, content, content.index(b"PK\5\6") + at, *values)
    return bytes(content)


def in_64_bits(entries: int = 1) -> bytes:
    """Return a ZIP whose end record leaves all to the one of 64 bits."""
    content = packed({"a.txt": b"x"})
    end = content.index(b"PK\5\6")
    start = content.index(b"PK\1\2")
    more = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, end - start, start)
    more += struct.pack("<4sIQI", b"PK\6\7", 0, end, 1)
    return content[:end] + more + b"PK\5\6\0\0\0\0" + b"\xff" * 12 + b"\0\0"


@pytest.mark.parametrize(
    "content",
    [
        packed({"mask.png": b"x", "deep/er/näme.json": b"{}", "a..b": b"", "folder/": b""}),
        packed({"a.txt": b"x" * 1000}, zipfile.ZIP_STORED, b"a comment of somebody's"),
        packed({"zeros.npy": bytes(500_000)}),
        packed({f"{number:05}.png": b"" for number in range(MOST_ENTRIES)}),
        renamed(b"\x81.png"),
        in_64_bits(),
    ],
    ids=["names", "comment", "small zeros", "many", "code page 437", "64 bits"],
)
def test_a_sound_zip_is_kept(content: bytes) -> None:
    """However it was written, if its files stay in their folder."""
    assert verdict(check_zip, content) == ""


UNUSABLE = {
    **{f"the name {name!r}": renamed(name) for name in (
        b"../../../etc/cron.d/x", b"a/../../x", b"..", b"/etc/passwd", b"\\x", b"a\\..\\x", b"C:x", b"c:/x", b"a\0.txt",
        b"a\x1b[31m", b"a\nb", b"\x7f",
    )},
    "a name of bidi marks": packed({"a\u202egnp.exe": b"x"}),
    "no name": renamed(b"")[:],
    "a ratio of 1:1000": packed({"a.bin": bytes(20 * 2**20)}),
    "a file of 4 GiB": changed(24, "<I", 0xFFFFFFFF),
    "a file that is encrypted": changed(8, "<H", 1),
    "a file with a hidden directory": changed(8, "<H", 1 << 13),
    "a link": changed(40, "<H", 0o120777),
    "one file too many": packed({f"{number:05}": b"" for number in range(MOST_ENTRIES + 1)}),
    "as many in 64 bits": in_64_bits(2**64 - 1),
}  # fmt: skip


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_zip_that_nobody_should_unpack_is_refused(name: str) -> None:
    """No other try would be better; the sentence has no name of it."""
    content = UNUSABLE[name]
    tracemalloc.start()
    began = time.thread_time()
    found = verdict(check_zip, content)
    assert time.thread_time() - began < BUDGET
    assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    tracemalloc.stop()
    assert found.startswith("OutputUnusable: The ZIP was not kept: ")
    assert "etc" not in found


TORN = {
    "an end record alone": packed({}),
    "an end that is cut": packed({"a.txt": b"x"})[:-3],
    "something behind the end": packed({"a.txt": b"x"}) + b"x",
    "something before all": b"x" + packed({"a.txt": b"x"}),
    "no end": packed({"a.txt": b"x"})[:-22],
    "another count": ended(10, "<H", 2),
    "no count": ended(10, "<H", 0),
    "a directory elsewhere": ended(16, "<I", 0),
    "a directory longer than all": ended(12, "<I", 2**32 - 2),
    "64 bits that are not there": ended(10, "<HII", 0xFFFF, 2**32 - 1, 2**32 - 1),
    "a name longer than all": changed(28, "<H", 0xFFFF),
    "an entry of no kind": changed(0, "<4s", b"PK\1\3"),  # type: ignore[arg-type]
    "data outside": changed(42, "<I", 2**31),
    "data over the directory": changed(20, "<I", 1000),
    "a name in no writing": changed(8, "<H", 1 << 11).replace(b"a.txt", b"a\xff.tx"),
}


@pytest.mark.parametrize("name", TORN)
def test_a_zip_that_does_not_fit_is_broken(name: str) -> None:
    """It may come whole the next time."""
    assert verdict(check_zip, TORN[name]).startswith(f"OutputBroken: The ZIP of {len(TORN[name])} bytes ")


@given(st.sampled_from([described(DOCUMENT), packed({"a.txt": b"x", "b/c": b"y"}, comment=b"hi")]), st.data())
def test_no_damage_breaks_the_check(content: bytes, data: st.DataObject) -> None:
    """Whatever bytes come, the file is kept or refused."""
    place, length = data.draw(st.integers(0, len(content))), data.draw(st.integers(0, 8))
    damaged = content[:place] + data.draw(st.binary(max_size=8)) + content[place + length :]
    for check in (check_glb, check_zip):
        assert verdict(check, damaged).partition(":")[0] in {"", "OutputBroken", "OutputUnusable"}
