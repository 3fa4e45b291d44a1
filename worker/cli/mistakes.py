"""What is said of an error in one line, and the exit code that goes with it."""

from worker.errors import ConfigurationError, InvalidMessage, Sam3dError, WaitTimeout

EXIT_CODES: tuple[tuple[type[Exception], int], ...] = (
    (InvalidMessage, 2),
    (ConfigurationError, 3),
    (WaitTimeout, 4),
    (Sam3dError, 1),
)


def explained(error: Exception) -> tuple[str, int] | None:
    """Return a sentence with the fix, and the exit code; None for what is nobody's mistake but ours."""
    match error:
        case Sam3dError():
            return str(error), next(code for kind, code in EXIT_CODES if isinstance(error, kind))
        case ModuleNotFoundError(name=str(name)) if name.split(".")[0] != "worker":
            return f"{name} is not installed: install the extra `simulator`, or `demo`: `pip install '.[demo]'`.", 3
    return _of_a_service(error)


def _of_a_service(error: Exception) -> tuple[str, int] | None:
    """Explain what the database, the broker or the system refused."""
    from worker.database.engine import DatabaseError, refusal

    if isinstance(error, DatabaseError):
        return str(refusal(error)), 3
    if isinstance(error, OSError):
        return f"{error.filename or 'A file or an address'}: {error.strerror or error}.", 3
    from worker.broker.topology import PUBLISH_ERRORS

    if isinstance(error, PUBLISH_ERRORS):
        why = type(error).__name__
        return f"The broker refuses ({why}): check user and virtual host in SAM3D_BROKER_URL.", 3
    return None
