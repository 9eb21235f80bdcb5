"""Faults planted in functions as users write them, and the share of them that gradagree finds."""
