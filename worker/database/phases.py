"""A job's phase: what indexes know of its state. Most steps leave a job in its phase, and so write to no index."""

from enum import IntEnum


class Phase(IntEnum):
    """Where a job is, for indexes; a failed or cancelled one has none."""

    WAITING = 0  # It is accepted.
    UNDER_WAY = 1  # It is submitted, or has a run.
    LATER = 2  # Every other state that is not final.
    SUCCEEDED = 3


PHASE = (
    f"(CASE state WHEN 'accepted'::text THEN {Phase.WAITING} WHEN 'submitting'::text THEN {Phase.UNDER_WAY} "
    f"WHEN 'processing'::text THEN {Phase.UNDER_WAY} WHEN 'fetching'::text THEN {Phase.UNDER_WAY} "
    f"WHEN 'succeeded'::text THEN {Phase.SUCCEEDED} WHEN 'failed'::text THEN NULL::integer "
    f"WHEN 'cancelled'::text THEN NULL::integer ELSE {Phase.LATER} END)::smallint"
)
WAITS_UNTIL = "CASE WHEN state = 'accepted'::text THEN sweep_at ELSE NULL::timestamp with time zone END"
STAGE = (
    "(CASE state WHEN 'accepted'::text THEN 0 WHEN 'submitting'::text THEN 1 "
    "WHEN 'succeeded'::text THEN 3 WHEN 'failed'::text THEN NULL::integer "
    "WHEN 'cancelled'::text THEN NULL::integer ELSE 2 END)::smallint"
)
"""What workers of the last release ask after.

All are as PostgreSQL writes them back, so that the schema is known to be this.
"""
