"""A model hub on loopback, as far as `huggingface_hub` asks one: what there is of a model, and its files."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SHA = "5" * 40


@contextmanager
def hub(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves OWNER/NAME of `folder`; its address, and the files that were fetched."""
    fetched: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kind, _, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
            if kind == "api":
                owner, name, *what = *rest.removeprefix("models/").split("/"), ""
                (self._tree if "tree" in what else self._about)(folder / owner / name)
            else:
                name, _, file = f"{kind}/{rest}".partition("/resolve/")
                self._file(folder / name / file.partition("/")[2])

        do_HEAD = do_GET

        def _about(self, model: Path) -> None:
            if not model.is_dir():
                return self._answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            files = [file for file in sorted(model.rglob("*")) if file.is_file()]
            siblings = [{"rfilename": str(file.relative_to(model)), "size": file.stat().st_size} for file in files]
            name = str(model.relative_to(folder))
            about = {"id": name, "modelId": name, "sha": SHA, "siblings": siblings, "tags": [], "downloads": 0}
            self._answer(200, json.dumps(about).encode(), {"Content-Type": "application/json"})

        def _tree(self, model: Path) -> None:
            files = [file for file in sorted(model.rglob("*")) if file.is_file()]
            listed = [
                {"type": "file", "path": str(file.relative_to(model)), "size": file.stat().st_size, "oid": digest(file)}
                for file in files
            ]
            self._answer(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})

        def _file(self, file: Path) -> None:
            if self.command == "GET":
                fetched.append(file.name)
            body = file.read_bytes()
            self._answer(200, body, {"ETag": f'"{digest(file)}"', "X-Repo-Commit": SHA})

        def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        server.server_close()


def digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()
