"""A local stand-in for the vendor: its API, its faults on request, its bill, and a model that needs no GPU.

It is an independent peer and knows nothing of the rest of the package. The files, in the order of a request:

``running``     a thread beside a test, or the foreground until a signal
``server``      which address is which call; where faults come in
``faults``      the rules: which call goes wrong, how, and when
``mischief``    carries a fault out on the wire
``calls``       what each call answers when nothing goes wrong
``parameters``  what may be asked of the model
``answers``     every error answer
``world``       all state: runs, account, faults, counts
``settings``    what can be set
``account``     keys, credits, request rate
``clock``       time that can be advanced
``runtimes``    how long runs take
``jobs``        one run and its state over time
``history``     the account host's request history: pages, windows, filters
``rows``        what a run looks like there
``stranger``    another user of the same key
``studio``      two threads and a cache for making models
``images``      pictures in
``model``       the stand-in model: separates the object
``mesh``        inflates its silhouette
``glb``         writes it as GLB
``artifacts``   the files of a run
``extras``      further outputs beside them
``ranges``      a file or a part of it
``control``     the inspection API under ``/_simulator/``
"""

from .faults import FaultRule
from .running import Simulator, serve
from .runtimes import RunTime
from .settings import SimulatorSettings

__all__ = ["FaultRule", "RunTime", "Simulator", "SimulatorSettings", "serve"]
