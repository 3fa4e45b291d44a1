"""How what is outside is reached, in the order that `sam3d config` and docs/operations.md list it."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from worker.config.kinds import (
    Address,
    Group,
    Hosts,
    LinkKeys,
    Positive,
    PublicAddress,
    SigningKey,
    split_keys,
    variable,
)


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


class LinkSettings(Group):
    """How others get the files: links that are good for a while, and the server that some of them lead to."""

    public_url: PublicAddress | None = variable(
        "SAM3D_PUBLIC_URL",
        None,
        "Where others reach `sam3d files`; links lead there for files that no object store signs for. Unset: no such "
        "links.",
    )
    secret_keys: LinkKeys | None = variable(
        "SAM3D_LINK_KEY",
        None,
        "Signs those links, 32 bytes at least; of several, comma separated, the first signs and all are good.",
    )
    key_file: Path | None = variable(
        "SAM3D_LINK_KEY_FILE", None, "A file that holds that key, in its place; read at the start."
    )
    lifetime: Positive = variable(
        "SAM3D_LINK_LIFETIME",
        timedelta(days=1),
        "How long a link is good, s; 604800, a week, at most.",
        le=timedelta(days=7),
    )
    port: int = variable("SAM3D_FILES_PORT", 8081, "Port of `sam3d files`.", ge=1, le=65535)

    @property
    def keys(self) -> Sequence[bytes]:
        """The keys, the one that signs first."""
        return split_keys(self.secret_keys.get_secret_value()) if self.secret_keys else ()


class ReceiptSettings(Group):
    """What signs the receipts of jobs."""

    secret_key: SigningKey | None = variable(
        "SAM3D_RECEIPT_KEY",
        None,
        "Signs the receipt of each job, which is kept beside its model: an Ed25519 private key (PEM). Unset: none is "
        "kept.",
    )
    key_file: Path | None = variable(
        "SAM3D_RECEIPT_KEY_FILE", None, "A file that holds that key, in its place; read at the start."
    )

    @property
    def key(self) -> bytes | None:
        """The key, in PEM."""
        return self.secret_key.get_secret_value().encode() if self.secret_key else None
