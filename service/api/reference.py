"""GET /docs: the API to try out in a browser, drawn by Swagger UI.

Its script comes from elsewhere, into the origin where the studio keeps keys. So it is one version, held to its digest,
and the page may load nothing else and talk to nobody but us.
"""

from __future__ import annotations

import base64
import hashlib

from fastapi import APIRouter, Response

router = APIRouter(include_in_schema=False)

PLACE = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5.35.0"
SCRIPT, STYLE = f"{PLACE}/swagger-ui-bundle.js", f"{PLACE}/swagger-ui.css"
DIGESTS = {
    SCRIPT: "sha384-gjRm0bEPMeTmMh5jT2cHccIwCUZSTd8YC+j0d0sXw0MdGEfScduGpSyF3ZSSLkX9",
    STYLE: "sha384-WlYgdmXYOOBWL5apwjDEZwN+U3HmXSSu5R6V5aGxEcf7z+KuRNwBhoxKVN1i3D5I",
}
START = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#reference", deepLinking: true})'
PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Longtake: the API</title>
<link rel="icon" href="studio/icon.svg">
<link rel="stylesheet" href="{STYLE}" integrity="{DIGESTS[STYLE]}" crossorigin="anonymous">
<div id="reference"></div>
<script src="{SCRIPT}" integrity="{DIGESTS[SCRIPT]}" crossorigin="anonymous"></script>
<script>{START}</script>
</html>
"""
_OWN = base64.b64encode(hashlib.sha256(START.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; script-src {SCRIPT} 'sha256-{_OWN}'; style-src {STYLE} 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


@router.get("/docs")
def reference() -> Response:
    return Response(PAGE, media_type="text/html", headers=HEADERS)
