"""How session's routes answer."""

from typing import Any

import msgspec
from starlette.responses import Response

from parley_contracts.api_models import Shape


def shape_answer(shape: Shape, status: int = 200) -> Response:
    return Response(shape.to_json(), status, media_type="application/json")


def json_answer(answer: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(answer), media_type="application/json")
