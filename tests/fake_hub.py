"""A server that speaks the part of the Hub's protocol that model repositories need, with faults on request."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

WRITER, READER = "hf_writer", "hf_reader"
"""Tokens that the server knows."""


def git_hash(data: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repository:
    """Files by commit, and commits by branch; the last commit of `main` is what a plain name means."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], branch: str = "main", message: str = "") -> str:
        before = self.commits.get(self.refs.get(branch, ""), {})
        sha = hashlib.sha1(f"{branch}{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = {**before, **files}
        self.refs[branch] = sha
        self.messages.append(message)
        return sha

    def at(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)


@dataclass
class FakeHub:
    """The state of the server.

    Attributes:
        status: answer every request with this status.
        cut: how many downloads break off half-way.
        stuck: all downloads break off half-way, and nothing more is sent to those that go on.
        wrong: send other bytes of the same length.
        plain: not LFS: files come directly, with the git hash.
        delay: seconds before every answer.
        hold: downloads wait for this after the first half, if it is set.
        requests: method and path of all requests, downloads with their range.
    """

    address: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    status: int = 200
    cut: int = 0
    stuck: bool = False
    wrong: bool = False
    plain: bool = False
    delay: float = 0.0
    hold: threading.Event | None = None
    requests: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, files: dict[str, bytes], **kind: bool) -> Repository:
        self.repositories[name] = Repository(**kind)
        self.repositories[name].commit(files)
        return self.repositories[name]

    @property
    def storage(self) -> str:
        """Address of the files; for the client another host, as with the Hub: it sends no token there."""
        return self.address.replace("127.0.0.1", "localhost")

    def asked(self, words: str) -> list[str]:
        return [each for each in self.requests if words in each]


