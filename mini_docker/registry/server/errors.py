"""What the server answers when it refuses: a status, a code from the specification's table, a sentence.

Source: OCI distribution specification 1.1, "Error Codes".
"""

from __future__ import annotations

import json

from mini_docker.errors import MiniDockerError
from mini_docker.http.messages import Answer

STATUS_OF_CODE = {
    "BLOB_UNKNOWN": 404, "BLOB_UPLOAD_INVALID": 400, "BLOB_UPLOAD_UNKNOWN": 404, "DIGEST_INVALID": 400,
    "MANIFEST_BLOB_UNKNOWN": 400, "MANIFEST_INVALID": 400, "MANIFEST_UNKNOWN": 404, "NAME_INVALID": 400,
    "NAME_UNKNOWN": 404, "SIZE_INVALID": 400, "TAG_INVALID": 400, "UNAUTHORIZED": 401, "DENIED": 403,
    "UNSUPPORTED": 405, "TOOMANYREQUESTS": 429, "RANGE_INVALID": 416, "PAGINATION_NUMBER_INVALID": 400,
    "UNKNOWN": 500,
}  # fmt: skip
_CODE_OF_STATUS = {413: "SIZE_INVALID", 503: "TOOMANYREQUESTS"}


class Refused(MiniDockerError):
    """A request that the registry does not fulfil.

    Attributes:
        code: of the specification's table.
        status: of HTTP; the code's usual one unless given.
        headers: to send along.
    """

    def __init__(self, code: str, message: str, status: int = 0, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.status = status or STATUS_OF_CODE[code]
        self.headers = headers

    def answer(self) -> Answer:
        """The refusal as the client gets it."""
        return Answer(self.status, (("Content-Type", "application/json"), *self.headers), body_of(self.code, str(self)))


def body_of(code: str, message: str) -> bytes:
    """The JSON object that explains a refusal."""
    # An empty detail, not null: Docker takes an error without one for a bare code and loses its own sentence for it.
    return json.dumps({"errors": [{"code": code, "message": message, "detail": {}}]}).encode()


def too_early(status: int, message: str) -> Answer:
    """The answer to what is not even a request (malformed, too large, too slow)."""
    return Answer(
        status, (("Content-Type", "application/json"),), body_of(_CODE_OF_STATUS.get(status, "UNSUPPORTED"), message)
    )
