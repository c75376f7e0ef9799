"""One sentence on each field of the events' data, for JSON schemas and columns of exports.

A field has the same meaning in every event that has it.
"""

from collections.abc import Mapping

FIELD_DESCRIPTIONS: Mapping[str, str] = {
    "actor": "Cause of the event: a user of a tenant, or Parley itself (`system`).",
    "request_id": "`x-request-id` of the request that caused the event.",
    "owner": "User who owns the session or API key.",
    "tenant": "Tenant of the owner; of an assistant: null if all tenants share it.",
    "assistant_id": "ID of the assistant, within its tenant.",
    "assistant_version": "Version of the assistant's definition.",
    "title": "Title of the session.",
    "metadata": "Metadata of the session, a JSON object.",
    "expires_at": "Time at which a temporary session is erased, an API key expires, or the last of "
    "the revoked tokens has expired.",
    "forked_from": "Message of another session up to which this one was copied.",
    "message_id": "ID of the message.",
    "parent_message_id": "Message that this one follows; siblings are edits of one another.",
    "content": "Text of the message or reply.",
    "tokens": "Tokens of the content, if they were counted.",
    "role": "Who wrote the imported message: user, assistant or system.",
    "original_time": "Time that an imported message claims.",
    "status": "Outcome, if it did not complete; of a stateless completion: always.",
    "model": "Name of the model.",
    "models": "Models that the API key may use; null for all.",
    "scopes": "Scopes of the API key, some of its owner's.",
    "finish_reason": "Why the model stopped.",
    "usage": "Tokens of prompt and completion; `estimated` if Parley counted them.",
    "error_code": "Error of an imported reply that failed.",
    "turn_id": "ID of the turn: one reply, from its request to its end.",
    "reply_id": "ID of the reply, a message.",
    "parameters": "Parameters of this turn, such as the temperature.",
    "price": "Price applied, in micro-units of the currency per million tokens.",
    "first_token_ms": "Milliseconds until the first token, measured by the inference service.",
    "total_ms": "Milliseconds until the end of the reply, measured by the inference service.",
    "code": "Error code.",
    "details": "Details of the error.",
    "partial_content": "Text that the reply had when it ended.",
    "cancelled_by": "Who cancelled the turn.",
    "up_to_message_id": "Last message that the summary replaces.",
    "summary": "Summary that replaces the messages in the prompt.",
    "suggested": "Whether a model suggested the title.",
    "erase_at": "Time at which the deleted session is erased.",
    "reason": "Why the session was erased.",
    "name": "Name of the assistant.",
    "description": "Description of the assistant.",
    "instructions": "System prompt of the assistant.",
    "kind": "What is revoked: one token, or all of a user or tenant.",
    "target": "The token's `jti`, the user, or the tenant.",
    "default": "Whether sessions without an assistant get this one.",
}
