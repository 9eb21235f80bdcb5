"""Correct activations and losses, written as public libraries and their users write them."""
