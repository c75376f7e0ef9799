"""Offline demo model: an OpenAI-compatible server whose replies depend only on the conversation."""

from parley_cli.demo_model.app import create_app
from parley_cli.demo_model.replies import Message, Reply, reply_to

__all__ = ["Message", "Reply", "create_app", "reply_to"]
