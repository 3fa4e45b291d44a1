"""What is inside a ZIP is looked at as far as lengths and names go, and no further."""

import io
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.containers import BUDGET, DOCUMENT, described, verdict
from worker.gate.glb import check_glb
from worker.gate.zips import MOST_ENTRIES, check_usdz, check_zip


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


def test_a_scene_in_a_zip_is_not_compressed() -> None:
    """No viewer would open it (the USDZ specification, "Layout")."""
    files = {"scene.usdc": b"x" * 1000, "0/photo.png": b"y"}
    assert verdict(check_usdz, packed(files, zipfile.ZIP_STORED)) == ""
    assert verdict(check_usdz, packed(files)).endswith("bytes has 2 files that are compressed.")


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
