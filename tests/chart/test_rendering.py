"""Both Helms accept the chart and make of it the same, valid manifests."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import kubernetes_validate
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

Manifest = dict[str, Any]

KEDA = ("keda.sh/v1alpha1",)
KUBERNETES = ("1.25", "1.37")
EVERYTHING = yaml.safe_load(Path(__file__).with_name("everything.yaml").read_text())

CASES: dict[str, tuple[Manifest, tuple[str, ...]]] = {
    "defaults": ({}, ()),
    "keda": ({}, KEDA),
    "everything": (EVERYTHING, KEDA),
    "everything without keda": (EVERYTHING, ()),
    "nothing optional": (
        {
            "autoscaling": {"mode": "none"},
            "migrations": {"enabled": False},
            "podDisruptionBudget": {"enabled": False},
            "serviceAccount": {"create": False},
        },
        (),
    ),
}

all_cases = pytest.mark.parametrize(("values", "apis"), CASES.values(), ids=CASES)


class Known(BaseModel):
    """A part of a manifest in which nothing else may be. The names and types are those of KEDA 2."""

    model_config = ConfigDict(extra="forbid", strict=True)


class RabbitQueue(Known):
    """The metadata of a trigger, in which KEDA wants strings only."""

    protocol: Literal["auto", "amqp", "http"]
    queueName: str  # noqa: N815
    mode: Literal["QueueLength", "MessageRate"]
    value: str


class Name(Known):
    """A reference to another object of KEDA's."""

    name: str


class Trigger(Known):
    """A queue to look at."""

    type: Literal["rabbitmq"]
    metadata: RabbitQueue
    authenticationRef: Name  # noqa: N815


class SecretTarget(Known):
    """Where a parameter of a trigger comes from."""

    parameter: str
    name: str
    key: str


class TriggerAuthenticationSpec(Known):
    """What a TriggerAuthentication may have."""

    secretTargetRef: list[SecretTarget]  # noqa: N815


class ScaledObjectSpec(Known):
    """What a ScaledObject may have; what it hands to an autoscaler is checked as that autoscaler's."""

    scaleTargetRef: dict[str, str]  # noqa: N815
    pollingInterval: int  # noqa: N815
    cooldownPeriod: int  # noqa: N815
    minReplicaCount: int  # noqa: N815
    maxReplicaCount: int  # noqa: N815
    advanced: dict[Literal["horizontalPodAutoscalerConfig"], dict[Literal["behavior"], Manifest]]
    triggers: list[Trigger]


@functools.cache
def require_known_kubernetes(manifest: str, version: str) -> None:
    """Raise where that version of Kubernetes would not know the kind or a field; once for equal manifests."""
    assert kubernetes_validate.validate(json.loads(manifest), version, strict=True) == version


def require_known_keda(manifest: Manifest) -> None:
    """Raise where KEDA, or the autoscaler that it makes, would not know the kind or a field."""
    spec = manifest["spec"]
    if manifest["kind"] == "TriggerAuthentication":
        TriggerAuthenticationSpec.model_validate(spec)
        return
    assert manifest["kind"] == "ScaledObject"
    ScaledObjectSpec.model_validate(spec)
    autoscaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": manifest["metadata"],
        "spec": {
            "scaleTargetRef": spec["scaleTargetRef"],
            "maxReplicas": spec["maxReplicaCount"],
            **spec["advanced"]["horizontalPodAutoscalerConfig"],
        },
    }
    kubernetes_validate.validate(autoscaler, KUBERNETES[-1], strict=True)


@all_cases
def test_lint_finds_nothing(helm: Callable[..., Any], values: Manifest, apis: tuple[str, ...]) -> None:
    """Helm's own strict check has no warning."""
    result = helm("lint", "--strict", values=values)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "[WARNING]" not in result.stdout


@all_cases
@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_are_valid(
    render: Callable[..., list[Manifest]], values: Manifest, apis: tuple[str, ...], version: str
) -> None:
    """The oldest and the newest Kubernetes, and KEDA, know each kind and each field of each manifest."""
    for manifest in render(values, apis):
        if manifest["apiVersion"].startswith("keda.sh/"):
            require_known_keda(manifest)
        else:
            require_known_kubernetes(json.dumps(manifest), version)


def test_the_check_of_manifests_sees_what_is_unknown(render: Callable[..., list[Manifest]]) -> None:
    """An unknown kind, and an unknown field of KEDA, do not pass for valid."""
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        kubernetes_validate.validate({"apiVersion": "apps/v1", "kind": "Deploymint"}, KUBERNETES[-1], strict=True)

    scaled = next(manifest for manifest in render({}, KEDA) if manifest["kind"] == "ScaledObject")
    scaled["spec"]["polingInterval"] = 5
    with pytest.raises(ValidationError):
        require_known_keda(scaled)


@all_cases
def test_both_helms_render_the_same(
    helm3: Callable[..., Any], helm4: Callable[..., Any], values: Manifest, apis: tuple[str, ...]
) -> None:
    """What Helm 3 makes of the chart is what Helm 4 makes of it."""
    rendered = [helm("template", "photos", values=values, apis=apis).stdout for helm in (helm3, helm4)]
    third, fourth = ([document for document in yaml.load_all(text, yaml.CSafeLoader) if document] for text in rendered)

    assert third
    assert third == fourth


@all_cases
def test_names_are_unique_and_short(
    render: Callable[..., list[Manifest]], values: Manifest, apis: tuple[str, ...]
) -> None:
    """No two manifests are one resource, and no name is longer than a label may be."""
    manifests = render({**values, "fullnameOverride": "a-very-long-name-that-somebody-gave-to-a-release"}, apis)
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]

    assert len(names) == len(set(names))
    assert max(len(name) for _, name in names) <= 63


@all_cases
def test_each_budget_and_scaler_selects_one_deployment(
    render: Callable[..., list[Manifest]], values: Manifest, apis: tuple[str, ...]
) -> None:
    """Every disruption budget and every scaler belongs to a Deployment of its name."""
    manifests = render(values, apis)
    deployments = {m["metadata"]["name"]: m["spec"] for m in manifests if m["kind"] == "Deployment"}

    for manifest in manifests:
        if manifest["kind"] == "PodDisruptionBudget":
            assert manifest["spec"]["selector"] == deployments[manifest["metadata"]["name"]]["selector"]
        if manifest["kind"] in {"ScaledObject", "HorizontalPodAutoscaler"}:
            assert manifest["spec"]["scaleTargetRef"]["name"] in deployments


def test_the_notes_say_how_to_verify(helm4: Callable[..., Any]) -> None:
    """The notes after an install name the test, and give no secret away."""
    notes = helm4("install", "photos", "--dry-run=client", values=EVERYTHING).stdout.partition("NOTES:")[2]

    assert "helm -n default test photos" in notes
    assert "plain" not in notes
