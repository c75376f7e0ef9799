"""Which page of the assistants is asked for: their ids are texts, and the default one is first."""

from parley_core.http.pagination import ListCursor, Query, cursors_by, limit_in, order_in

PageQuery = ListCursor[str]


def page_query_of(query: Query) -> PageQuery:
    """Raises InvalidRequest, which names the parameter."""
    after, before = cursors_by(query.get)
    return ListCursor(limit_in(query), order_in(query, "asc"), after, before)
