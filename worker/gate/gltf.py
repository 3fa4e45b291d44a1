"""Pure: the buffers, views and accessors of a glTF, each within what it lies in (glTF 2.0, "Buffers", "Accessors")."""

import io
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.gate.arrays import Column, Source
from worker.gate.unfit import Unfit, index, natural, numbers, part, parts, require

COMPONENTS: Mapping[int, tuple[str, int]] = {
    5120: ("b", 1), 5121: ("B", 1), 5122: ("h", 2), 5123: ("H", 2), 5125: ("I", 4), 5126: ("f", 4),
}  # fmt: skip
"""Type code and bytes of a component."""

SMALL = (5120, 5121, 5122, 5123)
"""Components that can stand for a share of one, and for positions that are quantized."""

UNSIGNED = (5121, 5123, 5125)
"""Components of an index."""

SHAPES: Mapping[str, tuple[int, int]] = {
    "SCALAR": (1, 1), "VEC2": (1, 2), "VEC3": (1, 3), "VEC4": (1, 4), "MAT2": (2, 2), "MAT3": (3, 3), "MAT4": (4, 4),
}  # fmt: skip
"""Columns of an element, and components of a column."""

PACKED = ("EXT_meshopt_compression", "KHR_meshopt_compression")
"""What holds the bytes of a view in another form, which nothing here reads."""


@dataclass(frozen=True)
class Buffer:
    """Bytes of a model; ``source`` is None where they are in another file, or are made of packed ones."""

    source: Source | None
    length: int
    is_elsewhere: bool = False


@dataclass(frozen=True)
class View:
    """A run of bytes of a buffer; ``source`` is None where its bytes are packed, or in another file."""

    source: Source | None
    length: int
    stride: int | None


@dataclass(frozen=True)
class Accessor:
    """An array of elements; without a view all of it is zero, but for what is ``sparse``."""

    shape: str
    component: int
    count: int
    view: View | None
    offset: int
    stride: int
    is_normalized: bool = False
    least: Sequence[float] | None = None
    largest: Sequence[float] | None = None
    sparse: "Sparse | None" = None

    @property
    def is_readable(self) -> bool:
        """Whether its numbers are there to be looked at."""
        return self.view is None or self.view.source is not None

    def column(self, component: int) -> Column | None:
        """Return one component of all elements."""
        if self.view is None or self.view.source is None:
            return None
        code, width = COMPONENTS[self.component]
        return Column(self.view.source, self.offset + component * width, self.stride, self.count, code)


@dataclass(frozen=True)
class Sparse:
    """Elements of an accessor that are told one by one."""

    indices: Accessor
    values: Accessor


def read_views(
    document: Mapping[str, Any], binary: Source | None, used: Sequence[str], *, is_alone: bool
) -> Sequence[View]:
    """Return the views of all buffers; ``used`` are the extensions that a model says it uses.

    Raises:
        Unfit: one is not within its buffer, or a buffer is not within this file (unless it ``is_alone``, a .gltf).
    """
    buffers = [_buffer(each, binary if number == 0 else None) for number, each in enumerate(parts(document, "buffers"))]
    require(is_alone or not any(each.is_elsewhere for each in buffers), "has a buffer in another file")
    return [_view(each, buffers, used) for each in parts(document, "bufferViews")]


def _buffer(buffer: Mapping[str, Any], binary: Source | None) -> Buffer:
    """Return where a buffer lies: in the chunk, in a data URI, in another file; some have no bytes at all."""
    length, uri = natural(buffer, "byteLength", least=1), buffer.get("uri")
    if isinstance(uri, str) and not uri.startswith("data:"):
        return Buffer(None, length, is_elsewhere=True)
    require(uri is None or isinstance(uri, str), "has a buffer whose uri is no text")
    source = binary if uri is None else _decoded(uri)
    if source:
        require(length <= source.length, f"has a buffer of {length} bytes where {source.length} are")
    return Buffer(source, length)


def _decoded(uri: str) -> Source:
    head, _, body = uri.partition(",")
    try:
        content = b64decode(body if head.endswith(";base64") else "?", validate=True)
    except ValueError:
        raise Unfit("has a data URI that is not base64") from None
    return Source(io.BytesIO(content), 0, len(content))


