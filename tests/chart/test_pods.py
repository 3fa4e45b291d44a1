"""What runs in a pod: with which rights, which probes, which settings, and without which secrets."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from worker.config.environment import VARIABLES, Settings
from worker.rules.lifecycle import Step
from worker.work.outgoing import FLUSH_SECONDS

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

EVERYTHING = yaml.safe_load(Path(__file__).with_name("everything.yaml").read_text())
SECRETS = ("plain-database-password", "plain-owner-password", "plain-broker-password", "SG_plain_key", "plain-link-key")
FOLDER = "/run/secrets/sam3d"
NOT_SETTINGS = {"TMPDIR", "HTTPS_PROXY"}
"""The directory for downloads, which Python reads; and what the values of a test add."""

both_values = pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])


def pod_specs(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the spec of every pod: of the Deployments, of the migrations and of the test."""
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "Job"}:
            yield manifest["spec"]["template"]["spec"]
        if manifest["kind"] == "Pod":
            yield manifest["spec"]


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Return the manifests of one kind by name, without the release's prefix."""
    chosen = (manifest for manifest in manifests if manifest["kind"] == kind)
    return {m["metadata"]["name"].removeprefix("photos-sam3d-worker").removeprefix("-"): m for m in chosen}


@both_values
def test_pods_are_restricted(render: Render, values: Manifest) -> None:
    """Every pod meets the restricted security standard and gets no token of its service account."""
    specs = list(pod_specs(render(values)))

    assert len(specs) == (7 if values else 6), "the file server is there where it is wanted"
    for spec in specs:
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        (container,) = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }


@both_values
def test_pods_write_to_a_limited_directory_only(render: Render, values: Manifest) -> None:
    """Temporary files go to an emptyDir with a size limit; memory is limited too."""
    for spec in pod_specs(render(values)):
        (container,) = spec["containers"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}

        assert {"name": "TMPDIR", "value": mounts["tmp"]} in container["env"]
        assert volumes["tmp"]["emptyDir"]["sizeLimit"]
        assert container["resources"]["limits"]["memory"]


