# SPDX-License-Identifier: GPL-2.0
"""The web server of a head node: nginx serves files, and asks this program for the answers that depend on the node."""

import concurrent.futures
import contextlib
import fcntl
import http.server
import json
import os
import shutil
import signal
import socket
import socketserver
import stat
import subprocess
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

from archive.errors import UserError
from archive.tools import replace

PORT, TLS_PORT = 80, 443
# Debian's user for it, and that user's number.
USER, UID = "www-data", 33
# Requests that are answered here at a time; others wait in the socket's queue.
ANSWERING = 8
QUEUE = 1024
# A machine that fetches more than this at a time is refused what is beyond.
CONNECTIONS_EACH = 24
# So long may nginx take to start and to end.
START_SECONDS = 10
# Lines of its log that wait to be read; it waits for the reader when there are more.
PIPE_BYTES = 1 << 20
# So long the answers take to end, in seconds.
POLL = 0.05


def mapped(uid):
    """Returns whether this user namespace has such a user: without root's help one has its own user only."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        inside, _, count = map(int, line.split())
        if inside <= uid < inside + count:
            return True
    return False


def open_the_way(path):
    """Lets other users pass through the directories that lead to a path, where these are not a disk's: scripts/toolbox has bubblewrap make them, closed,
    for this run alone."""
    if "R8168_TOOLBOX" not in os.environ:
        return
    root = Path("/").stat().st_dev
    for part in path.parents:
        if part.stat().st_dev == root:
            part.chmod(part.stat().st_mode | stat.S_IXGRP | stat.S_IXOTH)


def unreadable(path):
    """The first of a path and what is above it that other users may not read; None when there is none."""
    for part in (*reversed(path.parents), path):
        mode = part.stat().st_mode
        wanted = stat.S_IROTH | stat.S_IXOTH if part == path and stat.S_ISDIR(mode) else stat.S_IXOTH if stat.S_ISDIR(mode) else stat.S_IROTH
        if mode & wanted != wanted:
            return part
    return None


class Web:
    """nginx, and the answers behind it. `answer` is called with address and port, with the target of a request and whether it came over TLS, and gives a
    status and a text; `on_begin` with address and target of a large file that begins to be sent; `on_file` with each that has been, or not: address, path,
    status, bytes, whether all of it."""

    def __init__(self, address, tree, served, directory, answer, on_begin, on_file):
        self.address = str(address)
        self.tree = Path(tree)
        self.served = served
        self.directory = Path(directory)
        self.answer = answer
        self.on_begin = on_begin
        self.on_file = on_file
        # The files of the key of TLS and of its certificate: without them there are no answers over TLS. nginx reads them as root.
        self.pair: tuple[Path, Path] | None = None
        self.unprivileged = mapped(UID)
        # Once it runs.
        self.process: Any = None
        self._answers: Any = None
        self._events: Any = None
        self._reader: Any = None
        # Sockets have short names, and the directory may have a long one.
        self._run: Any = None

    def configuration(self):
        """The configuration of nginx."""
        # No capability and no file of root's for what reads requests. Without such a user the only one here is the caller's own, whom the
        # namespace calls root; nginx would take one of its own choice, and could not give it its directories.
        user = f"user {USER if self.unprivileged else 'root'};"
        files = "".join(f"\t\tlocation /{name}/ {{{' mirror /begin; mirror_request_body off;' if name == 'boot' else ''} }}\n" for name in self.served)
        return f"""\
