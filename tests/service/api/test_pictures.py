"""Videos that begin with a picture: how it may be sent, what is kept of it, and what is refused in words."""

from __future__ import annotations

import asyncio
import base64
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import openai
import pytest
import redis
from fastapi.testclient import TestClient
from PIL import Image

from models import pictures
from service import images
from service.api.app import create_app
from service.errors import StorageUnavailable, StoreUnavailable
from service.jobs import ImageRef
from service.keys import key
from service.objects import Objects, open_objects
from service.policy import Policy
from service.settings import Settings
from service.store import Store
from service.tenants import Tenants
from tests.service.api.conftest import PROMPT, order, problem
from tests.service.conftest import done, finish
from tests.support import s3
from tests.support.receiver import Answer, Receiver

OTHER = "a blue star moving up on a navy background"
GRADIENT = Image.linear_gradient("L").resize((64, 48)).convert("RGB")

OpenApi = Callable[..., TestClient]


def file(image: Image.Image = GRADIENT, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def data_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def upload(api: TestClient, content: bytes, **fields: str) -> httpx.Response:
    form = {name: (None, text) for name, text in {"prompt": PROMPT, "num_frames": "24", **fields}.items()}
    return api.post("/v1/videos", files={**form, "input_reference": ("a.png", content, "image/png")})  # type: ignore[return-value]


def referring(api: TestClient, reference: object, **headers: str) -> httpx.Response:
    body = {"prompt": PROMPT, "num_frames": 24, "refine": False, "input_reference": reference}
    return api.post("/v1/videos", json=body, headers=headers)  # type: ignore[return-value]


@pytest.fixture
def tenant(api: TestClient, tenants: Tenants) -> str:
    return tenants.keys()[0].tenant


@pytest.fixture
def storage(settings: Settings) -> Objects:
    return open_objects(settings)


@pytest.fixture
def opened(settings: Settings, tenants: Tenants) -> Iterator[OpenApi]:
    """Another API with other settings, for the same tenant each time."""
    _, token = tenants.create_key("opened")
    clients = []

    def open_api(**changes: object) -> TestClient:
        app = create_app(Settings.model_validate(settings.model_dump() | changes))
        clients.append(TestClient(app, headers={"Authorization": f"Bearer {token}"}).__enter__())
        return clients[-1]

    yield open_api
    for client in clients:
        client.__exit__(None, None, None)


def kept(store: Store, tenant: str, video: str) -> ImageRef:
    image = store.get(tenant, video).generation.image
    assert image is not None
    return image


def shown(storage: Objects, image: ImageRef) -> Image.Image:
    return pictures.decode(images.load(storage, image))


def left(storage: Objects, tenant: str) -> list[str]:
    return [name for name in storage.list(f"{tenant}/") if name.endswith(images.NAME)]


# How it may be sent


def test_a_picture_is_uploaded_with_a_form(api: TestClient, store: Store, tenant: str, storage: Objects) -> None:
    answer = upload(api, file())
    assert answer.status_code == 202, answer.text
    image = kept(store, tenant, answer.json()["id"])
    assert image.key == f"{tenant}/{answer.json()['id']}/reference.png"
    assert shown(storage, image).tobytes() == GRADIENT.tobytes()
    assert image.key not in answer.text and image.sha256 not in answer.text


@pytest.mark.parametrize(
    ("sent", "start"),
    [
        (file(), "data:image/png;base64,"),
        (file(kind="WEBP", lossless=True), "data:image/webp;base64,"),
        (file(), "DATA:;BASE64,"),
    ],
)
def test_a_picture_may_be_in_the_json_body(  # type: ignore[no-untyped-def]
    api: TestClient, store: Store, tenant: str, storage: Objects, sent: bytes, start: str
) -> None:
    answer = referring(api, {"image_url": start + base64.b64encode(sent).decode()})
    assert answer.status_code == 202, answer.text
    assert shown(storage, kept(store, tenant, answer.json()["id"])).tobytes() == GRADIENT.tobytes()


def test_a_form_may_refer_to_a_picture_as_json_does(api: TestClient, store: Store, tenant: str) -> None:
    large = file(Image.effect_noise((1200, 1200), 90).convert("RGB"))  # a part above Starlette's own limit
    assert len(large) > 1_500_000
    form = {"prompt": (None, PROMPT), "input_reference[image_url]": (None, data_url(large))}
    assert kept(store, tenant, api.post("/v1/videos", files=form).json()["id"])
    form = {"prompt": (None, PROMPT), "input_reference": (None, f'{{"image_url": "{data_url(file())}"}}')}
    assert kept(store, tenant, api.post("/v1/videos", files=form).json()["id"])


def test_a_picture_is_fetched_from_where_the_operator_allows_it(
    opened: OpenApi, store: Store, tenants: Tenants, storage: Objects
) -> None:
    with Receiver(Answer(headers={"content-type": "image/jpeg"}, body=file(kind="JPEG", quality=95))) as server:
        api = opened(image_allow_private=(server.address,))
        answer = referring(api, {"image_url": server.url})
        assert answer.status_code == 202, answer.text
    image = kept(store, tenants.keys()[0].tenant, answer.json()["id"])
    assert shown(storage, image).size == (64, 48)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # OpenAI has closed its own service
def test_the_sdk_sends_pictures_in_its_own_ways(settings: Settings, tenants: Tenants, store: Store) -> None:
    entry, token = tenants.create_key()

    async def run() -> list[str]:
        transport = httpx.ASGITransport(create_app(settings))
        async with httpx.AsyncClient(transport=transport) as http:
            sdk = openai.AsyncOpenAI(api_key=token, base_url="http://house/v1", http_client=http, max_retries=0)
            uploads = [file(), ("star.png", file()), ("star.png", io.BytesIO(file()), "image/png")]
            made = [await sdk.videos.create(prompt=PROMPT, input_reference=sent) for sent in uploads]  # type: ignore[arg-type]
            reference = {"input_reference": {"image_url": data_url(file())}}
            return [video.id for video in (*made, await sdk.videos.create(prompt=PROMPT, extra_body=reference))]

    for video in asyncio.run(run()):
        assert kept(store, entry.tenant, video)


# What is kept of it


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_on_each_storage_the_picture_is_stored_before_the_job(
    opened: OpenApi, kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = s3.settings(request.getfixturevalue("s3_server").endpoint) if kind == "s3" else {}
    api = opened(**changes)
    use = api.app.state.services  # type: ignore[attr-defined]
    submit, seen = Store.submit, []

    def look_then_submit(store: Store, job: Any, *rest: Any) -> Any:
        seen.append(images.of(use.objects, job.generation))
        return submit(store, job, *rest)

    monkeypatch.setattr(Store, "submit", look_then_submit)
    assert upload(api, file()).status_code == 202
    assert seen[0] and pictures.decode(seen[0]).tobytes() == GRADIENT.tobytes()


def test_what_is_kept_has_no_metadata_stands_upright_and_is_not_too_large(
    api: TestClient, store: Store, tenant: str, storage: Objects
) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Secret Camera"
    photo = file(GRADIENT.resize((4000, 3000)), "JPEG", exif=exif, icc_profile=b"Secret profile")
    image = kept(store, tenant, upload(api, photo).json()["id"])
    png = images.load(storage, image)
    assert shown(storage, image).size == (1536, 2048) and b"Secret" in photo and b"Secret" not in png


def test_of_an_animation_the_first_picture_counts(api: TestClient, store: Store, tenant: str, storage: Objects) -> None:
    others = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")] * 100
    moving = file(GRADIENT, "WEBP", save_all=True, append_images=others, lossless=True)
    image = kept(store, tenant, upload(api, moving).json()["id"])
    assert shown(storage, image).tobytes() == GRADIENT.tobytes()


# What is refused


REFUSED = [
    ({"file_id": "file_123"}, "unknown_file", "input_reference.file_id", "no store of files"),
    ({}, "missing_field", "input_reference.image_url", "image_url"),
    ({"image_url": ""}, "missing_field", "input_reference.image_url", "image_url"),
    ({"image_url": 7}, "invalid_value", "input_reference.image_url", "string"),
    ("https://example.com/a.png", "invalid_value", "input_reference", "dictionary"),
    ({"image_url": "https://example.com/", "detail": "high"}, "unknown_field", "input_reference.detail", "detail"),
    ({"image_url": "http://example.com/a.png"}, "url_not_allowed", "input_reference", "https://"),
    ({"image_url": "file:///etc/passwd"}, "url_not_allowed", "input_reference", "host"),
    ({"image_url": "https://127.0.0.1/a.png"}, "url_not_allowed", "input_reference", "private"),
    ({"image_url": "https://169.254.169.254/latest"}, "url_not_allowed", "input_reference", "private"),
    ({"image_url": "https://user@example.com/"}, "url_not_allowed", "input_reference", "user name"),
    ({"image_url": "https://example.com/" + "x" * 3000}, "url_not_allowed", "input_reference", "2048"),
    ({"image_url": "https://localhost/a.png"}, "image_not_fetched", "input_reference", "private address"),
    ({"image_url": "https://2130706433/a.png"}, "image_not_fetched", "input_reference", "private address"),
    ({"image_url": "data:image/png,abc"}, "invalid_value", "input_reference", "base64"),
    ({"image_url": "data:image/png;base64"}, "image_unreadable", "input_reference", "PNG, JPEG or WebP"),
    ({"image_url": "data:image/png;base64,%%%"}, "image_unreadable", "input_reference", "base64"),
    ({"image_url": "data:image/png;base64,äöü"}, "image_unreadable", "input_reference", "base64"),
    ({"image_url": "data:image/png;base64,"}, "image_unreadable", "input_reference", "PNG, JPEG or WebP"),
    ({"image_url": data_url(b"<svg/>")}, "image_unreadable", "input_reference", "PNG, JPEG or WebP"),
]


@pytest.mark.parametrize(("reference", "code", "field", "says"), REFUSED, ids=[str(r[0])[:50] for r in REFUSED])
def test_what_is_no_picture_is_refused_in_words(
    api: TestClient, store: Store, tenant: str, storage: Objects, reference: object, code: str, field: str, says: str
) -> None:
    assert says in problem(referring(api, reference), 422, code, field)
    assert not store.has_work() and left(storage, tenant) == []


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (Answer(404), "image_not_fetched", "404"),
        (Answer(302, {"location": "https://example.com/"}), "image_not_fetched", "redirect"),
        (Answer(body=b"<html>"), "image_not_fetched", "content-type"),
        (Answer(headers={"content-type": "image/svg+xml"}, body=b"<svg/>"), "image_unreadable", "PNG"),
        (Answer(headers={"content-type": "image/png"}, body=b"x" * 200_001), "image_not_fetched", "200000 bytes"),
        (Answer(headers={"content-type": "image/png"}, delay_s=3), "image_not_fetched", "within"),
    ],
)
def test_what_a_server_sends_instead_of_a_picture_is_said(
    opened: OpenApi, store: Store, answer: Answer, code: str, says: str
) -> None:
    with Receiver(answer) as server:
        api = opened(image_allow_private=("*",), image_timeout_s=0.5, image_limit_bytes=200_000)
        assert says in problem(referring(api, {"image_url": server.url}), 422, code, "input_reference")
    assert not store.has_work()


