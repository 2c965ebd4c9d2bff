"""Read and write objects in the S3 store with botocore alone: boto3's client takes 20 MiB."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

import botocore.session
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.httpsession import URLLib3Session


class Store:
    """The project's bucket, with the credentials and address that boto3 would use."""

    def __init__(self, bucket: str) -> None:
        session = botocore.session.get_session()
        self._credentials = session.get_credentials()
        self._region = str(session.get_config_variable("region") or "us-east-1")
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        self._url = f"{endpoint or f'https://s3.{self._region}.amazonaws.com'}/{bucket}"
        self._http = URLLib3Session(timeout=10)

    def put(self, key: str, content: bytes) -> None:
        """Store an object.

        Raises:
            OSError: the store refused it; the message has its answer.
            botocore.exceptions.BotoCoreError: it does not answer, or there are no credentials.
        """
        self._ask("PUT", key, content)

    def get(self, key: str) -> bytes | None:
        """Read an object; None if there is none.

        Raises:
            OSError, botocore.exceptions.BotoCoreError: as for `put`.
        """
        answer = self._ask("GET", key, missing=404)
        return None if answer.status_code == 404 else bytes(answer.content)

    def _ask(self, method: str, key: str, content: bytes = b"", missing: int = 0) -> Any:
        headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        request = AWSRequest(method, f"{self._url}/{quote(key)}", headers=headers, data=content)
        frozen = self._credentials.get_frozen_credentials() if self._credentials else None
        S3SigV4Auth(frozen, "s3", self._region).add_auth(request)
        answer = self._http.send(request.prepare())
        if answer.status_code >= 300 and answer.status_code != missing:
            raise OSError(f"the object store answered {answer.status_code}: {answer.text[:200]}")
        return answer
