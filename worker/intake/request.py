"""Message in: the schema of a request, its identity and its fingerprint. Bad input becomes ``InvalidMessage``."""

import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Self
from uuid import UUID, uuid5

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from worker.errors import InvalidMessage
from worker.intake import fingerprint
from worker.intake.images import ImageInput, parse_image
from worker.rules.job import MAX_IMAGE_BYTES
from worker.rules.untrusted import is_nested_at_most, length_of_texts

NAMESPACE = UUID("5a3d0b1e-7c5e-4d0a-9a57-1f6c1c0f3d5a")
MAX_METADATA_BYTES = 64 * 1024
MAX_POINTS = 1000
MAX_COORDINATE = 1e9
MAX_NESTING = 32
LONGEST_TEXT = 2000
NOT_BUILT = {
    "reply_to": "is not supported yet; wait for the event on `sam3d.events`",
    "callback_url": "is not supported yet; wait for the event on `sam3d.events`",
    "expiration": "is not supported: the broker would drop the request unheard; send it without",
}
"""Fields of the contract and properties of a message that are refused by name: they would otherwise be ignored."""


def _image(value: object) -> ImageInput:
    try:
        return parse_image(value)
    except ValueError as error:
        raise PydanticCustomError("image", "{why}", {"why": str(error)}) from None


def _as_list(value: object, form: str) -> list[Any]:
    """Read the vendor's string form as well as a list."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, list):
        raise PydanticCustomError("form", "must be {form}", {"form": form})
    return value


def _coordinate(value: object) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number", "must hold numbers only")
    if not 0 <= value <= MAX_COORDINATE:
        raise PydanticCustomError("finite", "must hold finite numbers that are not negative")
    return int(value) if float(value).is_integer() else value


def _box(value: object) -> tuple[int | float, ...]:
    corners = _as_list(value, "`[x1, y1, x2, y2]`")
    if len(corners) != 4:
        raise PydanticCustomError("box", "must have four numbers: `[x1, y1, x2, y2]`")
    x1, y1, x2, y2 = (_coordinate(each) for each in corners)
    if x2 <= x1 or y2 <= y1:
        raise PydanticCustomError("box", "must have x2 > x1 and y2 > y1")
    return (x1, y1, x2, y2)


def _points(value: object) -> tuple[tuple[int | float, ...], ...]:
    form = "`[[x1, y1], [x2, y2]]`"
    points = _as_list(value, form)
    if not 1 <= len(points) <= MAX_POINTS or not all(isinstance(p, list) and len(p) == 2 for p in points):
        raise PydanticCustomError("points", "must be one to {most} pairs: {form}", {"most": MAX_POINTS, "form": form})
    return tuple((_coordinate(x), _coordinate(y)) for x, y in points)


def _written(value: object) -> bytes:
    """Write a value as JSON; refuse what neither JSON nor PostgreSQL can hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        written = text.encode()
    except (TypeError, ValueError, RecursionError):
        raise PydanticCustomError("storable", "must be plain JSON with finite numbers and valid Unicode") from None
    if _NULL_CHARACTER.search(text):
        raise PydanticCustomError("storable", "must not hold the character U+0000")
    return written


_NULL_CHARACTER = re.compile(r"(?<!\\)(\\\\)*\\u0000")  # Escaped itself, it is six characters of text.


def _text(value: object) -> object:
    """Check a text that is not too long anyway."""
    if isinstance(value, str) and len(value) <= LONGEST_TEXT:
        _written(value)
    return value


def _metadata(value: object) -> object:
    """Check an object, its size first by what is in it, as writing it takes as much memory again."""
    if not is_nested_at_most(value, MAX_NESTING):
        raise PydanticCustomError("nesting", "must be nested at most {most} levels deep", {"most": MAX_NESTING})
    if length_of_texts(value) > MAX_METADATA_BYTES or len(_written(value)) > MAX_METADATA_BYTES:
        raise PydanticCustomError("small", "must be at most 64 KiB as JSON")
    return value


Text = Annotated[str, BeforeValidator(_text)]
Image = Annotated[ImageInput, BeforeValidator(_image), WithJsonSchema({"type": "string"})]


