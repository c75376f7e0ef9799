"""Failure codes of a reply, their messages, and the error raised by calls to a model server."""

import re
from typing import Literal

from parley_inference.models.server_error import ServerError

FailureCode = Literal[
    "upstream_refused",
    "upstream_unauthorized",
    "upstream_model_not_found",
    "upstream_not_found",
    "upstream_quota_exceeded",
    "upstream_rate_limited",
    "upstream_unavailable",
    "upstream_busy",
    "upstream_timeout",
    "upstream_garbage",
    "upstream_broken",
    "upstream_filtered",
    "upstream_tool_calls",
    "upstream_empty",
    "model_unknown",
    "context_length_exceeded",
    "context_too_long",
    "cancelled",
    "interrupted",
    "internal",
]

MESSAGES: dict[FailureCode, str] = {
    "upstream_refused": "The model server rejected the request.",
    "upstream_unauthorized": "The model server rejected the API key, or the key may not use this "
    "model. An operator should check OPENAI_API_KEY, or the model's key_variable in the models "
    "file.",
    "upstream_model_not_found": "The model server does not have this model. An operator should "
    "check PARLEY_MODEL, or the model's upstream_name in the models file.",
    "upstream_not_found": "The model server has no chat completions at its base URL. An operator "
    "should check OPENAI_BASE_URL, or base_url in the models file; it usually ends in /v1.",
    "upstream_quota_exceeded": "The account at the model server has used up its quota or credit. "
    "An operator should check its billing.",
    "upstream_rate_limited": "The model server is rate limiting requests. Please retry later.",
    "upstream_unavailable": "The model server is unavailable. Please retry.",
    "upstream_busy": "Too many concurrent requests to the model server. Please retry.",
    "upstream_timeout": "The model server timed out. Please retry.",
    "upstream_garbage": "The model server returned an invalid response.",
    "upstream_broken": "The connection to the model server broke during the reply.",
    "upstream_filtered": "The model server's content filter rejected the prompt, or removed the "
    "whole reply.",
    "upstream_tool_calls": "The model called a tool instead of replying. Sessions have no tools.",
    "upstream_empty": "The model ended its reply without any text. Please retry.",
    "model_unknown": "This model is not in the model catalogue.",
    "context_length_exceeded": "The conversation and the reply do not fit into the model's "
    "context. Shorten the message, start another session, or use a model with a larger context.",
    "context_too_long": "The message is too long for this model.",
    "cancelled": "The reply was cancelled.",
    "interrupted": "The process that generated the reply was stopped. Please retry.",
    "internal": "An internal error occurred.",
}


class UpstreamError(Exception):
    """A failed call to a model server; its text never contains what the server sent.

    `transient`: another attempt may succeed. `retry_after`: seconds, where they are known.
    `partially_sent`: part of the reply was already delivered, so no other attempt or model can
    replace it. `was_asked`: the server got a request, in this attempt or an earlier one. `answer`
    is its error response, and `cause` the class of the error where there was no response.
    """

    def __init__(
        self,
        code: FailureCode,
        *,
        transient: bool = False,
        retry_after: float | None = None,
        partially_sent: bool = False,
        was_asked: bool = True,
        answer: ServerError | None = None,
        cause: str | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.transient, self.retry_after = code, transient, retry_after
        self.partially_sent, self.was_asked = partially_sent, was_asked
        self.answer, self.cause = answer, cause

    @property
    def message(self) -> str:
        """The sentence for clients; it quotes no text of the server."""
        message = MESSAGES[self.code]
        return f"{message} It answered with {self.answer}." if self.answer else message

    @property
    def reason(self) -> str:
        """What may be logged: the code, and what the server answered."""
        details = self.answer or self.cause
        return f"{self.code} ({details})" if details else self.code


def error_for(answer: ServerError, retry_after: float | None = None) -> UpstreamError:
    """Map an error response to an error."""
    code = _code_of(answer)
    transient = code in ("upstream_rate_limited", "upstream_unavailable") or (
        answer.status in (408, 409)
    )
    return UpstreamError(code, transient=transient, retry_after=retry_after, answer=answer)


def _code_of(answer: ServerError) -> FailureCode:
    status, names = answer.status, {answer.type, answer.code}
    if _exceeds_context(answer):
        return "context_length_exceeded"
    if status == 402 or (status == 429 and "insufficient_quota" in names):
        return "upstream_quota_exceeded"
    if status == 429:
        return "upstream_rate_limited"
    if status >= 500:
        return "upstream_unavailable"
    if names & _MODEL_NAMES or (status == 404 and "model" in answer.message.lower()):
        return "upstream_model_not_found"
    if status in (401, 403) or _KEY_WORDING.search(answer.message):
        return "upstream_unauthorized"
    if status in (404, 405) or status < 400:
        return "upstream_not_found"
    return "upstream_filtered" if names & _FILTER_NAMES else "upstream_refused"


def _exceeds_context(answer: ServerError) -> bool:
    # llama.cpp answered with the status 500 at first.
    if answer.status not in (400, 413, 422, 500):
        return False
    if {answer.type, answer.code} & _CONTEXT_NAMES:
        return True
    return answer.status != 500 and _CONTEXT_WORDING.search(answer.message) is not None


# OpenAI, Groq, DeepSeek, Azure · Anthropic · llama.cpp.
_CONTEXT_NAMES = {
    "context_length_exceeded",
    "model_context_window_exceeded",
    "exceed_context_size_error",
}
_CONTEXT_WORDING = re.compile(
    # OpenAI, vLLM, SGLang, DeepSeek, OpenRouter, Mistral.
    r"maximum context length"
    # OpenAI's newer models · Azure.
    r"|exceeds? the context window|input tokens exceed the configured limit"
    # vLLM.
    r"|longer than the (maximum model length|model'?s context length)|maximum model length"
    # llama.cpp · llama-cpp-python.
    r"|exceeds? the available context size|exceeds? context window"
    # Ollama · LM Studio.
    r"|exceed(s|ed)? (the |maximum |max )*context (length|limit)|greater than the context length"
    # LiteLLM · Anthropic · Gemini · Text Generation Inference.
    r"|ContextWindowExceededError|prompt is too long|exceeds the maximum number of tokens allowed"
    r"|`inputs` tokens \+ `max_new_tokens` must be",
    re.IGNORECASE,
)
# OpenAI, Groq, vLLM · Mistral · Azure.
_MODEL_NAMES = {"model_not_found", "invalid_model", "DeploymentNotFound"}
_FILTER_NAMES = {"content_filter", "content_policy_violation"}
# Gemini and xAI answer a wrong key with the status 400.
_KEY_WORDING = re.compile(
    r"(incorrect|invalid|missing|expired) api[ _-]?key"
    r"|api[ _-]?key (is )?(not valid|not found|invalid|missing|expired|incorrect)",
    re.IGNORECASE,
)