def _view(view: Mapping[str, Any], buffers: Sequence[Buffer], used: Sequence[str]) -> View:
    length, stride = natural(view, "byteLength", least=1), None
    if "byteStride" in view:
        stride = natural(view, "byteStride", least=4)
        require(stride <= 252 and stride % 4 == 0, f"has a byteStride of {stride}")
    extensions = part(view, "extensions")
    for name in (each for each in PACKED if each in extensions):
        require(name in used, f"uses {name} and does not say so")
        _within_buffer(part(extensions, name), buffers)
        return View(None, length, stride)
    return View(_within_buffer(view, buffers), length, stride)


def _within_buffer(view: Mapping[str, Any], buffers: Sequence[Buffer]) -> Source | None:
    """Return the bytes of a view; None where they are in another file."""
    buffer = buffers[index(view, "buffer", buffers)]
    start, length = natural(view, "byteOffset", 0), natural(view, "byteLength", least=1)
    require(start + length <= buffer.length, f"has a view to byte {start + length} of a buffer of {buffer.length}")
    require(buffer.source or buffer.is_elsewhere, "has a view of a buffer that has no bytes")
    return buffer.source and Source(buffer.source.content, buffer.source.start + start, length)


def read_accessors(document: Mapping[str, Any], views: Sequence[View]) -> Sequence[Accessor]:
    """Return all accessors.

    Raises:
        Unfit: one is not within its view, or not aligned.
    """
    return [_accessor(each, views) for each in parts(document, "accessors")]


def _accessor(accessor: Mapping[str, Any], views: Sequence[View]) -> Accessor:
    shape, component = accessor.get("type"), natural(accessor, "componentType")
    if not isinstance(shape, str) or shape not in SHAPES:
        raise Unfit("has an accessor of an unknown type")
    count, length = natural(accessor, "count", least=1), SHAPES[shape][0] * SHAPES[shape][1]
    view = views[index(accessor, "bufferView", views)] if "bufferView" in accessor else None
    placed = _placed(view, natural(accessor, "byteOffset", 0), shape, component, count)
    least, largest = numbers(accessor, "min", length), numbers(accessor, "max", length)
    pairs = zip(least or (), largest or (), strict=False)
    require(all(low <= high for low, high in pairs), "has a min above its max")
    sparse = _sparse(part(accessor, "sparse"), placed, views) if "sparse" in accessor else None
    is_normalized = accessor.get("normalized") is True
    require(not is_normalized or component in SMALL, f"has normalized components of type {component}")
    return replace(placed, is_normalized=is_normalized, least=least, largest=largest, sparse=sparse)


def _placed(view: View | None, offset: int, shape: str, component: int, count: int) -> Accessor:
    """Return an array that lies wholly in its view, on a multiple of what a component takes.

    Raises:
        Unfit: it does not.
    """
    require(component in COMPONENTS, f"has a componentType of {component}")
    width, (columns, rows) = COMPONENTS[component][1], SHAPES[shape]
    size = columns * rows * width if columns == 1 else columns * (rows * width + -rows * width % 4)
    stride = (view and view.stride) or size
    require(stride >= size, f"has elements of {size} bytes, {stride} from one to the next")
    if view is not None:
        # The chunk of a GLB begins on a multiple of four, so that places in the file tell.
        start = offset + (view.source.start if view.source else 0)
        require(start % width == 0, f"has an accessor at a byte that is no multiple of {width}")
        end = offset + stride * (count - 1) + size
        require(end <= view.length, f"has an accessor of {end} bytes in a view of {view.length}")
    return Accessor(shape, component, count, view, offset, stride)


def _sparse(sparse: Mapping[str, Any], whole: Accessor, views: Sequence[View]) -> Sparse:
    count, told = natural(sparse, "count", least=1), part(sparse, "indices")
    require(count <= whole.count, f"has {count} sparse elements of {whole.count}")
    kind = natural(told, "componentType")
    require(kind in UNSIGNED, f"has sparse indices with a componentType of {kind}")

    def placed(owner: Mapping[str, Any], shape: str, component: int) -> Accessor:
        view = views[index(owner, "bufferView", views)]
        require(view.stride is None, "has sparse elements in a view with a byteStride")
        return _placed(view, natural(owner, "byteOffset", 0), shape, component, count)

    return Sparse(placed(told, "SCALAR", kind), placed(part(sparse, "values"), whole.shape, whole.component))
