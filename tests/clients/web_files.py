"""A web server on loopback with the files that templates fetch."""

import contextlib
import http.server
import threading
from typing import NamedTuple


class WebFiles(NamedTuple):
    url: str
    # By path; changes take effect immediately.
    files: dict


def handler(files):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = files.get(self.path)
            self.send_response(200 if found is not None else 404)
            self.send_header("Content-Length", str(len(found or b"")))
            self.end_headers()
            self.wfile.write(found or b"")

        def log_message(self, *_):
            pass

    return Handler


@contextlib.contextmanager
def serving(files):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(files)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield WebFiles(f"http://127.0.0.1:{server.server_port}", files)
        server.shutdown()
