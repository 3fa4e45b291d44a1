"""The values: what the schema refuses, and that schema, values and table tell of the same ones."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

Values = dict[str, Any]

CHART = Path(__file__).parents[2] / "charts" / "sam3d-worker"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())

WRONG: dict[str, tuple[Values, str]] = {
    "unknown": ({"wrokers": {}}, "wrokers"),
    "unknown-in-a-role": ({"workers": {"intake": {"concurency": 3}}}, "concurency"),
    "unknown-in-defaults": ({"podDefaults": {"nodeselector": {}}}, "nodeselector"),
    "unknown-in-config": ({"config": {"storeAddress": "s3://shapes"}}, "storeAddress"),
    "step": ({"workers": {"intake": {"steps": ["acept"]}}}, "steps"),
    "no-steps": ({"workers": {"more": {"concurrency": 2}}}, "steps"),
    "role-name": ({"workers": {"scheduler": {"steps": ["poll"]}}}, "scheduler"),
    "type": ({"podDefaults": {"terminationGracePeriodSeconds": "2m"}}, "terminationGracePeriodSeconds"),
    "level": ({"config": {"logLevel": "loud"}}, "logLevel"),
    "port": ({"networkPolicy": {"databasePort": 99999}}, "databasePort"),
    "key-in-clear": ({"config": {"baseUrl": "http://simulator:9100"}}, "baseUrl"),
    "history-in-clear": ({"config": {"accountUrl": "http://127.0.0.1.example"}}, "accountUrl"),
    "credentials-in-a-store": ({"config": {"storeUrl": "s3://key:secret@models"}}, "storeUrl"),
    "addresses-without-a-store": ({"config": {"inputAddresses": True}}, "storeUrl"),
    "links-in-clear": ({"config": {"publicUrl": "http://files.example"}}, "publicUrl"),
    "links-without-a-key": (
        {
            "config": {"publicUrl": "https://files.example"},
            "secret": {
                "existingSecret": "",
                "databaseUrl": "d",
                "brokerUrl": "b",
                "apiKey": "k",
                "linkKey": "SG_not_to_be_shown",
            },
        },
        "linkKey",
    ),
    "link-key-twice": ({"secret": {"linkKey": "SG_not_to_be_shown"}}, "linkKey"),
    "files-of-nobody": ({"files": {"enabled": True}}, "publicUrl"),
    "files-role": ({"workers": {"files": {"steps": ["poll"]}}}, "files"),
    "size": ({"podDefaults": {"tmpSizeLimit": "1GB"}}, "tmpSizeLimit"),
    "mode": ({"autoscaling": {"mode": "vpa"}}, "mode"),
    "digest": ({"image": {"digest": "latest"}}, "digest"),
    "budget": ({"podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable"),
    "no-database-url": (
        {"secret": {"existingSecret": "", "brokerUrl": "amqp://b", "apiKey": "k"}},
        "databaseUrl",
    ),
    "two-keys": ({"secret": {"apiKey": "SG_not_to_be_shown"}}, "apiKey"),
    "two-owners": ({"migrations": {"existingSecret": "a", "databaseUrl": "SG_not_to_be_shown"}}, "databaseUrl"),
    "step-of-nobody": ({"workers": {"fetch": None}}, "fetch"),
    "more-than-most": ({"workers": {"vendor": {"minReplicas": 9}}}, "minReplicas"),
    "host-of-nobody": (
        {
            "secret": {"existingSecret": "", "databaseUrl": "d", "brokerUrl": "b", "apiKey": "k"},
            "autoscaling": {"keda": {"hostKey": "management-url"}},
        },
        "hostKey",
    ),
}


@pytest.mark.parametrize(("values", "field"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_is_refused_by_name(helm: Callable[..., Any], values: Values, field: str) -> None:
    """Helm renders nothing and names the field; a secret is not shown."""
    result = helm("template", "photos", values=values)

    assert result.returncode != 0
    assert field in result.stderr
    assert "SG_not_to_be_shown" not in result.stderr


def objects(schema: Values) -> Iterator[Values]:
    """Yield every schema of an object that lists its properties, and is not part of a condition."""
    if "properties" in schema:
        yield schema
    for key, part in schema.items():
        if key not in {"if", "then", "else"} and isinstance(part, dict):
            yield from objects(part)


def resolve(schema: Values) -> Values:
    """Follow the reference of a schema, if it is one."""
    while "$ref" in schema:
        target: Values = SCHEMA
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def missing_from_schema(values: Values, schema: Values, path: str = "") -> Iterator[str]:
    """Yield the path of every value that the schema lets pass without knowing its name."""
    for name, value in values.items():
        known = {**schema.get("properties", {}), "*": schema.get("additionalProperties", {})}
        found = known.get(name) or known["*"]
        if not found:
            yield f"{path}{name}"
        elif isinstance(value, dict) and (nested := resolve(found)).get("properties"):
            yield from missing_from_schema(value, nested, f"{path}{name}.")


def test_the_schema_is_strict() -> None:
    """Every object whose properties are listed refuses others, but those that are Kubernetes' own."""
    open_objects = [
        schema["properties"].keys() for schema in objects(SCHEMA) if schema.get("additionalProperties") is not False
    ]

    assert open_objects == [{"name"}], "only an entry of extraEnv is open"


def test_the_schema_knows_every_value() -> None:
    """No value of values.yaml is missing from the schema."""
    assert list(missing_from_schema(VALUES, SCHEMA)) == []


def test_every_section_of_the_schema_has_a_value() -> None:
    """What the schema allows at the top is documented in values.yaml; `global` is Helm's own."""
    assert SCHEMA["properties"].keys() - {"global"} == VALUES.keys()


def test_the_table_is_of_these_values() -> None:
    """The table in the chart's README has the names and the words of values.yaml, in its order."""
    described = re.findall(
        r"^ *## @param (\S+) (?:\[[^\]]*\] )?(.+)$", (CHART / "values.yaml").read_text(), re.MULTILINE
    )
    parameters = (CHART / "README.md").read_text().partition("## Parameters")[2]
    table = re.findall(r"^\| `(\S+)` +\| (.+?) +\| `", parameters, re.MULTILINE)

    assert table == described
