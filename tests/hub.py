"""A stand-in for the model hub on loopback: only the calls that huggingface_hub makes for a snapshot."""

import hashlib
from pathlib import Path

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

REVISION = "0123456789abcdef0123456789abcdef01234567"


def serve_model(server: HTTPServer, repo_id: str, folder: Path, truncate: str = "", fail_once: str = "") -> None:
    """Serve the files of `folder` as `repo_id` at REVISION, and 404 for all else.

    The body of the file `truncate` breaks off halfway, every time; the first request for `fail_once` gets 503.
    """
    server.no_handler_status_code = 404
    names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    server.expect_request(f"/api/models/{repo_id}/tree/{REVISION}").respond_with_json(
        [{"type": "file", "path": name, "size": (folder / name).stat().st_size, "oid": name} for name in names]
    )

    def file(request: Request) -> Response:
        name = request.path.split(f"/resolve/{REVISION}/")[1]
        content = (folder / name).read_bytes()
        body = content[: len(content) // 2] if name == truncate else content
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": REVISION}
        response = Response(b"" if request.method == "HEAD" else body, headers=headers)
        response.headers["Content-Length"] = str(len(content))
        return response

    for name in names:
        path = f"/{repo_id}/resolve/{REVISION}/{name}"
        server.expect_request(path).respond_with_handler(file)
        if name == fail_once:
            server.expect_oneshot_request(path).respond_with_data("later", status=503)
