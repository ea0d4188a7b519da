# goldsmith-metadata: passes requests for the instance metadata service on over standard output, a
# JSON line each, and their answers, from standard input, back. Ends with its input.
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import TCPServer, ThreadingMixIn

ADDRESS, PORT, BRING = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "true"
PIDFILE = "/run/goldsmith-metadata.pid"
PATIENCE = 60
# As many as the host accepts before it disconnects the guest.
WAITING = 64

lock = threading.Lock()
waiting = {}
last = 0


def replace_former():
    """One that came out of a saved RAM has lost its other end."""
    try:
        with open(PIDFILE) as file:
            pid = int(file.read())
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            if b"goldsmith-metadata" not in file.read():
                return
        os.kill(pid, signal.SIGKILL)
        deadline = time.time() + 5
        while os.path.exists("/proc/%d" % pid) and time.time() < deadline:
            time.sleep(0.02)
    except (OSError, ValueError):
        pass


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "IMDS/150.870.65.1854"
    sys_version = ""

    def pass_on(self):
        global last
        done = threading.Event()
        entry = [done, None]
        line = {
            "method": self.command,
            "target": self.path[:8000],
            "metadata": self.headers.get("Metadata", "").strip().lower() == "true",
            "forwarded": self.headers.get("X-Forwarded-For") is not None,
        }
        with lock:
            full = len(waiting) >= WAITING
            if not full:
                last += 1
                number = line["id"] = last
                waiting[number] = entry
                sys.stdout.write(json.dumps(line) + "\n")
                sys.stdout.flush()
        if full:
            self.respond({"status": 429, "type": "text/plain", "body": "too many requests at once"})
            return
        done.wait(PATIENCE)
        with lock:
            waiting.pop(number, None)
        self.respond(entry[1] or {"status": 503, "type": "text/plain", "body": "no answer"})

    def respond(self, answer):
        body = answer["body"].encode()
        self.send_response(answer["status"])
        self.send_header("Content-Type", answer["type"] + "; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = pass_on

    def log_message(self, *_):
        pass


class Server(ThreadingMixIn, HTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self):
        # Without HTTPServer's question to the name server, which may take its time.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


def address(verb):
    return subprocess.call(["ip", "addr", verb, ADDRESS + "/32", "dev", "lo"])


if BRING:
    replace_former()
    with open(PIDFILE, "w") as file:
        file.write(str(os.getpid()))
    if address("replace") != 0:
        sys.exit("the address %s cannot be added" % ADDRESS)
server = Server((ADDRESS, PORT), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
if not BRING:
    sys.stderr.write("port %d\n" % server.server_port)
    sys.stderr.flush()
with lock:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
for line in iter(sys.stdin.readline, ""):
    answer = json.loads(line)
    entry = waiting.get(answer["id"])
    if entry:
        entry[1] = answer
        entry[0].set()
if BRING:
    address("del")
    os.remove(PIDFILE)
# Threads that still wait hold nobody up.
os._exit(0)
