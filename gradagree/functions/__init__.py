"""Check any function: its gradients against a reference, end to end and operation by operation."""