# Written by r8168_rust's head node; changes are lost.
daemon off;
{user}
worker_processes 2;
worker_rlimit_nofile 8192;
pid {self._run}/pid;
error_log stderr warn;
events {{ worker_connections 2048; }}
http {{
	default_type application/octet-stream;
	sendfile on;
	tcp_nopush on;
	# A node that was switched off says no goodbye.
	send_timeout 30;
	reset_timedout_connection on;
	client_header_timeout 10;
	client_body_timeout 10;
	# A connection that is reset while it is answered stays open this long.
	keepalive_timeout 10;
	keepalive_requests 10000;
	# Requests are short. A line of the log fits into what a pipe takes at once.
	client_header_buffer_size 1k;
	large_client_header_buffers 2 2k;
	client_max_body_size 1;
	server_tokens off;
	log_not_found off;
	limit_conn_zone $binary_remote_addr zone=machines:2m;
	limit_conn machines {CONNECTIONS_EACH};
	limit_conn_log_level info;
	client_body_temp_path {self._run}/body;
	proxy_temp_path {self._run}/proxy;
	fastcgi_temp_path {self._run}/fastcgi;
	uwsgi_temp_path {self._run}/uwsgi;
	scgi_temp_path {self._run}/scgi;
	log_format events escape=json '{{"address":"$remote_addr","target":"$request_uri","status":$status,"bytes":$body_bytes_sent,"done":"$request_completion"}}';
	access_log off;
	server {{
		listen {self.address}:{PORT} backlog={QUEUE};
		root {self.tree};
		access_log {self._run}/events events;
		if ($request_method !~ ^(GET|HEAD)$) {{ return 405; }}
{files}\
		location = /begin {{
			internal;
			access_log off;
			proxy_pass http://unix:{self._run}/answers:/begin;
			proxy_set_header X-Address $remote_addr;
			proxy_set_header X-Target $request_uri;
			proxy_pass_request_headers off;
			proxy_pass_request_body off;
			proxy_connect_timeout 5;
			proxy_read_timeout 5;
		}}
		location / {{
			access_log off;
			{self._pass("no")}
		}}
	}}
{self._tls_server()}}}
"""

    def _pass(self, tls):
        """The lines of nginx's configuration by which a request is passed on: whose it is, and whether it came over TLS, is nginx's word."""
        lines = (
            f"proxy_pass http://unix:{self._run}/answers",
            "proxy_set_header X-Address $remote_addr",
            "proxy_set_header X-Port $remote_port",
            "proxy_set_header X-Target $request_uri",
            f"proxy_set_header X-Tls {tls}",
            "proxy_pass_request_headers off",
            "proxy_max_temp_file_size 0",
            "proxy_connect_timeout 10",
            "proxy_read_timeout 30",
        )
        return "\n\t\t\t".join(f"{line};" for line in lines)

    def _tls_server(self):
        """The server of answers over TLS: files, which are no secrets, come without it."""
        if not self.pair:
            return ""
        return f"""\
	server {{
		listen {self.address}:{TLS_PORT} ssl backlog={QUEUE};
		ssl_certificate {self._run}/certificate.pem;
		ssl_certificate_key {self._run}/key.pem;
		ssl_session_tickets off;
		if ($request_method !~ ^(GET|HEAD)$) {{ return 405; }}
		location / {{
			{self._pass("yes")}
		}}
	}}
