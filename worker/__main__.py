"""``python -m worker`` is ``sam3d``."""

from worker.cli.main import main

main()
