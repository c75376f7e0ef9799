"""Exports of one session or all sessions of a person, as JSON or Markdown."""
