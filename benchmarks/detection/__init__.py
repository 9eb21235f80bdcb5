"""Planted faults, and who finds them: gradagree and its peers on the same networks."""
