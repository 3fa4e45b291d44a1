"""A real worker and a real scheduler, each a process, on private services and the simulator."""

from tests.support.running import deployment, listener, service, simulator

__all__ = ["deployment", "listener", "service", "simulator"]
