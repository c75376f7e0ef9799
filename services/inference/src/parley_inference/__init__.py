"""Inference: runs the turns of Parley on model servers, and streams their replies."""
