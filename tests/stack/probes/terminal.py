"""Type a command in a new terminal of JupyterLab and leave. Prints the terminal's name, as JSON.

Usage: terminal.py ROOT URL TOKEN COMMAND
"""

import json
import sys
import urllib.request

from websocket import create_connection

_, root, url, token, command = sys.argv
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
headers = {"Authorization": f"token {token}"}
asked = urllib.request.Request(f"{url}/api/terminals", data=b"{}", headers=headers)
with opener.open(asked, timeout=60) as answer:
    name = json.load(answer)["name"]
address = f"{url.replace('http', 'ws', 1)}/terminals/websocket/{name}?token={token}"
terminal = create_connection(address, timeout=60, http_no_proxy=["127.0.0.1"])
while json.loads(terminal.recv())[0] != "stdout":  # its shell has a prompt
    pass
terminal.send(json.dumps(["stdin", f"cd '{root}' && {command}\r"]))
shown = ""
while "may stop now" not in shown:
    kind, *said = json.loads(terminal.recv())
    shown += said[0] if kind == "stdout" else ""
print(json.dumps(name))