def test_no_url_is_called_for_an_order_that_is_wrong_anyway(opened: OpenApi) -> None:
    with Receiver(Answer(headers={"content-type": "image/png"}, body=file())) as server:
        api = opened(image_allow_private=("*",))
        body = {"prompt": "quarterly figures", "input_reference": {"image_url": server.url}}
        problem(api.post("/v1/videos", json=body), 422, "prompt_not_understood", "prompt")
        assert server.received == []


def test_only_orders_with_pictures_may_have_large_bodies(opened: OpenApi) -> None:
    api = opened(body_limit_bytes=20_000, image_limit_bytes=100_000)
    photo = file(Image.effect_noise((200, 200), 90))
    assert 20_000 < len(photo) < 100_000
    assert upload(api, photo).status_code == 202
    assert referring(api, {"image_url": data_url(photo)}).status_code == 202
    problem(upload(api, b"x" * 100_000), 413, "body_too_large")
    problem(referring(api, {"image_url": data_url(bytes(80_000))}), 413, "body_too_large")
    body = {"video": {"id": "video_x"}, "prompt": "x" * 30_000, "seconds": 1}
    problem(api.post("/v1/videos/extensions", json=body), 413, "body_too_large")


def test_other_orders_take_no_picture(api: TestClient, store: Store) -> None:
    video = order(api)["id"]
    finish(store)
    form = {"prompt": (None, OTHER), "input_reference": ("a.png", file())}
    problem(api.post(f"/v1/videos/{video}/remix", files=form), 422, "unknown_field", "input_reference")


