"""The offline demo model: an OpenAI-compatible server that answers from the conversation alone."""

from parley_cli.demo_model.app import create_app
from parley_cli.demo_model.replies import Message, Reply, reply_to

__all__ = ["Message", "Reply", "create_app", "reply_to"]
