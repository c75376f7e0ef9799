"""The offline demo model: an OpenAI-compatible server that answers from the conversation alone."""

from parley_cli.demo_model.answers import Message, Reply, reply_to
from parley_cli.demo_model.app import create_app

__all__ = ["Message", "Reply", "create_app", "reply_to"]
