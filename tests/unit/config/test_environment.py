"""The settings come from the environment alone; a wrong one is told by its name, never by its value."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from tests.support.receipt_keys import make_key, public_of
from worker.config.environment import VARIABLES, Settings, load_settings
from worker.errors import ConfigurationError
from worker.rules.lifecycle import Step

MARKER = "m4rk3r"
DURATIONS = [name for name, about in VARIABLES.items() if isinstance(about.default, timedelta)]


def refusal(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> str:
    """Return the sentence for a wrong setting."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    return str(refused.value)


def test_defaults_are_the_documented_ones() -> None:
    """Without any setting the service looks for everything where it usually is."""
    settings = load_settings()
    assert settings.vendor.base_url == "https://api.segmind.com"
    assert settings.vendor.account_url == "https://api.spotprod.segmind.com"
    assert settings.broker.url == "amqp://guest:guest@127.0.0.1:5672//"
    assert settings.database.url == "postgresql+psycopg://127.0.0.1/sam3d"
    assert settings.outputs.hosts == (".segmind.com",)
    assert (settings.vendor.api_key, settings.telemetry.health_port, settings.storage.store_url) == (None, None, None)
    assert settings.storage.retention == settings.storage.output_retention == timedelta(days=30)
    assert (settings.run.submit_deadline, settings.run.lease_for(Step.SUBMIT)) == (
        timedelta(seconds=30),
        timedelta(seconds=45),
    )
    assert not settings.broker.is_embedded


@pytest.mark.parametrize("name", VARIABLES)
def test_each_setting_is_described(name: str) -> None:
    """The table of settings is generated from here; a duration says its unit."""
    description = VARIABLES[name].description or ""
    assert description.endswith(".")
    assert name not in DURATIONS or ", s" in description


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("SEGMIND_API_KEY", "SG_1", SecretStr("SG_1")),
        ("SEGMIND_API_KEY_FILE", "/run/key", Path("/run/key")),
        ("SAM3D_HEALTH_PORT", "8080", 8080),
        ("SAM3D_CONCURRENCY", "16", 16),
        ("SAM3D_LOG_LEVEL", "DEBUG", "DEBUG"),
        ("SAM3D_SUBMIT_SERVER_ERROR", "review", "review"),
        ("SAM3D_SWEEP_INTERVAL", "0.5", timedelta(milliseconds=500)),
        ("SAM3D_RECORD_LIFETIME", "3300", timedelta(minutes=55)),
        ("SAM3D_RETENTION", "86400", timedelta(days=1)),
        ("SAM3D_OUTPUT_HOSTS", "a.example, .b.example ,,http://127.0.0.1:9100", ("a.example", ".b.example", "http://127.0.0.1:9100")),
        ("SAM3D_OUTPUT_HOSTS", "", ()),
    ],
)  # fmt: skip
def test_a_setting_is_read_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    """Durations are seconds, lists have commas."""
    monkeypatch.setenv(name, text)
    assert load_settings().by_variable()[name] == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAM3D_HEALTH_PORT", "m4rk3r"),
        ("SAM3D_HEALTH_PORT", "0"),
        ("SAM3D_HEALTH_PORT", "65536"),
        ("SAM3D_LOG_LEVEL", "m4rk3r"),
        ("SAM3D_SUBMIT_SERVER_ERROR", "m4rk3r"),
        ("SAM3D_SUBMIT_RETRY_FOR", "-1"),
        ("SAM3D_CONCURRENCY", "0"),
        ("SAM3D_CONCURRENCY", "m4rk3r"),
        ("SAM3D_CONCURRENCY", "1000"),
        ("SAM3D_MAX_OUTPUT_BYTES", "m4rk3r"),
        ("SAM3D_MAX_OUTPUT_BYTES", "0"),
        ("SAM3D_RETENTION", "m4rk3r"),
    ],
)
def test_a_wrong_setting_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The sentence says which, and not what was given."""
    sentence = refusal(monkeypatch, name, value)
    assert sentence.startswith(f"{name}: ")
    assert sentence.endswith(".")
    assert MARKER not in sentence


BASES = ("SEGMIND_BASE_URL", "SEGMIND_ACCOUNT_URL")


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize(
    "host",
    [
        "m4rk3r.example", "10.0.0.7", "0.0.0.0", "128.0.0.1", "127.0.0.1.example", "localhost.example", "127.1",
        "[2001:db8::1]", "[fe80::1]", "127.0.0.1@m4rk3r.example", "simulator:9100",
    ],
)  # fmt: skip
def test_the_key_goes_to_no_other_host_in_clear(monkeypatch: pytest.MonkeyPatch, name: str, host: str) -> None:
    """Whoever is between here and there would read it."""
    sentence = refusal(monkeypatch, name, f"http://{host}")
    assert sentence.startswith(f"{name}: must begin with https://")
    assert MARKER not in sentence
    assert "\n" not in sentence
    monkeypatch.setenv(name, f"https://{host}")
    assert load_settings().by_variable()[name] == f"https://{host}"


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("host", ["127.0.0.1:9100", "127.8.9.10", "localhost", "LOCALHOST:9100", "[::1]:9100"])
def test_a_simulator_on_this_host_needs_no_certificate(monkeypatch: pytest.MonkeyPatch, name: str, host: str) -> None:
    """What stays on this host passes nobody."""
    monkeypatch.setenv(name, f"http://{host}")
    assert load_settings().by_variable()[name] == f"http://{host}"


@pytest.mark.parametrize("value", ["m4rk3r", "", "-1", "nan", "inf", "-inf", "1e300"])
def test_a_duration_is_a_number_of_seconds(value: str) -> None:
    """Finite and not negative; anything else would make a worker spin or stand still."""
    for name in DURATIONS:
        with pytest.MonkeyPatch.context() as environment:
            sentence = refusal(environment, name, value)
        assert sentence.startswith(f"{name}: ")
        assert MARKER not in sentence


@pytest.mark.parametrize("name", ["SAM3D_RETENTION", "SAM3D_RETENTION_OUTPUTS", "SAM3D_RETENTION_EVIDENCE"])
def test_never_is_an_age(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What is kept for ever is kept by a word, not by an empty text."""
    monkeypatch.setenv(name, "never")
    assert load_settings().by_variable()[name] is None
    assert refusal(monkeypatch, name, "").startswith(f"{name}: ")