class _Stop(Exception):
    """An error answer."""

    def __init__(self, status: int, code: str = "", message: str = ""):
        self.status, self.headers = status, {"X-Error-Code": code, "X-Error-Message": message}


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._handle()

    do_GET = do_POST = do_PUT = do_HEAD

    def _handle(self) -> None:
        self.path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else self._chunks()
        self.hub.requests.append(f"{self.command} {self.path} {self.headers.get('Range') or ''}".strip())
        time.sleep(self.hub.delay)
        try:
            if self.hub.status != 200:
                raise _Stop(self.hub.status)
            self._route()
        except _Stop as stop:
            self._send(stop.status, b'{"error": "refused"}', stop.headers)

    def _chunks(self) -> bytes:
        whole = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return whole

    def _route(self) -> None:
        routes = {
            r"/cdn/(?P<oid>\w+)": self._content,
            r"/(?P<name>[^/]+/[^/]+)/resolve/(?P<revision>.+)/(?P<file>[^/]+)": self._resolve,
            r"/api/models/(?P<name>[^/]+/[^/]+)(?:/revision/(?P<revision>.+))?": self._info,
            r"/api/repos/create": self._create,
            r"/api/validate-yaml": self._validate,
            r"/api/models/(?P<name>[^/]+/[^/]+)/branch/(?P<branch>.+)": self._branch,
            r"/api/models/(?P<name>[^/]+/[^/]+)/preupload/(?P<revision>.+)": self._preupload,
            r"/(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch": self._batch,
            r"/upload/(?P<oid>\w+)": self._upload,
            r"/api/models/(?P<name>[^/]+/[^/]+)/commit/(?P<revision>.+)": self._commit,
        }
        for pattern, answer in routes.items():
            found = re.fullmatch(pattern, self.path)
            if found:
                answer(**found.groupdict())
                return
        raise _Stop(404)

    # Reading

    def _token(self) -> str | None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        if token not in (None, WRITER, READER):
            raise _Stop(401, message="Invalid credentials in Authorization header")
        return token

    def _repository(self, name: str) -> Repository:
        repository, token = self.hub.repositories.get(name), self._token()
        if repository is None or (repository.private and token is None):
            raise _Stop(404 if token else 401, "RepoNotFound")
        return repository

    def _state(self, repository: Repository, revision: str) -> tuple[str, dict[str, bytes]]:
        commit = repository.at(revision)
        if commit is None:
            raise _Stop(404, "RevisionNotFound")
        return commit, repository.commits[commit]

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repository = self._repository(name)
        if repository.gated and self._token() is None:
            raise _Stop(401, "GatedRepo")
        commit, files = self._state(repository, revision)
        if file not in files:
            raise _Stop(404, "EntryNotFound")
        data = files[file]
        headers = {"X-Repo-Commit": commit}
        if self.hub.plain:
            headers["ETag"] = f'"{git_hash(data)}"'
            self._send_content(data, headers)
            return
        oid = hashlib.sha256(data).hexdigest()
        self.hub.objects[oid] = data
        headers |= {"X-Linked-ETag": f'"{oid}"', "X-Linked-Size": str(len(data))}
        self._send(302, b"", headers | {"Location": f"{self.hub.storage}/cdn/{oid}"})

    def _content(self, oid: str) -> None:
        assert "Authorization" not in self.headers
        self._send_content(self.hub.objects[oid], {})

    def _send_content(self, data: bytes, headers: dict[str, str]) -> None:
        start = int(re.sub(r"\D", "", (self.headers.get("Range") or "").partition("-")[0]) or 0)
        if self.hub.wrong:
            data = bytes(len(data) - 1) + b"x"
        part = data[start:]
        if start:
            headers = headers | {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        cut = self.command == "GET" and (self.hub.cut > 0 or self.hub.stuck)
        self.hub.cut -= cut
        sent = 0 if self.hub.stuck and start else len(part) // 2
        self._send(206 if start else 200, part, headers, send=sent if cut else None, hold=self.hub.hold)

    def _info(self, name: str, revision: str | None) -> None:
        repository = self._repository(name)
        commit, files = self._state(repository, revision or "main")
        siblings = [{"rfilename": file} for file in files]
        facts = {"id": name, "sha": commit, "private": repository.private, "siblings": siblings, "tags": []}
        self._answer(facts)

    # Writing

    def _writer(self) -> None:
        if self._token() != WRITER:
            raise _Stop(403 if self._token() else 401, message="no right to write")

    def _create(self) -> None:
        self._writer()
        wanted = json.loads(self.body)
        name = f"{wanted['organization']}/{wanted['name']}"
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.hub.add(name, {".gitattributes": b""}, private=bool(private))
        self._answer({"url": f"{self.hub.address}/{name}"})

    def _validate(self) -> None:
        matter = json.loads(self.body)["content"].split("---\n")[1]
        try:
            assert isinstance(yaml.safe_load(matter), dict)
        except (yaml.YAMLError, AssertionError):
            self._send(400, b'{"errors": [{"message": "no YAML"}], "warnings": []}', {})
            return
        self._answer({"errors": [], "warnings": []})

    def _branch(self, name: str, branch: str) -> None:
        self._writer()
        repository = self._repository(name)
        if branch in repository.refs:
            raise _Stop(409)
        repository.refs[branch] = repository.refs["main"]
        self._answer({})

    def _preupload(self, name: str, revision: str) -> None:
        self._writer()
        _, present = self._state(self._repository(name), revision)
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
                "oid": self._oid(each["path"], present.get(each["path"])),
            }
            for each in json.loads(self.body)["files"]
        ]
        self._answer({"files": files})

    @staticmethod
    def _oid(path: str, data: bytes | None) -> str | None:
        if data is None:
            return None
        if path.endswith(".safetensors"):
            return hashlib.sha256(data).hexdigest()
        return git_hash(data)

    def _batch(self, name: str) -> None:
        self._writer()
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.hub.address}/upload/{each['oid']}"}}}
            for each in json.loads(self.body)["objects"]
        ]
        self._answer({"transfer": "basic", "objects": objects})

    def _upload(self, oid: str) -> None:
        assert hashlib.sha256(self.body).hexdigest() == oid
        self.hub.objects[oid] = self.body
        self._answer({})

    def _commit(self, name: str, revision: str) -> None:
        self._writer()
        files, message = {}, ""
        for line in self.body.splitlines():
            entry: dict[str, Any] = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                files[value["path"]] = self.hub.objects[value["oid"]]
        sha = self._repository(name).commit(files, revision, message)
        self._answer({"commitUrl": f"{self.hub.address}/{name}/commit/{sha}", "commitOid": sha})

    def _answer(self, value: dict[str, Any]) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(
        self,
        status: int,
        data: bytes,
        headers: dict[str, str],
        send: int | None = None,
        hold: threading.Event | None = None,
    ) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                half = len(data) // 2 if hold else 0
                self.wfile.write(data[:half])
                if hold:
                    hold.wait(30)
                self.wfile.write(data[half:send])
        except OSError:  # the client no longer waits
            send = 0
        if send is not None:
            self.close_connection = True


@contextmanager
def serving() -> Iterator[FakeHub]:
    """A server on a free port of this machine."""
    hub = FakeHub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
