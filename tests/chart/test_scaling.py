"""What scales the workers, on which queues, and what stays out of it."""

from collections.abc import Callable
from typing import Any

import pytest

from worker.broker import topology
from worker.rules.lifecycle import Step

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

KEDA = ("keda.sh/v1alpha1",)
ROLES = {"intake", "vendor", "fetch"}
SCALERS = {"ScaledObject", "HorizontalPodAutoscaler"}


def specs(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Return the specs of one kind by the role that they belong to."""
    chosen = (manifest for manifest in manifests if manifest["kind"] == kind)
    return {m["metadata"]["labels"]["app.kubernetes.io/component"]: m["spec"] for m in chosen}


def scaling(mode: str) -> Manifest:
    """Return values that choose a mode of scaling."""
    return {"autoscaling": {"mode": mode}}


@pytest.mark.parametrize(
    ("mode", "apis", "kind"),
    [
        ("auto", (), "HorizontalPodAutoscaler"),
        ("auto", KEDA, "ScaledObject"),
        ("keda", (), "ScaledObject"),
        ("hpa", KEDA, "HorizontalPodAutoscaler"),
    ],
    ids=["auto", "auto-with-keda", "keda", "hpa"],
)
def test_one_scaler_sets_the_replicas(render: Render, mode: str, apis: tuple[str, ...], kind: str) -> None:
    """Every role has one scaler, and its Deployment no replicas that an upgrade would set back."""
    manifests = render(scaling(mode), apis)
    deployments = specs(manifests, "Deployment")

    assert {m["kind"] for m in manifests} & SCALERS == {kind}
    assert specs(manifests, kind).keys() == ROLES
    assert {role for role, spec in deployments.items() if "replicas" in spec} == {"scheduler"}


def test_without_a_scaler_the_values_set_the_replicas(render: Render) -> None:
    """Every Deployment has its replicas, 0 included."""
    manifests = render({**scaling("none"), "workers": {"fetch": {"replicas": 0}}}, KEDA)

    assert not {m["kind"] for m in manifests} & SCALERS
    replicas = {role: spec["replicas"] for role, spec in specs(manifests, "Deployment").items()}
    assert replicas == {"intake": 2, "vendor": 2, "fetch": 0, "scheduler": 2}


def test_keda_counts_the_queues_of_the_program(render: Render) -> None:
    """Each role scales on what its steps are fed from, and nobody on what is not due yet."""
    queues = {
        role: {trigger["metadata"]["queueName"] for trigger in spec["triggers"]}
        for role, spec in specs(render(apis=KEDA), "ScaledObject").items()
    }

    assert queues == {
        "intake": {topology.REQUESTS, topology.INBOX},
        "vendor": {topology.queue_name(Step.SUBMIT), topology.queue_name(Step.POLL)},
        "fetch": {topology.queue_name(Step.FETCH)},
    }
    assert not set().union(*queues.values()) & {topology.delay_queue(seconds).name for seconds in topology.LADDER}


def test_keda_takes_the_url_from_the_secret(render: Render) -> None:
    """The broker's URL, or another key of the existing Secret, is what KEDA connects with."""
    for host_key, expected in (("", "broker-url"), ("management-url", "management-url")):
        values = {"autoscaling": {"keda": {"hostKey": host_key, "protocol": "auto"}}}
        (authentication,) = (m for m in render(values, KEDA) if m["kind"] == "TriggerAuthentication")
        assert authentication["spec"]["secretTargetRef"] == [
            {"parameter": "host", "name": "sam3d-worker", "key": expected}
        ]


def test_only_keda_scales_to_zero(render: Render) -> None:
    """A role may have no pods between messages with KEDA; on CPU, which would not wake it, it keeps one."""
    values = {"workers": {"fetch": {"minReplicas": 0}}}
    keda = specs(render(values, KEDA), "ScaledObject")
    cpu = specs(render(values), "HorizontalPodAutoscaler")

    assert {role: spec["minReplicaCount"] for role, spec in keda.items()} == {
        "intake": 1,
        "vendor": 1,
        "fetch": 0,
    }
    assert cpu["fetch"]["minReplicas"] == 1


def test_a_roles_own_value_replaces_the_default(render: Render) -> None:
    """What a role says holds for it alone, whole and not merged."""
    resources = {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}
    vendor = {"nodeSelector": {"net": "fast"}, "resources": resources}
    values = {"podDefaults": {"nodeSelector": {"disk": "ssd"}}, "workers": {"vendor": vendor}}
    pods = {role: spec["template"]["spec"] for role, spec in specs(render(values), "Deployment").items()}

    assert pods["vendor"]["nodeSelector"] == {"net": "fast"}
    assert pods["vendor"]["containers"][0]["resources"] == resources
    assert pods["intake"]["nodeSelector"] == {"disk": "ssd"}