@pytest.mark.parametrize(
    "address",
    [
        MARKER,
        "http://127.0.0.1:9000/bucket",
        "memory:///",
        "s3://",
        "file://",
        "file:///",
        "file://models/folder",
        f"s3://{MARKER}:secret@bucket/folder",
        f"s3://bucket/folder?access_key={MARKER}",
    ],
)
def test_a_store_is_a_bucket_or_a_folder_without_credentials(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """What could not be written to is told before anything is paid for it."""
    sentence = refusal(monkeypatch, "SAM3D_STORE_URL", address)
    assert sentence.startswith("SAM3D_STORE_URL: ")
    assert MARKER not in sentence


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "amqps://u:m4rk3r@broker//?ssl_cert_reqs=none",
            "SAM3D_BROKER_URL takes nothing after a ? or #: TLS is amqps://",
        ),
        ("amqp://u:m4rk3r@broker//?heartbeat=10", "SAM3D_BROKER_URL takes nothing after a ? or #: "),
        ("amqp://u:1?m4rk3r@broker//", "SAM3D_BROKER_URL takes nothing after a ? or #: "),
        ("amqp://u#m4rk3r@broker//", "SAM3D_BROKER_URL takes nothing after a ? or #: "),
        ("amqp://u:m4rk3r@a//;amqp://u:m4rk3r@b//?ssl=1", "SAM3D_BROKER_URL takes nothing after a ? or #: "),
        ("amqps://u:m4rk3r@a//;amqps://u:m4rk3r@b//", "SAM3D_BROKER_URL must name a single host with amqps://"),
        ("amqp://u:m4rk3r@a//;amqps://u:m4rk3r@b//", "SAM3D_BROKER_URL must name a single host with amqps://"),
        ("amqp://u:m4rk3r@a//;redis://b", "SAM3D_BROKER_URL must be a URL that begins with amqp://"),
    ],
)
def test_a_broker_url_says_nothing_of_tls(monkeypatch: pytest.MonkeyPatch, url: str, sentence: str) -> None:
    """What kombu would take from there could turn the check of a certificate off; the line names the settings."""
    refused = refusal(monkeypatch, "SAM3D_BROKER_URL", url)
    assert refused.startswith(sentence)
    assert MARKER not in refused
    assert "SAM3D_BROKER_CA_FILE" in refused or "takes nothing" not in refused


