"""`sam3d dead` on a broker: what is shown of letters that anybody may have written, and where they go."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from kombu import Connection

from tests.support.services.zygote import Zygote
from worker.broker.topology import declare

HOSTILE = "\x1b]52;c;cm0gLXJm\x07\u202e"
GOOD = {"x-sam3d-reason": "the body is not JSON", "x-sam3d-exchange": "sam3d.inbox", "x-sam3d-key": "reconstruct"}
FORGED: list[dict[str, Any]] = [
    {"x-sam3d-reason": HOSTILE, "x-sam3d-exchange": "", "x-sam3d-key": "victim"},
    {"x-sam3d-exchange": "sam3d.events", "x-sam3d-key": "sam3d.reconstruction.succeeded"},
    {"x-death": [{"reason": "rejected", "exchange": "amq.fanout", "queue": "x", "routing-keys": ["x"], "count": 1}]},
]

Dead = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def dead(vhost_url: str, zygote: Zygote) -> Dead:
    """Provide `sam3d dead` on a broker that has a queue which is not ours, bound to whatever a letter may name."""
    with Connection(vhost_url) as connection:
        declare(connection)
        channel: Any = connection.default_channel
        channel.queue_declare("victim", durable=True, auto_delete=False)
        for exchange, key in (("sam3d.events", "#"), ("amq.fanout", "")):
            channel.queue_bind("victim", exchange, key)
    return lambda *arguments: zygote.run("dead", *arguments, SAM3D_BROKER_URL=vhost_url)


def put(url: str, *letters: dict[str, Any]) -> None:
    """Publish to the dead letters, as whoever reaches the broker can."""
    with Connection(url, transport_options={"confirm_publish": True}) as connection:
        for number, headers in enumerate(letters):
            connection.Producer().publish(f"{number}", routing_key="sam3d.dead", headers=headers, delivery_mode=2)


def counts(url: str) -> dict[str, int]:
    """Count what lies in the queues that matter."""
    with Connection(url) as connection:
        channel: Any = connection.default_channel
        names = ("sam3d.dead", "sam3d.inbox", "sam3d.requests", "victim")
        return {name: channel.queue_declare(name, passive=True).message_count for name in names}


def test_what_would_go_where_is_shown_first(dead: Dead, vhost_url: str) -> None:
    """And nothing is sent; a script that forgets to say that it is sure does not take it for done."""
    put(vhost_url, GOOD)
    (letter,) = json.loads(dead("list", "--json").stdout)
    for chosen in ("--all", letter["id"]):
        done = dead("replay", chosen)
        assert done.returncode == 2
        assert done.stdout.split()[-1] == "sam3d.inbox/reconstruct"
        assert done.stderr == "1 of 1 dead letters would be sent; --yes does it.\n"
        (shown,) = json.loads(dead("replay", chosen, "--json").stdout)
        assert shown == {**letter, "goes_to": "sam3d.inbox/reconstruct", "is_sent": False}
    assert counts(vhost_url) == {"sam3d.dead": 1, "sam3d.inbox": 0, "sam3d.requests": 0, "victim": 0}
    done = dead("replay", "--all", "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)[0]["is_sent"]) == (0, True)
    assert counts(vhost_url) == {"sam3d.dead": 0, "sam3d.inbox": 1, "sam3d.requests": 0, "victim": 0}


def test_a_letter_that_names_another_way_goes_nowhere(dead: Dead, vhost_url: str) -> None:
    """It is named, and what to do; the others go. Only a person says to which of our own queues it belongs."""
    put(vhost_url, GOOD, *FORGED)
    letters = {
        each["exchange"] or each["routing_key"]: each["id"] for each in json.loads(dead("list", "--json").stdout)
    }
    forged = [letters[way] for way in ("victim", "sam3d.events", "amq.fanout")]
    for arguments in (["--all"], ["--all", "--yes"], [*forged, "--yes"]):
        done = dead("replay", *arguments)
        assert done.returncode == 1
        (line,) = [each for each in done.stderr.splitlines() if each.startswith("sam3d: ")]
        assert all(each in line for each in [*forged, "(victim)", "(amq.fanout/x)", "--to requests", "--to inbox"])
        assert letters["sam3d.inbox"] not in line
    assert counts(vhost_url) == {"sam3d.dead": 3, "sam3d.inbox": 1, "sam3d.requests": 0, "victim": 0}
    assert dead("replay", forged[0], "--to", "requests", "--yes").returncode == 0
    assert counts(vhost_url) == {"sam3d.dead": 2, "sam3d.inbox": 1, "sam3d.requests": 1, "victim": 0}


def test_a_letter_is_shown_by_the_id_that_it_was_asked_by(dead: Dead, vhost_url: str) -> None:
    """Though its sender calls it otherwise; and nothing that he wrote steers the terminal."""
    put(vhost_url, {**FORGED[0], "id": "0123456789ab", "reason": HOSTILE})
    (letter,) = json.loads(dead("list", "--json").stdout)
    listed, shown, replayed = dead("list"), dead("show", letter["id"]), dead("replay", "--all")
    assert shown.stdout.splitlines()[0].split() == ["id", letter["id"]]
    headers = [line.split() for line in shown.stdout.partition("\nheaders\n")[2].splitlines()]
    assert ["id", "0123456789ab"] in headers
    for printed in (listed.stdout, shown.stdout, replayed.stdout, replayed.stderr):
        assert set(printed.replace("\n", "")) & set(HOSTILE[:1] + HOSTILE[-2:]) == set()


def test_there_may_be_none(dead: Dead) -> None:
    """Which is no mistake."""
    for command in (["list"], ["replay", "--all"], ["replay", "--all", "--yes"]):
        done = dead(*command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "no dead letters\n")
        assert json.loads(dead(*command, "--json").stdout) == []
