"""The last unit of a video: its segments become files that play everywhere, a picture to show for it, and figures.

Joins by stream copy, so no frame is encoded twice. Knows segments and files; nothing of tensors.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from models.units import Stage
from service.jobs import Claim, Generation, Segment
from service.objects import Objects, key
from workers import media, provenance, quality
from workers.workshop import Workshop


def finish(shop: Workshop, claim: Claim) -> dict[str, object]:
    """Write video, preview (where the video is more than that) and thumbnail, and measure the video.

    What `UnitDone` is told: `artefacts` (name -> object key) and `quality`.
    """
    segments = [done.segment for done in shop.store.committed(claim.job.id) if done.segment is not None]
    generation = claim.job.generation
    first, *_, last = (*generation.tracks[:1], *generation.tracks)
    preview, best = ([segment for segment in segments if segment.track == track] for track in (first, last))
    with tempfile.TemporaryDirectory(prefix="longtake-") as folder:
        video = join(shop.objects, best, Path(folder) / "video.mp4")
        provenance.attach(video, generation, shop.settings, job_id=claim.job.id)
        picture = media.thumbnail(video, at_seconds=generation.num_frames // 2 / generation.fps)
        sheet = media.spritesheet(video, num_frames=generation.made.frames)
        artefacts = {
            "video": put(shop, claim, "video", "mp4", video),
            "thumbnail": put(shop, claim, "thumbnail", "jpg", picture),
            "spritesheet": put(shop, claim, "spritesheet", "jpg", sheet),
        }
        if last != first:
            small = join(shop.objects, preview, Path(folder) / "preview.mp4")
            provenance.attach(small, generation, shop.settings, job_id=claim.job.id)
            artefacts["preview"] = put(shop, claim, "preview", "mp4", small)
        seams = {seam(segment, generation) for segment in segments} - {0}
        return {"artefacts": artefacts, "quality": quality.measure(video, seams)}


def seam(segment: Segment, generation: Generation) -> int:
    """The frame of the finished video where a segment begins: what follows it was made apart from what went before."""
    is_smoother = segment.track in (Stage.INTERPOLATE.track, Stage.UPSCALE.track)
    return segment.first_frame * (1 if is_smoother else generation.interpolate)


def join(objects: Objects, segments: list[Segment], target: Path) -> Path:
    """The segments of one track as one file, in the order of their frames."""
    ordered = sorted(segments, key=lambda segment: segment.first_frame)
    init = objects.get(ordered[0].init_key)
    media.join(init, (objects.get(segment.key) for segment in ordered), target)
    return target


def put(shop: Workshop, claim: Claim, name: str, kind: str, body: bytes | Path) -> str:
    """Store an artefact under a name that carries the fence, so that a stale worker overwrites nothing."""
    place = key(claim.job.tenant, claim.job.id, f"{name}.f{claim.fence}.{kind}")
    shop.put(place, body, "image/jpeg" if kind == "jpg" else "video/mp4")
    return place