@pytest.mark.parametrize(
    "url",
    ["amqps://u:p%3F%23@broker:5671/v", "amqp://u:p@ss@broker//", "amqp://a//;amqp://b//", "AMQPS://broker"],
)
def test_a_broker_url_that_worked_still_works(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Several hosts without TLS, and marks in a password that nothing mistakes."""
    monkeypatch.setenv("SAM3D_BROKER_URL", url)
    assert load_settings().broker.url == url


def test_a_mark_that_would_show_a_part_of_the_password_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy takes what follows the first one for the host, which is shown where it is not found."""
    refused = refusal(monkeypatch, "SAM3D_DATABASE_URL", "postgresql://user:p@m4rk3r@database/sam3d")
    assert refused == "SAM3D_DATABASE_URL: an @ in its user or password must be written %40."


URLS = {
    "SAM3D_BROKER_URL": "amqp://user:m4rk3r@broker/models",
    "SAM3D_DATABASE_URL": "postgresql+psycopg://user:m4rk3r@database/sam3d",
}


@pytest.mark.parametrize("name", URLS)
def test_a_url_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """As Kubernetes and systemd mount it, with a newline at its end or without; and not shown either."""
    file = tmp_path / "url"
    monkeypatch.setenv(f"{name}_FILE", str(file))
    for end in ("", "\n"):
        file.write_text(URLS[name] + end)
        settings = load_settings()
        assert settings.by_variable()[name].get_secret_value() == URLS[name]
        assert MARKER not in f"{settings!r} {settings.model_dump_json()}"


@pytest.mark.parametrize("name", URLS)
def test_a_url_is_in_one_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """Nobody has to guess which of two is in force, or whether an unreadable file was ignored."""
    file = tmp_path / "url"
    refused = refusal(monkeypatch, f"{name}_FILE", str(file))
    assert refused == f"{name}_FILE can't be read: No such file or directory."
    file.write_bytes(b"\xff\xfe")
    assert refusal(monkeypatch, f"{name}_FILE", str(file)) == f"{name}_FILE can't be read: it is no text."
    for text in ("", "\n", f"{URLS[name]}\n{URLS[name]}", f"{name}={URLS[name]} # m4rk3r"):
        file.write_text(text)
        assert refusal(monkeypatch, f"{name}_FILE", str(file)) == f"{name}_FILE must hold the URL and nothing else."
    file.write_text("m4rk3r")
    assert refusal(monkeypatch, f"{name}_FILE", str(file)).startswith(f"{name} must be a URL that begins with ")
    file.write_text(URLS[name])
    both = refusal(monkeypatch, name, URLS[name])
    assert both == f"{name} and {name}_FILE are both set: unset one of them."


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and passwords are in no representation of the settings."""
    monkeypatch.setenv("SEGMIND_API_KEY", MARKER)
    monkeypatch.setenv("SAM3D_BROKER_URL", f"amqp://user:{MARKER}@broker//")
    monkeypatch.setenv("SAM3D_DATABASE_URL", f"postgresql+psycopg://user:{MARKER}@database/sam3d")
    settings = load_settings()
    assert MARKER in settings.broker.url
    assert MARKER in settings.database.url
    assert MARKER not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_settings_do_not_change(settings: Settings) -> None:
    """One frozen object for the life of a process."""
    with pytest.raises(ValidationError, match="frozen"):
        settings.process.concurrency = 9  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        settings.process = Settings().process  # type: ignore[misc]


def test_a_setting_can_be_another_one(settings: Settings) -> None:
    """By its variable's name, with all others as they were; a name that is none, or a wrong value, is refused."""
    other = settings.having(SAM3D_CONCURRENCY=9).having(SAM3D_SWEEP_GRACE=timedelta(0))
    changed = {"SAM3D_CONCURRENCY": 9, "SAM3D_SWEEP_GRACE": timedelta(0)}
    assert other.by_variable() == settings.by_variable() | changed
    assert settings == Settings()
    with pytest.raises(TypeError, match="There is no setting SAM3D_CONCURENCY"):
        settings.having(SAM3D_CONCURENCY=9)
    with pytest.raises(ValidationError, match="SAM3D_CONCURRENCY"):
        settings.having(SAM3D_CONCURRENCY=0)


def test_the_in_memory_broker_is_the_embedded_service() -> None:
    """Everything else is a real broker."""
    assert Settings().having(SAM3D_BROKER_URL="memory://").broker.is_embedded


def test_a_lease_is_longer_than_what_is_done_under_it(settings: Settings) -> None:
    """Nobody takes over a job whose worker still keeps its deadlines."""
    in_one_go = [(step,) for step in Step] + [(Step.POLL, Step.FETCH)]
    assert all(settings.run.lease_for(*steps) > settings.run.time_for(*steps) for steps in in_one_go)
    each = settings.run.time_for(Step.POLL) + settings.run.time_for(Step.FETCH)
    assert settings.run.time_for(Step.POLL, Step.FETCH) == each


KEY = "0123456789abcdef" * 2


def test_links_need_an_address_and_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """One without the other is told, and which."""
    assert "SAM3D_LINK_KEY is not" in refusal(monkeypatch, "SAM3D_PUBLIC_URL", "https://files.example")
    monkeypatch.delenv("SAM3D_PUBLIC_URL")
    assert "SAM3D_PUBLIC_URL is not" in refusal(monkeypatch, "SAM3D_LINK_KEY", KEY)
    monkeypatch.setenv("SAM3D_PUBLIC_URL", "https://files.example")
    assert load_settings().links.keys == [KEY.encode()]


@pytest.mark.parametrize("keys", ["m4rk3r", f"{KEY},m4rk3r", f"m4rk3r,{KEY}", "", ",", " "])
def test_a_key_is_long(monkeypatch: pytest.MonkeyPatch, keys: str) -> None:
    """Each of them; none is shown."""
    said = refusal(monkeypatch, "SAM3D_LINK_KEY", keys)
    assert said.startswith("SAM3D_LINK_KEY: must be a key of 32 bytes")
    assert MARKER not in said


SIGNING_KEY = make_key()


@pytest.mark.parametrize(
    "text", [SIGNING_KEY, SIGNING_KEY.strip(), SIGNING_KEY.replace("\n", "\r\n")], ids=["", "cut", "crlf"]
)
def test_a_key_for_receipts_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    """As `openssl genpkey` writes it, from the environment or a file; it is in no repr."""
    monkeypatch.setenv("SAM3D_RECEIPT_KEY", text)
    assert load_settings().receipts.key == text.encode()
    monkeypatch.delenv("SAM3D_RECEIPT_KEY")
    (tmp_path / "key.pem").write_bytes(text.encode())
    monkeypatch.setenv("SAM3D_RECEIPT_KEY_FILE", str(tmp_path / "key.pem"))
    settings = load_settings()
    assert settings.receipts.key
    assert settings.receipts.key.split() == text.encode().split()
    assert SIGNING_KEY.splitlines()[1] not in repr(settings)


NO_SIGNING_KEYS = {
    "nothing": "",
    "a word": "m4rk3r",
    "public": public_of(SIGNING_KEY),
    "encrypted": SIGNING_KEY.replace("PRIVATE", "ENCRYPTED PRIVATE"),
    "another algorithm": SIGNING_KEY.replace("K2Vw", "K2Vu", 1),
    "cut": SIGNING_KEY[:60],
    "m4rk3r after it": f"{SIGNING_KEY}m4rk3r",
    "two": SIGNING_KEY * 2,
    "one line": SIGNING_KEY.replace("\n", ""),
}


@pytest.mark.parametrize("text", NO_SIGNING_KEYS.values(), ids=list(NO_SIGNING_KEYS))
def test_what_is_no_key_for_receipts_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """At the start, with how to make one."""
    said = refusal(monkeypatch, "SAM3D_RECEIPT_KEY", text)
    assert said.startswith("SAM3D_RECEIPT_KEY: must be an Ed25519 private key in PEM")
    assert "openssl genpkey -algorithm ed25519" in said
    assert not [secret for secret in (MARKER, SIGNING_KEY.splitlines()[1]) if secret in said]


def test_a_key_for_receipts_is_given_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By the variable or by a file."""
    monkeypatch.setenv("SAM3D_RECEIPT_KEY_FILE", str(tmp_path / "key.pem"))
    assert "both set" in refusal(monkeypatch, "SAM3D_RECEIPT_KEY", SIGNING_KEY)


def test_keys_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The first signs; what is wrong with them is told as if they were given."""
    path = tmp_path / "key"
    path.write_text(f"{KEY},{'b' * 32}\n")
    monkeypatch.setenv("SAM3D_PUBLIC_URL", "https://files.example")
    monkeypatch.setenv("SAM3D_LINK_KEY_FILE", str(path))
    assert load_settings().links.keys == [KEY.encode(), b"b" * 32]
    path.write_text("m4rk3r")
    with pytest.raises(ConfigurationError, match="SAM3D_LINK_KEY: must be") as refused:
        load_settings()
    assert MARKER not in repr(refused.value)


@pytest.mark.parametrize(
    "url",
    ["m4rk3r", "ftp://m4rk3r.example", "http://m4rk3r.example", "https://m4rk3r@files.example", "https://f.example?m4rk3r",
     "https://f.example#m4rk3r", "https://f.example/?", "https://"],
)  # fmt: skip
def test_others_are_sent_to_an_address_of_tls(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """In clear a link would be anybody's; what follows it is signed as we write it."""
    said = refusal(monkeypatch, "SAM3D_PUBLIC_URL", url)
    assert said.startswith("SAM3D_PUBLIC_URL: ")
    assert MARKER not in said


@pytest.mark.parametrize("seconds", ["0", "604801", "m4rk3r"])
def test_a_link_lasts_a_week_at_most(monkeypatch: pytest.MonkeyPatch, seconds: str) -> None:
    """As the stores have it."""
    assert "SAM3D_LINK_LIFETIME" in refusal(monkeypatch, "SAM3D_LINK_LIFETIME", seconds)


@pytest.mark.parametrize("store", [None, "file:///m4rk3r"])
def test_addresses_need_a_store_that_signs(monkeypatch: pytest.MonkeyPatch, store: str | None) -> None:
    """Neither the database nor a folder does."""
    if store:
        monkeypatch.setenv("SAM3D_STORE_URL", store)
    said = refusal(monkeypatch, "SAM3D_INPUT_ADDRESSES", "on")
    assert "SAM3D_STORE_URL" in said
    assert MARKER not in said
    monkeypatch.setenv("SAM3D_INPUT_ADDRESSES", "off")
    assert not load_settings().storage.sends_addresses


@pytest.mark.parametrize("store", ["s3://bucket/x", "gs://bucket", "az://container"])
def test_clouds_sign_addresses(monkeypatch: pytest.MonkeyPatch, store: str) -> None:
    """They are sent once that is asked for."""
    monkeypatch.setenv("SAM3D_STORE_URL", store)
    assert not load_settings().storage.sends_addresses
    monkeypatch.setenv("SAM3D_INPUT_ADDRESSES", "on")
    assert load_settings().storage.sends_addresses
