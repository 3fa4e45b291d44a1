"""A stand-in for the vendor: ``simulator``."""

from worker.cli.show import note
from worker.telemetry.ports import listening


def simulator(port: int, host: str, run_seconds: float, balance: float) -> None:
    """Stand in for the vendor on this machine; no key is checked, nothing is paid."""
    from worker.simulator import SimulatorSettings, serve  # An extra that a worker does not need.

    settings = SimulatorSettings.model_validate({"run_time": run_seconds, "credits": balance})
    with listening("--port", port):
        serve(host, port, settings, _tell_how_to_use)


def _tell_how_to_use(url: str) -> None:
    note(f"The simulator listens on {url}. Workers use it with:")
    note(
        f"  export SEGMIND_BASE_URL={url} SEGMIND_ACCOUNT_URL={url} SAM3D_OUTPUT_HOSTS={url} "
        "SEGMIND_API_KEY=SG_0123456789abcdef"
    )
