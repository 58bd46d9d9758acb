"""What a finished video says of itself, read by C2PA's own reader from files that a worker made."""

from __future__ import annotations

import hashlib
import json
import logging
import stat
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import c2pa
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from pydantic import ValidationError

from models.sound import Sound
from service.jobs import Job, JobState, PromptAt, SeedAt
from tests.support.listening import heard_of
from tests.workers.conftest import DrawingShop, make_job
from workers import certificate, media, provenance
from workers.render import render_next
from workers.settings import WorkerSettings

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
Finish = Callable[..., tuple[Job, Path]]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    chain, key = certificate.ensure(tmp_path_factory.mktemp("signer"))
    return {"c2pa_certificate": chain, "c2pa_key": key}


@pytest.fixture
def finish(shop: DrawingShop, settings: WorkerSettings, tmp_path: Path) -> Finish:
    """Make a video with a real worker, and fetch one of its files."""

    def make(job: Job, artefact: str = "video", **changes: Any) -> tuple[Job, Path]:
        shop.settings = settings.model_copy(update=changes)
        shop.store.submit(job)
        while render_next(shop):
            pass
        done = shop.store.get(job.tenant, job.id)
        target = tmp_path / f"{job.id}.mp4"
        if done.state is JobState.COMPLETED:
            shop.objects.download(done.artefacts[artefact], target)
        return done, target

    return make


def read(video: Path, **settings: Any) -> tuple[str | None, dict[str, Any]]:
    """The verdict on a file, and its manifest."""
    with video.open("rb") as file:
        reader = c2pa.Reader("video/mp4", file, context=c2pa.Context(settings=c2pa.Settings.from_dict(settings)))
        return reader.get_validation_state(), reader.get_active_manifest() or {}


def assertion(manifest: dict[str, Any], label: str) -> dict[str, Any]:
    found: dict[str, Any] = next(a["data"] for a in manifest["assertions"] if a["label"] == label)
    return found


@pytest.mark.parametrize("artefact", ["video", "preview"])
def test_a_finished_video_says_who_made_it_from_what(finish: Finish, signer: dict[str, Path], artefact: str) -> None:
    job, video = finish(make_job(24, refined=True), artefact, **signer)
    verdict, manifest = read(video)
    assert verdict == "Valid"
    assert manifest["claim_generator_info"][0]["name"] == "Longtake"
    created = assertion(manifest, "c2pa.actions.v2")["actions"][0]
    assert (created["action"], created["digitalSourceType"]) == ("c2pa.created", SOURCE_TYPE)
    assert assertion(manifest, provenance.GENERATION) == {
        "job": job.id,
        "model": "tiny-shapes",
        "seed": 7,
        "prompt_sha256": hashlib.sha256(job.generation.prompt.encode()).hexdigest(),
    }
    assert b"red circle" not in video.read_bytes()  # the prompt itself stands nowhere in it


def test_whoever_trusts_our_root_sees_a_trusted_signer_and_others_do_not(
    finish: Finish, signer: dict[str, Path]
) -> None:
    _, video = finish(make_job(16), **signer)
    root = (signer["c2pa_certificate"].parent / certificate.ROOT).read_text()
    assert read(video, trust={"trust_anchors": root}, verify={"verify_trust": True})[0] == "Trusted"
    assert read(video, verify={"verify_trust": True})[0] == "Valid"  # sound, by a signer that nobody vouches for


@pytest.mark.parametrize("place", [b"mdat", b"moov", b"DigitalSourceType", b"tiny-shapes"])
def test_a_changed_byte_is_detected(finish: Finish, signer: dict[str, Path], tmp_path: Path, place: bytes) -> None:
    _, video = finish(make_job(16), **signer)
    changed = bytearray(video.read_bytes())
    changed[changed.index(place) + len(place) + 40] ^= 1
    (tmp_path / "changed.mp4").write_bytes(changed)
    try:
        verdict = read(tmp_path / "changed.mp4")[0]
    except c2pa.C2paError:
        verdict = "unreadable"
    assert verdict in ("Invalid", "unreadable")


