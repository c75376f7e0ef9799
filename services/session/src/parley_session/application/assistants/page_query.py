"""Which page of the assistants is asked for: their ids are texts, and the default one is first."""

from parley_core.http.pagination import (
    PageParameters,
    Query,
    parse_cursors,
    parse_limit,
    parse_order,
)

PageQuery = PageParameters[str]


def page_query_of(query: Query) -> PageQuery:
    """Raises InvalidRequest, which names the parameter."""
    after, before = parse_cursors(query.get)
    return PageParameters(parse_limit(query), parse_order(query, "asc"), after, before)