class ReconstructionRequest(BaseModel):
    """A request for one 3D model: the vendor's parameters and ours."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )

    image: Image = Field(repr=False, description="http(s) URL, data URI or base64; with the mask at most 10 MiB.")
    mask: Image | None = Field(None, repr=False, description="Mask image, given like `image`.")
    prompt: Annotated[Text, StringConstraints(min_length=1, max_length=LONGEST_TEXT)] | None = Field(
        None, repr=False, description="Text that names the object, e.g. `car`."
    )
    bounding_box: Annotated[tuple[int | float, ...], BeforeValidator(_box)] | None = Field(
        None, description="`[x1, y1, x2, y2]` in pixels, a list or a string."
    )
    point_coords: Annotated[tuple[tuple[int | float, ...], ...], BeforeValidator(_points)] | None = Field(
        None, description="`[[x1, y1], …]` in pixels, a list or a string."
    )
    seed: int | None = Field(None, ge=0, le=1_000_000, description="0 to 1000000; the vendor's default is 123.")
    include_artifacts: bool | None = Field(None, description="Whether a ZIP of intermediate files is made as well.")
    job_id: UUID | None = Field(None, description="The job's id, chosen by the sender.")
    idempotency_key: Annotated[Text, StringConstraints(min_length=1, max_length=255)] | None = Field(
        None, description="A sender's key has one job until it fails or is cancelled; another payload is refused."
    )
    priority: int = Field(0, ge=-100, le=100, description="Of jobs that wait for their submit, higher goes first.")
    force: bool = Field(False, description="Whether a run of its own is made where equal requests share one.")
    metadata: Annotated[dict[str, Any], BeforeValidator(_metadata)] = Field(
        default_factory=dict, repr=False, description="Given back in every event, untouched; at most 64 KiB."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.image.size + (self.mask.size if self.mask else 0) > MAX_IMAGE_BYTES:
            raise PydanticCustomError("image", "and `mask` are together larger than 10 MiB; send smaller ones, or URLs")
        return self

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The vendor's parameters without the files, in the vendor's forms."""
        given: dict[str, Any] = {
            "prompt": self.prompt,
            "bounding_box": json.dumps(self.bounding_box) if self.bounding_box else None,
            "point_coords": json.dumps(self.point_coords) if self.point_coords else None,
            "seed": self.seed,
            "include_artifacts": self.include_artifacts,
        }
        return {name: value for name, value in given.items() if value is not None}

    @property
    def files(self) -> dict[str, ImageInput]:
        """The images by the name of their field."""
        return {"image": self.image} | ({"mask": self.mask} if self.mask else {})

    @cached_property
    def fingerprint(self) -> str:
        """What two requests share if they ask for the same: everything but the identity."""
        content = {
            "parameters": self.parameters,
            "files": {name: image.sha256 for name, image in self.files.items()},
            "priority": self.priority,
            "metadata": self.metadata,
        }
        return fingerprint.fingerprint(content)


def parse_request(fields: Mapping[str, Any]) -> ReconstructionRequest:
    """Check the fields of a request.

    Raises:
        InvalidMessage: names the first field that is wrong and the fix, never its value.
    """
    for name, why in NOT_BUILT.items():
        if fields.get(name) is not None:
            raise InvalidMessage(name, f"`{name}` {why}.", "not_supported")
    # One name of many, before the library makes an error of each.
    if unknown := next((name for name in fields if name not in ReconstructionRequest.model_fields), None):
        raise InvalidMessage(shown_name(unknown), f"`{shown_name(unknown)}` {_SENTENCES['extra_forbidden']}.")
    try:
        return ReconstructionRequest.model_validate(_with_uuid(fields))
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_input=False)[0]) from None


def _with_uuid(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the job id, which JSON has as text."""
    if fields.get("job_id") is None:
        return fields
    job_id = given_job_id(fields)
    if job_id is None:
        raise InvalidMessage("job_id", "`job_id` must be a UUID.")
    return {**fields, "job_id": job_id}


def given_job_id(fields: Mapping[str, Any]) -> UUID | None:
    """Return the sender's job id if it is a UUID in the usual form."""
    given = fields.get("job_id")
    if isinstance(given, UUID):
        return given
    return UUID(given) if isinstance(given, str) and _UUID.fullmatch(given) else None


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_SENTENCES = {
    "missing": "is required",
    "extra_forbidden": "is not a field of a request; remove it",
    "int_type": "must be an integer",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be an object",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "too_long": "is too long",
}


def _invalid(error: ErrorDetails) -> InvalidMessage:
    field = shown_name(str(error["loc"][0])) if error["loc"] else "image"
    sentence = _SENTENCES.get(error["type"]) or error["msg"].replace("Input should be", "must be")
    return InvalidMessage(field, f"`{field}` {sentence[0].lower()}{sentence[1:]}.")


def shown_name(name: str) -> str:
    """Return a field's name as it may be logged and told."""
    return re.sub(r"[^\w.-]", "?", name[:64], flags=re.ASCII)


def readable_metadata(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the sender's metadata of a request that may be wrong elsewhere, to be given back; empty if it is not."""
    given = fields.get("metadata", {})
    try:
        return dict(_metadata(given)) if isinstance(given, dict) else {}  # type: ignore[call-overload]
    except (PydanticCustomError, RecursionError):
        return {}


def derived_job_id(kind: str, *parts: str) -> UUID:
    """Return the identity of a request that has no ``job_id``: the same however often its message comes."""
    return uuid5(NAMESPACE, json.dumps([kind, *parts]))