def test_too_many_pictures_at_once_are_put_off(api: TestClient) -> None:
    use = api.app.state.services  # type: ignore[attr-defined]
    for _ in range(images.FETCHES):
        use.images._fetches.acquire()
    problem(referring(api, {"image_url": "https://example.com/a.png"}), 503, "service_busy")
    assert upload(api, file()).status_code == 202


# Nothing is lost, nothing is left


def test_a_repeated_order_is_one_video_with_one_picture_even_when_the_picture_is_gone(
    opened: OpenApi, storage: Objects
) -> None:
    with Receiver(Answer(headers={"content-type": "image/png"}, body=file()), Answer(404)) as server:
        api = opened(image_allow_private=("*",))
        first, again = (referring(api, {"image_url": server.url}, **{"Idempotency-Key": "once"}) for _ in range(2))
        assert again.json()["id"] == first.json()["id"] and again.headers["idempotency-replayed"] == "true"
        assert len(server.received) == 1 and len(storage.list("")) == 2  # the picture and job.json
        other = referring(api, {"image_url": data_url(file())}, **{"Idempotency-Key": "once"})
        problem(other, 422, "idempotency_mismatch", "Idempotency-Key")


def test_of_two_orders_at_once_the_second_leaves_no_picture(
    api: TestClient, tenant: str, storage: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "recall", lambda *_: None)  # the first one is not yet there when the second one looks
    reference = {"image_url": data_url(file())}
    first, again = (referring(api, reference, **{"Idempotency-Key": "once"}) for _ in range(2))
    assert again.json()["id"] == first.json()["id"]
    assert left(storage, tenant) == [f"{tenant}/{first.json()['id']}/reference.png"]


