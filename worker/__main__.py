"""``python -m worker`` is ``sam3d``."""

from worker.cli import main

main()
