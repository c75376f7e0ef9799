"""Builds JSON responses from API models and response bodies."""

import msgspec
from starlette.responses import Response

from parley_contracts.api_models import Shape


def model_response(model: Shape, status: int = 200) -> Response:
    return Response(model.to_json(), status, media_type="application/json")


def json_response(body: object) -> Response:
    return Response(msgspec.json.encode(body), media_type="application/json")
