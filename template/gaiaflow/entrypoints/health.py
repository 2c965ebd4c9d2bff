"""Check that a server in this container answers: `python -IS health.py URL [STATUS ...]`.

Besides 200, these statuses are fine, too, such as 401 for a page behind a login.

Keep imports few: Docker runs this every ten seconds, for months.
"""

import http.client
import sys
from urllib.parse import urlsplit

if __name__ == "__main__":
    url = urlsplit(sys.argv[1])
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=8)
    try:
        connection.request("GET", url.path)
        sys.exit(connection.getresponse().status not in {http.client.OK, *map(int, sys.argv[2:])})
    except OSError as error:
        sys.exit(str(error))
