"""Errors as MLflow's clients expect them, `{"error_code": …, "message": …}`, and the reading of a request's fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sampan.errors import AccessDenied, Conflict, NotFound, SampanError, TooLarge, Unavailable

STATUS: Final = {
    "INVALID_PARAMETER_VALUE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "BAD_REQUEST": 400,
    "INVALID_STATE": 400,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "TEMPORARILY_UNAVAILABLE": 503,
    "NOT_IMPLEMENTED": 501,
    "INTERNAL_ERROR": 500,
}
MAX_KEY: Final = 250
MAX_PARAM: Final = 6000
MAX_TAG: Final = 8000
_LARGEST: Final = 2**63 - 1
_KEY_BAD: Final = set("\x00\n\r")


class Refusal(Exception):  # errors are named for what happened
    """A request MLflow's own server would refuse."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refusal:
    """Refuse a value."""
    return Refusal("INVALID_PARAMETER_VALUE", message)


def missing(what: str) -> Refusal:
    """Say that something is not there."""
    return Refusal("RESOURCE_DOES_NOT_EXIST", what)


def exists(what: str) -> Refusal:
    """Say that something is there already."""
    return Refusal("RESOURCE_ALREADY_EXISTS", what)


def translate(error: SampanError) -> Refusal:
    """Turn an error of ours into MLflow's words."""
    for kind, code in (
        (NotFound, "RESOURCE_DOES_NOT_EXIST"),
        (AccessDenied, "PERMISSION_DENIED"),
        (Conflict, "INVALID_STATE"),
        (TooLarge, "INVALID_PARAMETER_VALUE"),
        (Unavailable, "TEMPORARILY_UNAVAILABLE"),
    ):
        if isinstance(error, kind):
            return Refusal(code, error.message)
    return Refusal("INVALID_PARAMETER_VALUE" if error.http_status < 500 else "INTERNAL_ERROR", error.message)


def text(given: Mapping[str, Any], name: str, *, required: bool = True, default: str = "") -> str:
    """Read a text."""
    value = given.get(name)
    if value is None or value == "":
        if required:
            raise invalid(f"Missing value for required parameter '{name}'. See the API docs for more information about request parameters.")
        return default
    if not isinstance(value, str):
        raise invalid(f"Invalid value {value!r} for parameter '{name}' supplied: Value must be a string.")
    return value


def integer(given: Mapping[str, Any], name: str, *, default: int | None = None) -> int:
    """Read a whole number, which a client may send as a number or as a text."""
    value = given.get(name, default)
    if value is None:
        raise invalid(f"Missing value for required parameter '{name}'. See the API docs for more information about request parameters.")
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        found = int(value)
        if not -_LARGEST - 1 <= found <= _LARGEST:
            raise ValueError
    except (TypeError, ValueError, OverflowError) as cause:
        shown = repr(value)[:80]
        raise invalid(f"Invalid value {shown} for parameter '{name}' supplied: Value must be an integer of 64 bits.") from cause
    return found


def number(given: Mapping[str, Any], name: str) -> float:
    """Read a number; NaN and infinities come as texts."""
    value = given.get(name)
    if value is None:
        raise invalid(f"Missing value for required parameter '{name}'. See the API docs for more information about request parameters.")
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError) as cause:
        raise invalid(f"Invalid value {value!r} for parameter '{name}' supplied: Value must be a number.") from cause


def items(given: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Read a list of objects."""
    value = given.get(name) or []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise invalid(f"Invalid value {value!r} for parameter '{name}' supplied: Value must be a list of objects.")
    return value


def texts(given: Mapping[str, Any], name: str) -> list[str]:
    """Read a list of texts; a query may give a single one."""
    value = given.get(name) or []
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise invalid(f"Invalid value {value!r} for parameter '{name}' supplied: Value must be a list of strings.")
    return found


def key_of(given: Mapping[str, Any], what: str) -> str:
    """Read the name of a metric, parameter or tag."""
    found = text(given, "key")
    if len(found) > MAX_KEY:
        raise invalid(f"{what} name '{found[:80]}...' had length {len(found)}, which exceeded length limit of {MAX_KEY}")
    if set(found) & _KEY_BAD:
        raise invalid(f"Invalid {what} name: {found!r}. Names may not contain line breaks or null characters.")
    return found


def limited(value: str, limit: int, what: str) -> str:
    """Return a text that is not too long."""
    if len(value) > limit:
        raise invalid(f"{what} had length {len(value)}, which exceeded length limit of {limit}")
    return value


def pairs(found: Mapping[str, str]) -> list[dict[str, str]]:
    """Return a mapping as MLflow writes one."""
    return [{"key": key, "value": value} for key, value in found.items()]


def page(given: Mapping[str, Any], *, default: int, most: int) -> tuple[int, int]:
    """Read how many are wanted and from where on.

    Raises
    ------
    Refusal : the number is out of bounds, or the page token is none of ours.
    """
    import base64
    import json

    wanted = integer(given, "max_results", default=default)
    if not 0 < wanted <= most:
        raise invalid(f"Invalid value {wanted} for parameter 'max_results' supplied: It must be at least 1 and at most {most}.")
    token = text(given, "page_token", required=False)
    if not token:
        return wanted, 0
    try:
        offset = json.loads(base64.urlsafe_b64decode(token.encode()))["offset"]
        if not isinstance(offset, int) or offset < 0:
            raise ValueError
    except (ValueError, KeyError, TypeError) as cause:
        raise invalid("Invalid page token, could not base64-decode") from cause
    return wanted, offset


def paged(found: Sequence[Any], wanted: int, offset: int) -> tuple[list[Any], dict[str, str]]:
    """Return one page and, where there are more, the token of the next."""
    return list(found[offset : offset + wanted]), next_page(len(found), wanted, offset)


def next_page(n_found: int, wanted: int, offset: int) -> dict[str, str]:
    """Return, where there are more than this page shows, the token of the next."""
    import base64
    import json

    if offset + wanted >= n_found:
        return {}
    token = base64.urlsafe_b64encode(json.dumps({"offset": offset + wanted}).encode()).decode()
    return {"next_page_token": token}