@both_values
def test_deployments_are_probed_and_roll_without_a_gap(render: Render, values: Manifest) -> None:
    """Liveness and start look at /livez, readiness at /readyz; the longest task can finish, and its event get out."""
    for deployment in of_kind(render(values), "Deployment").values():
        spec = deployment["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        paths = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}

        assert paths == {
            "startupProbe": {"path": "/livez", "port": "health"},
            "livenessProbe": {"path": "/livez", "port": "health"},
            "readinessProbe": {"path": "/readyz", "port": "health"},
        }
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert spec["terminationGracePeriodSeconds"] >= _longest_task() + FLUSH_SECONDS


def _longest_task() -> float:
    """Return how long a task takes at most, s: a look may go on with the fetch, an acceptance with the submit."""
    run = Settings().run
    return (run.time_for(Step.POLL) + max(run.time_for(step) for step in Step)).total_seconds()


def test_roles_run_their_commands(render: Render) -> None:
    """Each role runs its steps, the scheduler stands by twice, the hooks migrate and diagnose."""
    manifests = render()
    commands = {
        name: deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        for name, deployment in of_kind(manifests, "Deployment").items()
    }

    assert commands == {
        "intake": ["worker", "--steps", "accept", "--concurrency", "8"],
        "vendor": ["worker", "--steps", "submit,poll", "--concurrency", "8"],
        "fetch": ["worker", "--steps", "fetch", "--concurrency", "8"],
        "scheduler": ["scheduler"],
    }
    assert of_kind(manifests, "Deployment")["scheduler"]["spec"]["replicas"] == 2
    assert of_kind(manifests, "Job")["migrations"]["spec"]["template"]["spec"]["containers"][0]["args"] == [
        "db",
        "upgrade",
    ]
    assert of_kind(manifests, "Pod")["doctor"]["spec"]["containers"][0]["args"] == ["doctor", "--json"]


@both_values
def test_environment_names_are_settings(render: Render, values: Manifest) -> None:
    """The chart sets no variable that the program does not know."""
    manifests = render(values)
    names = {entry["name"] for spec in pod_specs(manifests) for entry in spec["containers"][0]["env"]}
    for config_map in of_kind(manifests, "ConfigMap").values():
        names |= set(config_map["data"])
    assert names - NOT_SETTINGS <= VARIABLES.keys()
    assert {"SAM3D_DATABASE_URL_FILE", "SAM3D_BROKER_URL_FILE", "SEGMIND_API_KEY_FILE", "SAM3D_HEALTH_PORT"} <= names


def test_values_become_settings(render: Render) -> None:
    """Each value under `config` arrives as its variable; what is empty by default is left to the program."""
    (given,) = of_kind(render(EVERYTHING), "ConfigMap").values()
    (default,) = of_kind(render(), "ConfigMap").values()

    assert given["data"] == {
        "SAM3D_HEALTH_PORT": "9090",
        "SAM3D_STORE_URL": "s3://models/sam3d",
        "SAM3D_INPUT_ADDRESSES": "on",
        "SAM3D_PUBLIC_URL": "https://files.example/models",
        "SAM3D_REQUESTS_PER_MINUTE": "120",
        "SAM3D_LOG_LEVEL": "DEBUG",
        "SAM3D_OUTPUT_HOSTS": ".cdn.example,files.example",
        "SEGMIND_ACCOUNT_URL": "https://history.example",
        "SEGMIND_BASE_URL": "https://vendor.example",
    }
    assert default["data"] == {"SAM3D_HEALTH_PORT": "8080", "SAM3D_LOG_LEVEL": "INFO"}


def test_secrets_are_in_secrets_only(render: Render) -> None:
    """Neither a URL with a password nor the key is in any manifest but a Secret."""
    manifests = render(EVERYTHING, ("keda.sh/v1alpha1",))
    secrets = [yaml.safe_dump(manifest) for manifest in manifests if manifest["kind"] == "Secret"]
    others = [yaml.safe_dump(manifest) for manifest in manifests if manifest["kind"] != "Secret"]

    assert all(any(word in secret for secret in secrets) for word in SECRETS)
    assert not any(word in other for other in others for word in SECRETS)


def test_secrets_are_files_and_an_existing_secret_is_used(render: Render) -> None:
    """An existing Secret is used instead of our own; the URLs and the API key are mounted, never variables."""
    keys = {"apiKey": "vendor", "databaseUrl": "postgres", "brokerUrl": "rabbit"}
    manifests = render({"secret": {"existingSecret": "mine", "keys": keys}})

    assert not of_kind(manifests, "Secret")
    for deployment in of_kind(manifests, "Deployment").values():
        spec = deployment["spec"]["template"]["spec"]
        environment = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
        assert secret_files(spec) == {
            "database-url": ("mine", "postgres"),
            "broker-url": ("mine", "rabbit"),
            "api-key": ("mine", "vendor"),
        }
        assert environment["SEGMIND_API_KEY_FILE"] == f"{FOLDER}/api-key"
        assert environment["SAM3D_DATABASE_URL_FILE"] == f"{FOLDER}/database-url"
        assert environment["SAM3D_BROKER_URL_FILE"] == f"{FOLDER}/broker-url"
        assert not {"SEGMIND_API_KEY", "SAM3D_DATABASE_URL", "SAM3D_BROKER_URL"} & set(environment)


def test_the_file_server_has_what_it_needs_and_no_more(render: Render) -> None:
    """Its port and the database; neither the broker nor what pays. Whoever publishes signs with the same key."""
    manifests = render(EVERYTHING)
    deployments = {name.removeprefix("photos-shapes-"): it for name, it in of_kind(manifests, "Deployment").items()}
    spec = deployments["files"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]

    assert container["args"] == ["files", "--port", "9091"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"health": 9090, "files": 9091}
    assert deployments["files"]["spec"]["replicas"] == 3
    assert set(secret_files(spec)) == {"database-url", "link-key"}
    assert not {"SAM3D_BROKER_URL_FILE", "SEGMIND_API_KEY_FILE"} & {each["name"] for each in container["env"]}
    for name, deployment in deployments.items():
        pod = deployment["spec"]["template"]["spec"]
        environment = {entry["name"]: entry.get("value") for entry in pod["containers"][0]["env"]}
        assert secret_files(pod)["link-key"] == ("photos-shapes", "link-key"), name
        assert environment["SAM3D_LINK_KEY_FILE"] == f"{FOLDER}/link-key"


def test_the_service_leads_to_the_file_server(render: Render) -> None:
    """By the port's name, and to no other pod."""
    manifests = render(EVERYTHING)
    (service,) = of_kind(manifests, "Service").values()
    pods = [each["spec"]["template"] for each in of_kind(manifests, "Deployment").values()]
    chosen = [pod for pod in pods if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()]

    assert [pod["spec"]["containers"][0]["args"][0] for pod in chosen] == ["files"]
    assert service["spec"]["type"] == "LoadBalancer"
    assert service["spec"]["ports"] == [{"name": "http", "port": 443, "targetPort": "files", "protocol": "TCP"}]
    assert service["metadata"]["annotations"] == {"seen": "yes"}
    assert not of_kind(render(), "Service")


def secret_files(spec: Manifest) -> dict[str, tuple[str, str]]:
    """Return the files that a pod has of Secrets: for each name, the Secret and the key in it."""
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    (container,) = spec["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["secrets"] == FOLDER
    secret = volumes["secrets"]["secret"]
    return {item["path"]: (secret["secretName"], item["key"]) for item in secret["items"]}


@pytest.mark.parametrize(
    ("values", "secret", "key", "made"),
    [
        ({}, "sam3d-worker", "database-url", None),
        ({"migrations": {"existingSecret": "owner"}}, "owner", "database-url", None),
        ({"migrations": {"existingSecret": "owner", "databaseUrlKey": "ddl"}}, "owner", "ddl", None),
        ({"migrations": {"databaseUrl": "postgresql://o"}}, "photos-sam3d-worker-migrations", "database-url", "postgresql://o"),
        (EVERYTHING, "photos-shapes-migrations", "database-url", EVERYTHING["migrations"]["databaseUrl"]),
        (
            {**EVERYTHING, "migrations": {}},
            "photos-shapes-migrations",
            "database-url",
            EVERYTHING["secret"]["databaseUrl"],
        ),
    ],
    ids=["pods-url", "existing", "existing-key", "plain", "both-plain", "copy"],
)  # fmt: skip
def test_migrations_can_have_a_role_of_their_own(
    render: Render, values: Manifest, secret: str, key: str, made: str | None
) -> None:
    """The schema is changed by who may, with a URL that no other pod has."""
    manifests = render(values)
    (job,) = (manifest for manifest in manifests if manifest["kind"] == "Job")
    secrets = {each["metadata"]["name"]: each["stringData"] for each in manifests if each["kind"] == "Secret"}

    assert secret_files(job["spec"]["template"]["spec"]) == {"database-url": (secret, key)}
    assert secrets.get(secret, {}).get(key) == made
    for deployment in of_kind(manifests, "Deployment").values():
        used = {name for name, _ in secret_files(deployment["spec"]["template"]["spec"]).values()}
        assert not used & {"owner", "photos-shapes-migrations", "photos-sam3d-worker-migrations"}


def test_certificates_reach_every_pod(render: Render) -> None:
    """The authority of a broker or database is mounted where settings and URL say, for the migrations too."""
    manifests = render(EVERYTHING)

    for spec in pod_specs(manifests):
        (container,) = spec["containers"]
        assert {"name": "authority", "configMap": {"name": "authority"}} in spec["volumes"]
        assert {"name": "authority", "mountPath": "/run/authority", "readOnly": True} in container["volumeMounts"]
        environment = {entry["name"]: entry.get("value") for entry in container["env"]}
        assert environment["SAM3D_BROKER_CA_FILE"] == "/run/authority/ca.pem"


def test_migrations_need_nothing_of_the_release(render: Render) -> None:
    """The hook refers only to hooks before it: the release's own resources do not exist yet."""
    manifests = render(EVERYTHING)
    before = {
        (manifest["kind"], manifest["metadata"]["name"])
        for manifest in manifests
        if manifest["metadata"].get("annotations", {}).get("helm.sh/hook-weight") == "-10"
    }
    (job,) = (manifest for manifest in manifests if manifest["kind"] == "Job")
    spec = job["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    secrets = {name for name, _ in secret_files(spec).values()}

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "envFrom" not in container
    assert {("ServiceAccount", spec["serviceAccountName"]), *(("Secret", name) for name in secrets)} == before


@pytest.mark.parametrize(
    ("change", "rolls"),
    [
        ({"config": {"logLevel": "INFO"}}, True),
        ({"secret": {"brokerUrl": "amqps://other.example"}}, True),
        ({"secret": {"linkKey": "another-link-key-of-thirty-two-bytes"}}, True),
        ({"secret": {"apiKey": "SG_other_key"}}, False),
    ],
    ids=["settings", "url", "link-key", "key"],
)
def test_a_change_rolls_the_pods_if_they_would_not_see_it(render: Render, change: Manifest, rolls: bool) -> None:
    """Changed settings and URLs give new pods; a changed API key is read again by those that run."""
    changed = {**EVERYTHING, **{name: {**EVERYTHING[name], **part} for name, part in change.items()}}
    before, after = (
        [deployment["spec"]["template"] for deployment in of_kind(render(values), "Deployment").values()]
        for values in (EVERYTHING, changed)
    )

    assert all((old != new) is rolls for old, new in zip(before, after, strict=True))