def test_signing_changes_no_sound(settings: WorkerSettings, signer: dict[str, Path], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(-9000, 9000, (48000, 2), np.int16)
    made = media.encode(np.zeros((16, 64, 64, 3), np.uint8), fps=8, first_frame=0, sound=Sound(noise, 24000))
    video = tmp_path / "video.mp4"
    media.join(made.init, [made.segment], video)
    plain = heard_of(video)
    provenance.attach(video, make_job(16).generation, settings.model_copy(update=signer))
    assert read(video)[0] == "Valid" and np.array_equal(plain, heard_of(video))


def test_signing_changes_no_frame_and_the_file_still_starts_at_once(finish: Finish, signer: dict[str, Path]) -> None:
    _, plain = finish(make_job(40))
    _, signed = finish(make_job(40), **signer)
    assert media.frame_hashes(plain) == media.frame_hashes(signed) and len(media.frame_hashes(plain)) == 40
    body = signed.read_bytes()
    assert body.index(b"moov") < body.index(b"mdat")


def test_tools_without_c2pa_see_that_a_machine_made_it(finish: Finish) -> None:
    _, video = finish(make_job(16))
    said = subprocess.run([get_ffmpeg_exe(), "-i", video], capture_output=True, check=False).stderr.decode()
    assert "Made by a machine" in said
    assert f'Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"'.encode() in video.read_bytes()


def test_a_segment_says_so_too_before_the_video_is_finished(shop: DrawingShop) -> None:
    job, _ = shop.store.submit(make_job(16))
    render_next(shop)
    (done,) = shop.store.committed(job.id)
    assert done.segment is not None
    assert media.MACHINE_MADE.encode() in shop.objects.get(done.segment.init_key)


def test_without_a_certificate_the_same_video_is_the_same_file(finish: Finish) -> None:
    _, first = finish(make_job(16))
    _, second = finish(make_job(16))
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(c2pa.C2paError):
        read(first)


@pytest.mark.parametrize("wrong", ["key", "certificate", "other", "missing"])
def test_a_video_that_cannot_be_signed_fails_or_is_finished_unsigned_as_configured(
    finish: Finish, signer: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    secret = signer["c2pa_key"].read_text()
    broken = tmp_path / "broken.pem"
    if wrong == "other":
        broken.write_bytes(certificate.ensure(tmp_path / "other")[1].read_bytes())
    elif wrong != "missing":
        broken.write_text(secret[:60] + "SECRET" + secret[66:])
    files = signer | {"c2pa_certificate" if wrong == "certificate" else "c2pa_key": broken}
    with caplog.at_level(logging.DEBUG):
        failed, _ = finish(make_job(16), **files)
        unsigned, video = finish(make_job(16), **files, provenance_failure="open")
    assert failed.error is not None and failed.error.code == "provenance_failed"
    assert failed.frames == 16  # what was made stays
    assert unsigned.state is JobState.COMPLETED and len(media.frame_hashes(video)) == 16
    told = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    for line in [*secret.splitlines()[1:-1], "SECRET"]:
        assert line not in told


def test_a_schedule_is_hashed_as_canonical_json_and_every_seed_is_told() -> None:
    generation = make_job(32).generation.model_copy(
        update={
            "prompts": (PromptAt(at_seconds=1.0, prompt='a "blå" star'), PromptAt(at_seconds=2.5, prompt="x")),
            "seeds": (SeedAt(at_frame=16, seed=2**63 - 1),),
        }
    )
    first = json.dumps(generation.prompt)
    wanted = (
        f'[{{"at_seconds":0,"prompt":{first}}},{{"at_seconds":1,"prompt":"a \\"blå\\" star"}},'
        '{"at_seconds":2.5,"prompt":"x"}]'
    )
    assert provenance.schedule(generation).decode() == wanted
    said = provenance.facts(generation, "")
    assert said["prompts_sha256"] == hashlib.sha256(wanted.encode()).hexdigest()
    assert said["seeds"] == [{"at_frame": 16, "seed": 2**63 - 1}]
    assert "job" not in said


def test_a_certificate_is_made_once_and_its_key_is_ours_alone(tmp_path: Path) -> None:
    chain, key = certificate.ensure(tmp_path / "c2pa")
    before = chain.read_bytes(), key.read_bytes()
    assert certificate.ensure(tmp_path / "c2pa") == (chain, key)
    assert (chain.read_bytes(), key.read_bytes()) == before
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in before[0]


def test_a_certificate_that_is_about_to_run_out_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as short:
        short.setattr(certificate, "LASTS", timedelta(days=20))
        old = certificate.ensure(tmp_path)[0].read_bytes()
    assert certificate.ensure(tmp_path)[0].read_bytes() != old


def test_a_certificate_without_its_key_is_an_error_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="both"):
        WorkerSettings(c2pa_certificate=tmp_path / "chain.pem")


def test_what_cannot_sign_is_an_error_at_the_start(
    signer: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    provenance.check(WorkerSettings(**signer))  # type: ignore[arg-type]
    assert not caplog.records
    provenance.check(WorkerSettings())
    assert "not signed" in caplog.text
    broken = signer | {"c2pa_key": tmp_path / "none.pem"}
    with pytest.raises(OSError, match=r"none\.pem"):
        provenance.check(WorkerSettings(**broken))  # type: ignore[arg-type]
    provenance.check(WorkerSettings(**broken, provenance_failure="open"))  # type: ignore[arg-type]
