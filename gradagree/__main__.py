"""``python -m gradagree``."""

from gradagree.cli.main import main

main()