def test_an_order_that_is_refused_leaves_no_picture(opened: OpenApi, storage: Objects) -> None:
    api = opened(tenant_live_jobs=1)
    assert upload(api, file()).status_code == 202
    problem(upload(api, file()), 429, "too_many_videos")
    assert len([name for name in storage.list("") if name.endswith(images.NAME)]) == 1


def test_a_picture_that_cannot_be_stored_is_no_order(
    api: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageUnavailable("away")

    monkeypatch.setattr(images, "keep", away)
    problem(upload(api, file()), 503, "storage_unavailable")
    assert not store.has_work()


def test_a_picture_whose_order_never_came_is_swept_and_no_other(
    api: TestClient, store: Store, client: redis.Redis, tenant: str, storage: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert upload(api, file()).status_code == 202
    assert client.zcard(key("trash")) == 0

    def no_answer(*_: object) -> None:
        raise StoreUnavailable("no answer")

    with monkeypatch.context() as patched:
        patched.setattr(Store, "submit", no_answer)
        problem(upload(api, file()), 503, "store_unavailable")
    ((entry, at),) = client.zrange(key("trash"), 0, -1, withscores=True)
    assert 3500 < at / 1000 - time.time() < 3700 and store.discarded() == []
    assert f"{entry}/reference.png" in left(storage, tenant)  # the order may have been taken in
    client.zadd(key("trash"), {entry: 1})
    assert [f"{owner}/{job}" for owner, job in store.discarded()] == [entry]


# The operator's rules


def test_the_operators_rules_are_asked_with_the_file_as_it_came(
    api: TestClient, store: Store, tenant: str, storage: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes | None] = []
    monkeypatch.setattr(Policy, "check_request", lambda self, prompts, image=None, **_: asked.append(image))
    photo = file(kind="JPEG")
    video = upload(api, photo, size="64x64").json()["id"]
    png = images.load(storage, kept(store, tenant, video))
    api.post(f"/v1/videos/{video}/remix", json={"prompt": OTHER})
    api.patch(f"/v1/videos/{video}", json={"prompt": OTHER})
    order(api)
    assert asked == [photo, png, png, None]


def test_a_picture_that_is_not_allowed_makes_no_job_and_is_not_kept(
    opened: OpenApi, store: Store, storage: Objects
) -> None:
    api = opened(policy="tests.support.classifier:no_pictures")
    problem(upload(api, file()), 422, "policy_refused", "prompt")
    assert not store.has_work() and storage.list("") == []


# Videos made from videos


def test_a_child_keeps_the_picture_of_its_parent_also_when_that_is_deleted(
    api: TestClient, store: Store, tenant: str, storage: Objects
) -> None:
    parent = upload(api, file(), size="64x64").json()["id"]
    image = kept(store, tenant, parent)
    while claim := store.claim_next("w"):
        store.commit(claim, done(claim))
    body = {"video": {"id": parent}, "prompt": OTHER, "seconds": 1}
    children = [
        api.post("/v1/videos/extensions", json=body).json()["id"],
        api.post(f"/v1/videos/{parent}/branch", json={"at_seconds": 2, "seed": 9}).json()["id"],
        api.post(f"/v1/videos/{parent}/remix", json={"prompt": OTHER}).json()["id"],
    ]
    children.append(api.post(f"/v1/videos/{children[2]}/remix", json={"prompt": PROMPT}).json()["id"])
    assert {kept(store, tenant, child) for child in children} == {image}

    api.delete(f"/v1/videos/{parent}")
    while children:
        assert storage.exists(image.key) and parent not in {job for _, job in store.discarded()}
        api.delete(f"/v1/videos/{children[0]}")
        store.erased(tenant, children.pop(0))
    assert (tenant, parent) in store.discarded()


def test_a_child_of_a_lost_picture_is_refused(api: TestClient, store: Store, tenant: str, storage: Objects) -> None:
    parent = upload(api, file()).json()["id"]
    storage.delete_prefix(f"{tenant}/{parent}/")
    said = problem(api.post(f"/v1/videos/{parent}/remix", json={"prompt": OTHER}), 410, "image_lost")
    assert tenant not in said


def test_a_deleted_video_takes_its_picture_with_it(api: TestClient, tenant: str, storage: Objects) -> None:
    video = upload(api, file()).json()["id"]
    api.delete(f"/v1/videos/{video}")
    assert storage.list(f"{tenant}/{video}/") == []


def test_both_kinds_of_body_are_described(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    content = document["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    form = content["multipart/form-data"]["schema"]["properties"]
    (json_body,) = content["application/json"]["schema"].values()
    schemas = document["components"]["schemas"]
    assert form.keys() == schemas[json_body.rpartition("/")[2]]["properties"].keys()
    assert {"format": "binary", "type": "string"}.items() <= form["input_reference"]["anyOf"][0].items()
    assert set(schemas["ImageReference"]["properties"]) == {"image_url", "file_id"}
    assert "multipart/form-data" in document["paths"]["/v1/videos/extensions"]["post"]["requestBody"]["content"]
