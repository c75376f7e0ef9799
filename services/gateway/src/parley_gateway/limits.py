"""The settings as the limits that each part takes."""

from parley_gateway.history.invalidation_feed import InvalidationFeedSettings
from parley_gateway.history.page_cache import PageCacheSettings
from parley_gateway.history.recent_writes import RecentWritesSettings
from parley_gateway.settings import GatewaySettings
from parley_gateway.turns.event_relay import RelayLimits
from parley_gateway.turns.limits import TurnLimits


def turn_limits(settings: GatewaySettings) -> TurnLimits:
    return TurnLimits(
        body=settings.gateway_body_seconds,
        call=settings.gateway_call_seconds,
        heartbeat=settings.gateway_stream_heartbeat_seconds,
        reply=settings.gateway_reply_seconds,
        relay=RelayLimits(
            attach=settings.gateway_attach_seconds,
            quiet=settings.gateway_quiet_seconds,
            quiet_again=settings.gateway_quiet_again_seconds,
            silence=settings.gateway_silence_seconds,
            reattach=settings.gateway_reattach_seconds,
            reattach_pause=settings.gateway_reattach_pause_seconds,
            reattach_most_pause=settings.gateway_reattach_most_pause_seconds,
            look=settings.gateway_look_seconds,
            event_bytes=settings.gateway_event_bytes,
        ),
    )


def page_limits(settings: GatewaySettings) -> PageCacheSettings:
    return PageCacheSettings(
        bytes=settings.gateway_pages_bytes,
        page_bytes=settings.gateway_page_bytes,
        seconds=settings.gateway_page_seconds,
        silence=settings.gateway_movements_silence_seconds,
        settle=settings.gateway_movements_settle_seconds,
        read=settings.gateway_call_seconds,
    )


def movement_limits(settings: GatewaySettings) -> InvalidationFeedSettings:
    return InvalidationFeedSettings(
        silence=settings.gateway_movements_silence_seconds,
        pause=settings.gateway_movements_pause_seconds,
        most_pause=settings.gateway_movements_most_pause_seconds,
        line_bytes=settings.gateway_movements_line_bytes,
    )


def write_limits(settings: GatewaySettings) -> RecentWritesSettings:
    return RecentWritesSettings(
        seconds=settings.gateway_own_writes_seconds,
        people=settings.gateway_own_writes_people,
        sessions=settings.gateway_own_writes_sessions,
    )
