"""``python -m gradagree``."""

from gradagree.cli import main

main()
