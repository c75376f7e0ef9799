"""Projection of session events to read-model rows; pure, so live projection and rebuild agree."""
