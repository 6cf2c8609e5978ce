"""The web page and its HTTP interface.

    GET    /                                     the page; its files are /static/NAME
    GET    /api/about                            version, models, limits
    POST   /api/sessions                         opens a session
    GET    /api/sessions/S                       its uploads
    DELETE /api/sessions/S                       deletes it with all its files
    POST   /api/sessions/S/files?name=&model=&strength=     the body is the file
    POST   /api/sessions/S/files/N/settings?model=&strength=
    DELETE /api/sessions/S/files/N
    GET    /api/sessions/S/files/N/before/I      still I; /after/I likewise
    GET    /api/sessions/S/files/N/result        the output; supports ranges
    GET    /api/sessions/S/results.zip           all outputs

Errors are {"reason": ..., "hint": ...}.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import mimetypes
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from derain_cli import __version__
from derain_cli.errors import DerainError, ResourceError, UsageError
from derain_cli.serve.archive import zipped
from derain_cli.serve.entry import Entry, Settings, Stills
from derain_cli.serve.guard import Guard, Hosts
from derain_cli.serve.hints import problem_from
from derain_cli.serve.options import ServeOptions
from derain_cli.serve.previews import look_at
from derain_cli.serve.refusal import Refusal
from derain_cli.serve.registry import Registry, Session
from derain_cli.serve.uploads import declared_size, discard, receive, shown_name, suffix_of
from derain_cli.serve.worker import Worker

__all__ = ["Page", "application"]

_TIDY_EVERY = 5.0
"""Seconds between checks for inactive sessions."""


@dataclass
class Page:
    """Request handlers.

    Attributes:
        options: of the server.
        registry: sessions and uploads.
        worker: processes uploads.
    """

    options: ServeOptions
    registry: Registry
    worker: Worker
    _static: Mapping[str, tuple[bytes, str, str]] = field(default_factory=lambda: _static_files())
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    # --- the page -----------------------------------------------------------------------------------------------

    async def index(self, request: Request) -> Response:
        return self._file(request, "index.html")

    async def static(self, request: Request) -> Response:
        return self._file(request, request.path_params["name"])

    def _file(self, request: Request, name: str) -> Response:
        if name not in self._static:  # a lookup in memory, no file access
            raise HTTPException(404)
        content, kind, tag = self._static[name]
        headers = {"Cache-Control": "no-cache", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=kind, headers=headers)

    async def about(self, request: Request) -> Response:
        models, limits = self.worker.models, self.options.limits
        return JSONResponse(
            {
                "version": __version__,
                "models": [offer.view() for offer in models.offers.values()],
                "model": models.first,
                "clip_model": models.first_for_clips,
                "strength": self.options.restore.strength,
                "max_upload": limits.max_upload,
                "max_files": limits.max_files,
                "keep": limits.keep,
            }
        )

    # --- sessions -----------------------------------------------------------------------------------------------

    async def open(self, request: Request) -> Response:
        return JSONResponse({"session": self.registry.open().name}, 201)

    async def show(self, request: Request) -> Response:
        session = self._session(request)
        return JSONResponse({"files": [self._view(entry) for entry in list(session.entries.values())]})

    async def close(self, request: Request) -> Response:
        await run_in_threadpool(self.registry.close, request.path_params["session"])
        return Response(status_code=204)

    async def download_all(self, request: Request) -> Response:
        entries = list(self._session(request).entries.values())
        results = [entry.result for entry in entries if entry.result is not None]
        if not results:
            raise Refusal(404, "no results yet")
        headers = {"Content-Disposition": 'attachment; filename="derained.zip"'}
        return StreamingResponse(zipped(results), media_type="application/zip", headers=headers)

    # --- uploads ------------------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        try:
            entry = await self._received(request)
        except (Refusal, DerainError):
            await discard(request)
            raise
        return JSONResponse(self._view(entry), 201)

    async def _received(self, request: Request) -> Entry:
        session, settings = self._session(request), self._settings(request)
        size, name = declared_size(request), shown_name(request.query_params.get("name", ""))
        with self.registry.arriving(size):
            folder = await run_in_threadpool(self.registry.store.new_folder)
            source = folder / f"upload{suffix_of(name)}"
            try:
                await receive(request, source, size, self.options.limits)
                async with self._looking:  # decoded pictures are large: one at a time
                    limit = self.options.limits.max_pixels
                    look, paths = await run_in_threadpool(look_at, source, folder / "before", limit)
                self.worker.models.checked(settings, look.kind)
                entry = Entry(session.take_number(), name, folder, source, size, look, settings, Stills(paths))
                self.registry.add(session, entry)
            except BaseException:
                await run_in_threadpool(shutil.rmtree, folder, True)
                raise
        self.worker.submit(entry, settings)
        return entry

    async def change(self, request: Request) -> Response:
        entry, settings = self._entry(request), self._settings(request)
        self.worker.models.checked(settings, entry.look.kind)
        if not (entry.settings == settings and entry.status in ("waiting", "preparing", "restoring", "done")):
            self.worker.submit(entry, settings)
        return JSONResponse(self._view(entry), 202)

    async def remove(self, request: Request) -> Response:
        name, number = request.path_params["session"], request.path_params["number"]
        await run_in_threadpool(self.registry.remove, name, number)
        return Response(status_code=204)

    async def before(self, request: Request) -> Response:
        return self._still(request, self._entry(request).before)

    async def after(self, request: Request) -> Response:
        return self._still(request, self._entry(request).after)

    def _still(self, request: Request, stills: Stills | None) -> Response:
        index = request.path_params["index"]
        if stills is None or index >= len(stills.paths):
            raise Refusal(404, "no such picture")
        return _sent(stills.paths[index])

    async def result(self, request: Request) -> Response:
        result = self._entry(request).result
        if result is None:
            raise Refusal(404, "no result yet")
        kind = mimetypes.guess_type(result.name)[0] or "application/octet-stream"
        return _sent(result.path, media_type=kind, filename=result.name)

    # --- helpers ----------------------------------------------------------------------------------------

    def _session(self, request: Request) -> Session:
        return self.registry.session(request.path_params["session"])

    def _entry(self, request: Request) -> Entry:
        return self.registry.entry(request.path_params["session"], request.path_params["number"])

    def _settings(self, request: Request) -> Settings:
        query = request.query_params
        try:
            strength = float(query.get("strength", self.options.restore.strength))
        except ValueError:
            raise UsageError("strength must be a number") from None
        return Settings(query.get("model", self.worker.models.first), strength)

    def _view(self, entry: Entry) -> dict[str, Any]:
        return entry.view(self.worker.ahead(entry))


def application(page: Page, hosts: Hosts, failed: Callable[[Exception], None]) -> ASGIApp:
    """The ASGI application; inactive sessions are closed while it runs.

    Args:
        page: request handlers.
        hosts: allowed host names.
        failed: called with unexpected exceptions.
    """
    session, file = "/api/sessions/{session}", "/api/sessions/{session}/files/{number:int}"
    routes = [
        Route("/", page.index),
        Route("/static/{name}", page.static),
        Route("/api/about", page.about),
        Route("/api/sessions", page.open, methods=["POST"]),
        Route(session, page.show),
        Route(session, page.close, methods=["DELETE"]),
        Route(f"{session}/results.zip", page.download_all),
        Route(f"{session}/files", page.upload, methods=["POST"]),
        Route(f"{file}/settings", page.change, methods=["POST"]),
        Route(file, page.remove, methods=["DELETE"]),
        Route(f"{file}/before/{{index:int}}", page.before),
        Route(f"{file}/after/{{index:int}}", page.after),
        Route(f"{file}/result", page.result),
    ]

    async def tidy() -> None:
        while True:
            await asyncio.sleep(_TIDY_EVERY)
            await run_in_threadpool(page.registry.close_inactive)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        tidying = asyncio.create_task(tidy())
        try:
            yield
        finally:
            tidying.cancel()

    def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return JSONResponse(error.problem.view(), error.status, {"Connection": "close"})

    def not_found(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"reason": error.detail.lower(), "hint": None}, error.status_code, error.headers)

    def expected(request: Request, error: Exception) -> Response:
        status = 400 if isinstance(error, UsageError) else 507 if isinstance(error, ResourceError) else 422
        return JSONResponse(problem_from(error).view(), status)

    def bug(request: Request, error: Exception) -> Response:
        failed(error)
        return JSONResponse(problem_from(error).view(), 500)

    handlers = {Refusal: refuse, HTTPException: not_found, DerainError: expected, Exception: bug}
    return Guard(Starlette(routes=routes, exception_handlers=handlers, lifespan=life), hosts)


def _sent(path: Path, **how: Any) -> FileResponse:
    try:
        return FileResponse(path, stat_result=path.stat(), **how)
    except OSError:  # replaced or deleted meanwhile
        raise Refusal(404, "this file was removed") from None


def _static_files() -> dict[str, tuple[bytes, str, str]]:
    """Content, media type and ETag of the static files, by name."""
    found = {}
    for file in files("derain_cli.serve").joinpath("static").iterdir():
        content = file.read_bytes()
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        found[file.name] = content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    return found
