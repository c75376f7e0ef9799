"""Inference: makes the replies of Parley, one per turn, and streams them."""