"""

    def _check_tree(self):
        """Refuses a tree that nginx cannot read, which nodes would see as files that are forbidden. The mirror is of links that lead out of it."""
        if not self.unprivileged:
            return
        open_the_way(self.tree)
        for name in self.served:
            top = self.tree / name
            for path in (top, *sorted(top.rglob("*"))):
                real = path.resolve()
                if not real.exists():
                    continue
                if not real.is_relative_to(self.tree):
                    open_the_way(real)
                if closed := unreadable(real):
                    how = "-R a+rX" if closed.is_relative_to(self.tree) else "a+x" if closed.is_dir() else "a+r"
                    raise UserError(f"{closed} is closed to the web server, which runs as {USER}: chmod {how} {closed}")

    def _ports(self):
        return (PORT, TLS_PORT) if self.pair else (PORT,)

    def _check_port(self, port):
        """Refuses a port that another program has: nginx would try for long, and say it in a log."""
        end = time.monotonic() + 3
        while True:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self.address, port))
                    probe.listen()
                    return
                except OSError as error:
                    # That of a head node that has just ended may not be free yet.
                    if time.monotonic() > end:
                        raise UserError(f"cannot serve at {self.address}: {error.strerror}; does another program there use port {port}?") from None
            time.sleep(0.1)

    def start(self):
        """Starts nginx and answers; both serve when this returns."""
        if not shutil.which("nginx"):
            raise UserError("found no nginx; install nginx")
        self._check_tree()
        for port in self._ports():
            self._check_port(port)
        self._run = Path(tempfile.mkdtemp(prefix="head-node-"))
        if self.unprivileged:
            self._run.chmod(0o711)
        # Spaces and braces in the name of a directory would end a word of nginx's configuration, and `$` cannot be written there.
        for path, name in zip(self.pair or (), ("key.pem", "certificate.pem"), strict=False):
            (self._run / name).symlink_to(path)
        self._answers = _Answers(str(self._run / "answers"), _Request, self)
        if self.unprivileged:
            os.chown(self._run / "answers", UID, -1)
        threading.Thread(target=self._answers.serve_forever, args=[POLL], daemon=True).start()
        os.mkfifo(self._run / "events", 0o600)
        # As a writer too, so that it does not end.
        self._events = open(os.open(self._run / "events", os.O_RDWR), encoding="utf-8", errors="replace")  # noqa: SIM115
        fcntl.fcntl(self._events, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._reader = threading.Thread(target=self._read_events, daemon=True)
        self._reader.start()
        replace(self.directory / "nginx.conf", self.configuration())
        # However this program ends, nginx ends with it.
        rights = [] if self.unprivileged else ["--bounding-set", "-all,+net_bind_service", "--inh-caps", "-all"]
        command = ["setpriv", "--pdeathsig", "TERM", *rights, "nginx", "-e", "stderr", "-c", str(self.directory / "nginx.conf")]
        with open(self.directory / "nginx.log", "wb") as log:
            fcntl.fcntl(log, fcntl.F_SETFL, fcntl.fcntl(log, fcntl.F_GETFL) | os.O_APPEND)
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_SECONDS
        while not self._serves():
            self.check()
            if time.monotonic() > end:
                raise UserError(f"nginx does not serve after {START_SECONDS} s; its log is {self.directory}/nginx.log")
            time.sleep(0.05)

    def _serves(self):
        for port in self._ports():
            with socket.socket() as probe:
                if probe.connect_ex((self.address, port)):
                    return False
        return True

    def check(self):
        """Fails if nginx has ended."""
        if self.process and self.process.poll() is not None:
            lines = (self.directory / "nginx.log").read_text(errors="replace").strip().splitlines()
            raise UserError(f"nginx has ended: {lines[-1] if lines else 'it gave no reason'}")

    def reload(self):
        """Has nginx read a new configuration; what is being sent goes on."""
        replace(self.directory / "nginx.conf", self.configuration())
        self.process.send_signal(signal.SIGHUP)

    def stop(self):
        """Ends all of it."""
        if self.process:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(START_SECONDS)
            # Those that it started outlive it when it is killed.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
        if self._answers:
            self._answers.shutdown()
            self._answers.server_close()
        if self._events:
            # Its reader waits for lines; this is the last one.
            (self._run / "events").write_text("\n")
            self._reader.join()
            self._events.close()
        if self._run:
            shutil.rmtree(self._run, ignore_errors=True)
        self._answers = self._events = self._run = None

    def _read_events(self):
        for line in self._events:
            if line == "\n":
                return
            try:
                event = json.loads(line)
                path = urllib.parse.unquote(event["target"].partition("?")[0])
                self.on_file(event["address"], path, event["status"], event["bytes"], event["done"] == "OK")
            except (ValueError, KeyError, TypeError):
                # What a machine sends in place of a request cannot end this.
                continue


class _Answers(socketserver.UnixStreamServer):
    """Answers what nginx asks, a few requests at a time."""

    request_queue_size = QUEUE

    def __init__(self, path, handler, web):
        super().__init__(path, handler)
        self.web = web
        self._pool = concurrent.futures.ThreadPoolExecutor(ANSWERING)

    def process_request(self, request, client_address):
        """Called by socketserver."""
        self._pool.submit(self._process, request, client_address)

    def _process(self, request, client_address):
        try:
            self.finish_request(request, client_address)
        except OSError:
            # nginx has given it up, or the disk is full; nginx says 502 to the machine and why in its log.
            pass
        finally:
            self.shutdown_request(request)

    def server_close(self):
        """Called by socketserver."""
        super().server_close()
        self._pool.shutdown(cancel_futures=True)


class _Request(http.server.BaseHTTPRequestHandler):
    """A request that nginx passes on."""

    server: _Answers
    timeout = 30

    def do_GET(self):
        """Called by http.server."""
        address, target = self.headers.get("X-Address", ""), self.headers.get("X-Target", "")
        web = self.server.web
        if self.path == "/begin":
            web.on_begin(address, urllib.parse.unquote(target.partition("?")[0]))
            status, text = 200, ""
        else:
            status, text = web.answer((address, int(self.headers.get("X-Port", "0"))), target, self.headers.get("X-Tls") == "yes")
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "text/html; charset=utf-8" if text.startswith("<!DOCTYPE html>") else "text/plain; charset=utf-8")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, format, *args):
        """The journal has it already."""
