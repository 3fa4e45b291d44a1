"""How what is outside is reached, in the order that `sam3d config` and docs/operations.md list it."""

from pathlib import Path

from pydantic import SecretStr

from worker.config.kinds import Address, Group, Hosts, variable


class VendorSettings(Group):
    """The paid API, and the key to it."""

    api_key: SecretStr | None = variable("SEGMIND_API_KEY", None, "The vendor's key, `SG_…`.")
    api_key_file: Path | None = variable(
        "SEGMIND_API_KEY_FILE", None, "A file that holds the key; read again when it changes."
    )
    base_url: Address = variable(
        "SEGMIND_BASE_URL",
        "https://api.segmind.com",
        "The vendor's API; `http://` only for this very host, such as a simulator.",
    )
    account_url: Address = variable(
        "SEGMIND_ACCOUNT_URL", "https://api.spotprod.segmind.com", "The vendor's request history, in the same way."
    )


class BrokerSettings(Group):
    """How RabbitMQ is reached."""

    secret_url: SecretStr = variable(
        "SAM3D_BROKER_URL",
        SecretStr("amqp://guest:guest@127.0.0.1:5672//"),
        "RabbitMQ; with `amqps://` the chain and the name of its certificate are verified.",
    )
    url_file: Path | None = variable(
        "SAM3D_BROKER_URL_FILE", None, "A file that holds that URL, in its place; read at the start."
    )
    ca_file: Path | None = variable(
        "SAM3D_BROKER_CA_FILE",
        None,
        "Certificates (PEM) that vouch for the broker's; unset: those that the system trusts.",
    )
    cert_file: Path | None = variable(
        "SAM3D_BROKER_CERT_FILE",
        None,
        "Our own certificate (PEM); where the URL has no password, the broker knows us by it (`EXTERNAL`).",
    )
    key_file: Path | None = variable(
        "SAM3D_BROKER_KEY_FILE", None, "Its key, without a passphrase, where that is not in the same file."
    )

    @property
    def url(self) -> str:
        """The URL, with its password."""
        return self.secret_url.get_secret_value()

    @property
    def is_embedded(self) -> bool:
        """Whether the broker is Celery's in-memory transport, within this process."""
        return self.url.startswith("memory:")


class DatabaseSettings(Group):
    """How PostgreSQL is reached."""

    secret_url: SecretStr = variable(
        "SAM3D_DATABASE_URL",
        SecretStr("postgresql+psycopg://127.0.0.1/sam3d"),
        "PostgreSQL; `?sslmode=verify-full&sslrootcert=FILE` verifies the chain and the name of its certificate.",
    )
    url_file: Path | None = variable(
        "SAM3D_DATABASE_URL_FILE", None, "A file that holds that URL, in its place; read at the start."
    )

    @property
    def url(self) -> str:
        """The URL, with its password."""
        return self.secret_url.get_secret_value()


class OutputSettings(Group):
    """Where the files that were made come from."""

    hosts: Hosts = variable(
        "SAM3D_OUTPUT_HOSTS",
        (".segmind.com",),
        "Hosts that outputs may be downloaded from, comma separated: a name, `.domain` for all below it, "
        "or `http://127.0.0.1:9100` for just that plain or private address.",
    )
