"""A chat message in the form that OpenAI-compatible servers accept."""

ChatMessage = dict[str, str]
"""`{"role": …, "content": …}`."""
