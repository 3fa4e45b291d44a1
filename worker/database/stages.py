"""A job's stage: what indexes know of its state. Most steps leave a job in its stage, and so write to no index."""

from enum import IntEnum


class Stage(IntEnum):
    """Where a job is, for indexes; a failed or cancelled one has none."""

    WAITING = 0  # It is accepted.
    SUBMITTING = 1
    LATER = 2  # Every other state that is not final.
    SUCCEEDED = 3


STAGE = (
    f"(CASE state WHEN 'accepted'::text THEN {Stage.WAITING} WHEN 'submitting'::text THEN {Stage.SUBMITTING} "
    f"WHEN 'succeeded'::text THEN {Stage.SUCCEEDED} WHEN 'failed'::text THEN NULL::integer "
    f"WHEN 'cancelled'::text THEN NULL::integer ELSE {Stage.LATER} END)::smallint"
)
WAITS_UNTIL = "CASE WHEN state = 'accepted'::text THEN sweep_at ELSE NULL::timestamp with time zone END"
"""Both as PostgreSQL writes them back, so that the schema is known to be this."""
