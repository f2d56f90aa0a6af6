"""Serves JSON over HTTPS in a thread and asks for it as http does."""
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from httpie.core import main


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"answer": 42, "text": "\xc3\xa4"}')

    def date_time_string(self, timestamp=None):
        return "Mon, 01 Jan 2024 00:00:00 GMT"

    def log_message(self, *args):
        pass


def serve():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain("/tls/localhost.crt", "/tls/localhost.key")
    server = HTTPServer(("127.0.0.1", 8443), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


if __name__ == "__main__":
    if "--help" not in sys.argv and len(sys.argv) > 1:
        serve()
    sys.exit(main(["http", "--ignore-stdin", *sys.argv[1:]]))
