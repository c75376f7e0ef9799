"""What a search finds."""

from typing import Any


def contents_of(response: Any) -> Any:
    assert response.status == 200, response.body
    return [result["message"]["content"] for result in response.json["data"]]
