"""Every finished MP4 says that a machine made it, and how: C2PA for those who check, XMP for everybody else.

The C2PA manifest is signed with the operator's certificate and bound to the bytes of the file. It names model, seed
and job, and of prompts their SHA-256 only. No time-stamping authority is asked, so a signature holds as long as
its certificate. What this proves and what not stands in docs/policy.md. Knows files; nothing of stores.
"""

from __future__ import annotations

import hashlib
import json
import logging
import struct
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import UUID
from xml.sax.saxutils import quoteattr

from service.errors import ProvenanceFailed
from service.jobs import Generation
from workers.settings import WorkerSettings

log = logging.getLogger(__name__)

#: IPTC's word for what a trained model has made: https://cv.iptc.org/newscodes/digitalsourcetype/
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
GENERATION = "org.longtake.generation"  # the assertion of ours
_XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes  # XMP specification, part 3: MPEG-4
_MIME = "video/mp4"


def attach(video: Path, generation: Generation, settings: WorkerSettings, *, job_id: str = "") -> None:
    """Mark a finished file, and sign it where there is a certificate. No frame is touched.

    Raises `ProvenanceFailed` where it cannot be signed and the settings want no video without it.
    """
    mark(video, generation)
    if settings.c2pa_certificate is None:
        return
    try:
        sign(video, manifest(generation, job_id), settings)
    except Exception as error:  # the library's own, or whatever the files of the operator lead to
        log.warning("video not signed", extra={"job": job_id, "failure": settings.provenance_failure}, exc_info=error)
        if settings.provenance_failure == "closed":
            raise ProvenanceFailed("The finished video could not be signed.") from error


def mark(video: Path, generation: Generation) -> None:
    """XMP with IPTC's source type as a box at the end of the file: no other byte moves."""
    packet = xmp(generation.model).encode()
    with video.open("ab") as file:
        file.write(struct.pack(">I4s", 24 + len(packet), b"uuid") + _XMP_BOX + packet)


def xmp(model: str) -> str:
    said = f"Iptc4xmpExt:DigitalSourceType={quoteattr(SOURCE_TYPE)}"
    tools = f"xmp:CreatorTool={quoteattr(generator())} Iptc4xmpExt:AISystemUsed={quoteattr(f'{generator()}, {model}')}"
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        f'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" {said} {tools}/>'
        '</rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
    )


def manifest(generation: Generation, job_id: str) -> dict[str, Any]:
    """What is signed: created by a trained model, by which one and from what."""
    agent = {"name": "Longtake", "version": version("longtake")}
    created = {"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE, "softwareAgent": agent}
    return {
        "claim_generator_info": [agent],
        "title": f"{job_id or 'video'}.mp4",
        "format": _MIME,
        "assertions": [
            {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
            {"label": GENERATION, "data": facts(generation, job_id)},
        ],
    }


def facts(generation: Generation, job_id: str) -> dict[str, Any]:
    """Of one prompt its SHA-256; of a schedule, also one that was steered or branched to, the SHA-256 of the whole."""
    said: dict[str, Any] = {"model": generation.model, "seed": generation.seed}
    said |= {part: name for part in ("first_chunk", "streamer") if (name := getattr(generation, part))}
    if generation.seeds:
        said["seeds"] = [entry.model_dump() for entry in generation.seeds]
    said["prompt_sha256"] = hashlib.sha256(generation.prompt.encode()).hexdigest()
    if generation.prompts:
        said["prompts_sha256"] = hashlib.sha256(schedule(generation)).hexdigest()
    return said | ({"job": job_id} if job_id else {})


def schedule(generation: Generation) -> bytes:
    """Every prompt with its time as canonical JSON (RFC 8785): `[{"at_seconds":0,"prompt":"..."},...]`."""
    entries = [(0.0, generation.prompt), *((entry.at_seconds, entry.prompt) for entry in generation.prompts)]
    written = [{"at_seconds": int(at) if at == int(at) else at, "prompt": prompt} for at, prompt in entries]
    return json.dumps(written, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def check(settings: WorkerSettings) -> None:
    """At the start: say that nothing will be signed, or raise where it could not be."""
    if settings.c2pa_certificate is None:
        log.warning("finished videos are not signed: LONGTAKE_C2PA_CERTIFICATE names no certificate")
    elif settings.provenance_failure == "closed":
        _signer(settings).close()


def sign(video: Path, what: Mapping[str, Any], settings: WorkerSettings) -> None:
    """Put a signed manifest into the file. The library reads it back before the file takes its place."""
    import c2pa

    made = {"builder": {"thumbnail": {"enabled": False}}, "verify": {"verify_after_sign": True}}
    context = c2pa.Context(settings=c2pa.Settings.from_dict(made))
    signed = video.with_name(f"{video.name}.signed")
    try:
        with video.open("rb") as source, signed.open("w+b") as target, _signer(settings) as signer:
            c2pa.Builder(dict(what), context=context).sign(signer, _MIME, source, target)
        signed.replace(video)
    finally:
        signed.unlink(missing_ok=True)


def _signer(settings: WorkerSettings) -> Any:
    """From the operator's files, read each time so that they may be renewed."""
    import c2pa  # loaded where something is signed: not every platform has it

    assert settings.c2pa_certificate and settings.c2pa_key
    chain, key = settings.c2pa_certificate.read_bytes(), settings.c2pa_key.read_bytes()
    return c2pa.Signer.from_info(c2pa.C2paSignerInfo(settings.c2pa_algorithm, chain, key, None))


def generator() -> str:
    return f"Longtake {version('longtake')}"
