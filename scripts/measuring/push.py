"""Push servers under measurement. In: which one, on which CPUs. Out: a running one, and what `loadgen
fanout` has to be told to subscribe and to publish.

None of them keeps a history or writes a log, and all have one process that holds the connections. Their
configs are in a temporary folder that goes with them.

Never: ends a process it has not started; reads or writes a config of the machine's own.
"""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from string import Template
from types import MappingProxyType

from measuring.authority import Authority
from measuring.servers import RELEASE, START_S_MAX, RunFailed, free_port, serving

DESCRIPTORS = 20000
API_KEY = "of-this-run"
NO_KEYS: Mapping[str, str] = MappingProxyType({})
# What loadgen publishes, as it is.
BYTES = '"b64data":"{b64payload}"'
DEFLATE = "[websocket.deflate]\nenabled = true\n"

FANFARE = Template("""\
log_level = "error"
[drain]
delay = 0
window = 0
[api]
listen = "127.0.0.1:$api_port"
keys = ["$api_key"]
[default_namespace]
allow_subscribe_for_client = true
allow_subscribe_for_anonymous = true
allow_publish_for_client = true
allow_publish_for_anonymous = true
""")

NGINX = Path("/usr/sbin/nginx")
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
# A message that is not stored reaches whoever is subscribed, as in a channel of ours without history.
NCHAN_CONFIG = Template("""\
load_module $module;
daemon off;
user $user;
pid $folder/pid;
lock_file $folder/lock;
error_log /dev/null crit;
worker_processes 1;
worker_rlimit_nofile $descriptors;
events {
    worker_connections $connections;
    multi_accept on;
}
http {
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path $folder/body;
    proxy_temp_path $folder/proxy;
    fastcgi_temp_path $folder/fastcgi;
    uwsgi_temp_path $folder/uwsgi;
    scgi_temp_path $folder/scgi;
    server {
        listen 127.0.0.1:$port backlog=4096;
        location ~ ^/sub/(.+)$$ {
            nchan_subscriber websocket;
            nchan_subscriber_first_message newest;
            nchan_channel_id $$1;
        }
        location ~ ^/pub/(.+)$$ {
            nchan_publisher http;
            nchan_store_messages off;
            nchan_channel_id $$1;
        }
    }
}
""")


@dataclass(frozen=True)
class PushServer:
    """A server that runs: the process that holds the connections, and how it is talked to."""

    pid: int
    # The subscribers' URL, in which {channel} stands for the channel.
    subscribe: str
    # What makes loadgen publish by POST; without it publishers are WebSockets of the same URL.
    post: Sequence[str] = ()
    # What makes loadgen trust it, if it speaks TLS.
    trust: Sequence[str] = ()


@contextmanager
def serve_command(
    workers: int = 1, namespace: Mapping[str, str] = NO_KEYS, extra: str = ""
) -> Iterator[tuple[str, int]]:
    """The command of `fanfare serve` that opens every channel to everybody, and the port of its API.

    `namespace`: more keys of the channels, with their values as TOML has them; `extra`: more tables.
    """
    api_port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fanfare.toml"
        config = FANFARE.substitute(api_port=api_port, api_key=API_KEY)
        keys = "".join(f"{key} = {value}\n" for key, value in namespace.items())
        file.write_text(config + keys + extra)
        binary = shlex.quote(str(RELEASE / "fanfare"))
        command = f"{binary} serve --config {shlex.quote(str(file))}"
        yield f"{command} --listen 127.0.0.1:{{port}} --workers {workers}", api_port


@contextmanager
def fanfare(
    cpus: int | str,
    workers: int = 1,
    namespace: Mapping[str, str] = NO_KEYS,
    extra: str = "",
    data: str = BYTES,
) -> Iterator[PushServer]:
    """Ours; `data`: what a POST publishes, with its key."""
    with (
        serve_command(workers, namespace, extra) as (command, api_port),
        serving(command, cpus, DESCRIPTORS) as (pid, port),
    ):
        post = ["--publish-http", f"http://127.0.0.1:{api_port}/api/publish"]
        post += ["--publish-header", f"X-API-Key: {API_KEY}"]
        post += ["--publish-json", f'{{"channel":"{{channel}}",{data}}}']
        yield PushServer(pid, f"ws://127.0.0.1:{port}/raw/{{channel}}", post)


@contextmanager
def documents(cpus: int | str, document: str, extra: str = "") -> Iterator[PushServer]:
    """Ours, told documents of JSON, in each of which {payload} stands once."""
    with fanfare(cpus, extra=extra, data=f'"data":{document}') as server:
        yield replace(server, post=[*server.post, "--delivery", document])


@contextmanager
def secured(cpus: int | str, by: Authority) -> Iterator[PushServer]:
    """Ours over TLS, with a certificate of this authority."""
    with (
        serve_command(extra=by.settings) as (command, _),
        serving(command, cpus, DESCRIPTORS) as (pid, port),
    ):
        url = f"wss://127.0.0.1:{port}/raw/{{channel}}"
        yield PushServer(pid, url, trust=["--ca", str(by.ca)])


# Sessions are open, and whoever subscribes follows positions.
SESSIONS = "[client]\nallow_anonymous = true\n"
POSITIONED = MappingProxyType(
    {"history_size": "100", "history_ttl": "60", "force_positioning": "true"}
)


@contextmanager
def positioned(cpus: int | str, path: str = "raw/{channel}") -> Iterator[PushServer]:
    """Ours, with positions; `path`: where its subscribers connect."""
    with (
        serve_command(1, POSITIONED, SESSIONS) as (command, _),
        serving(command, cpus, DESCRIPTORS) as (pid, port),
    ):
        yield PushServer(pid, f"ws://127.0.0.1:{port}/{path}")


@contextmanager
def bare(cpus: int | str) -> Iterator[PushServer]:
    """The ceiling: for each read, one send of ready frames a subscriber."""
    command = f"{shlex.quote(str(RELEASE / 'ceiling'))} --fanout --listen 127.0.0.1:{{port}}"
    with serving(command, cpus, DESCRIPTORS) as (pid, port):
        yield PushServer(pid, f"ws://127.0.0.1:{port}/{{channel}}")


@contextmanager
def nchan(cpus: int | str) -> Iterator[PushServer]:
    """nginx with Debian's nchan, one worker."""
    if not NGINX.exists() or not NCHAN.exists():
        raise RunFailed(f"there is no {NCHAN}: scripts/setup nchan")
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nginx.conf"
        config = NCHAN_CONFIG.substitute(
            module=NCHAN,
            user="root" if os.geteuid() == 0 else "nobody",
            folder=folder,
            descriptors=DESCRIPTORS,
            connections=DESCRIPTORS - 100,
            port=port,
        )
        file.write_text(config)
        command = shlex.join([str(NGINX), "-e", "stderr", "-p", folder, "-c", str(file)])
        with serving(command, cpus, DESCRIPTORS, port) as (master, _):
            post = ["--publish-http", f"http://127.0.0.1:{port}/pub/{{channel}}"]
            yield PushServer(only_child(master), f"ws://127.0.0.1:{port}/sub/{{channel}}", post)


def only_child(pid: int) -> int:
    """The process that this one starts, which it may do only after it listens."""
    deadline = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if len(children) == 1:
            return int(children[0])
        time.sleep(0.02)
    raise RunFailed(f"process {pid} has no single child")
