"""Query parameters of the assistant list, whose cursors are assistant ids."""

from parley_core.http.pagination import (
    PageParameters,
    Query,
    parse_cursors,
    parse_limit,
    parse_order,
)

PageQuery = PageParameters[str]


def page_query_of(query: Query) -> PageQuery:
    """Ascending by default, so that the default assistant comes first. Raises InvalidRequest."""
    after, before = parse_cursors(query.get)
    return PageParameters(parse_limit(query), parse_order(query, "asc"), after, before)
