"""The settings as the limits that each part takes."""

from parley_inference.background.post_reply_tasks import PostReplyTaskSettings
from parley_inference.completions.service import CompletionSettings
from parley_inference.completions.usage_reporter import UsageReporterSettings
from parley_inference.models.model_catalogue import ServerLimits
from parley_inference.models.openai_provider import UpstreamLimits
from parley_inference.models.retry_policy import RetryPolicy
from parley_inference.settings import InferenceSettings
from parley_inference.turns.runner import RunnerLimits


def runner_limits(settings: InferenceSettings) -> RunnerLimits:
    return RunnerLimits(
        turns=settings.inference_turns,
        reply_bytes=settings.inference_reply_bytes,
        follow_seconds=settings.inference_follow_seconds,
        commit_pause_seconds=settings.inference_commit_pause_seconds,
    )


def afterwards_limits(settings: InferenceSettings) -> PostReplyTaskSettings:
    return PostReplyTaskSettings(
        titles=settings.inference_titles,
        compaction=settings.inference_compaction,
        at_once=settings.inference_afterwards,
        title_seconds=settings.inference_title_seconds,
        compaction_seconds=settings.inference_compaction_seconds,
    )


def completions_limits(settings: InferenceSettings) -> CompletionSettings:
    return CompletionSettings(
        at_once=settings.inference_completions,
        event_bytes=settings.upstream_event_bytes,
        client_seconds=settings.inference_client_seconds,
    )


def record_limits(settings: InferenceSettings) -> UsageReporterSettings:
    return UsageReporterSettings(
        waiting=settings.inference_records_waiting,
        at_once=settings.inference_records_at_once,
        tries_seconds=settings.inference_record_seconds,
        longest_pause=settings.inference_commit_pause_seconds,
    )


def server_limits(settings: InferenceSettings) -> ServerLimits:
    return ServerLimits(
        at_once=settings.upstream_at_once,
        wait=settings.upstream_wait_seconds,
        connect=settings.upstream_connect_seconds,
        first_token=settings.upstream_first_token_seconds,
        between_tokens=settings.upstream_between_tokens_seconds,
        total=settings.upstream_total_seconds,
    )


def upstream_limits(settings: InferenceSettings) -> UpstreamLimits:
    return UpstreamLimits(
        retries=RetryPolicy(
            settings.upstream_attempts,
            settings.upstream_retry_seconds,
            settings.upstream_retry_most_seconds,
        ),
        failures=settings.upstream_failures_in_a_row,
        open_seconds=settings.upstream_open_seconds,
        after_finish=settings.upstream_after_finish_seconds,
        event_bytes=settings.upstream_event_bytes,
        answer_bytes=settings.upstream_answer_bytes,
    )
