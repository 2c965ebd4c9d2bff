"""Change me: a service of your own, such as a dashboard or an API.

`python3 mlops_manager.py start` starts it with the others, in the project's environment, and waits
until it answers requests for "/". boto3, GDAL and MLflow find the project's servers, as in tasks.
"""

import base64
import hmac
import html
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3

# Other users of this computer can reach the port, so MLflow's user and password open it.
LOGIN = f"{os.environ['MLFLOW_TRACKING_USERNAME']}:{os.environ['MLFLOW_TRACKING_PASSWORD']}"
AUTHORIZATION = b"Basic " + base64.b64encode(LOGIN.encode())


class Page(BaseHTTPRequestHandler):
    """Lists the folders in the object store."""

    # Change: show your own results. For more than a page, add a framework such as FastAPI, Panel
    # or Streamlit to pyproject.toml, and let it listen on HOST and PORT.

    def do_GET(self) -> None:
        """Answer a request for any path."""
        given = self.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, AUTHORIZATION):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="change_me"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = page(folders()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def folders() -> list[str]:
    """The folders at the top of the project's bucket."""
    found = boto3.client("s3").list_objects_v2(Bucket=os.environ["S3_BUCKET"], Delimiter="/")
    return [entry["Prefix"] for entry in found.get("CommonPrefixes", [])]


def page(names: list[str]) -> str:
    """A page that lists these names."""
    items = "".join(f"<li>{html.escape(name)}</li>" for name in names)
    return f"<title>change_me</title><h1>Folders</h1><ul>{items}</ul>"


if __name__ == "__main__":
    address = (os.environ["HOST"], int(os.environ["PORT"]))
    ThreadingHTTPServer(address, Page).serve_forever()
