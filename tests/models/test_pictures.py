"""A picture that somebody sends is read safely, upright and whole, or refused in one sentence."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from models import pictures, pixels
from models.model import CatalogError

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    image = pictures.decode(data)
    assert image.mode == "RGB"
    return np.asarray(image)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_a_picture_comes_back_pixel_by_pixel(kind, options):
    assert np.array_equal(decoded(saved(Image.fromarray(PIXELS), kind, **options)), PIXELS)


def test_jpeg_is_read_too_and_grey_and_cmyk_become_colours():
    for mode in ("RGB", "L", "CMYK"):
        assert decoded(saved(Image.new(mode, (16, 9)), "JPEG")).shape == (9, 16, 3)


def test_a_photograph_stands_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    assert np.array_equal(decoded(saved(Image.fromarray(PIXELS), "PNG", exif=exif)), np.rot90(PIXELS, -1))


def test_what_is_transparent_is_white():
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    assert (decoded(saved(clear, "PNG")) == 255).all()
    indexed = Image.new("P", (10, 10), 0)
    assert (decoded(saved(indexed, "PNG", transparency=0)) == 255).all()


def test_sixteen_bits_keep_their_greys():
    deep = Image.fromarray(np.full((10, 10), 0x8000, np.uint16))
    assert (decoded(saved(deep, "PNG")) == 0x80).all()


def test_of_an_animation_the_first_frame_is_taken():
    first, second = (Image.new("RGB", (10, 10), colour) for colour in ("red", "blue"))
    data = saved(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert (decoded(data) == (255, 0, 0)).all()


def test_a_large_picture_is_scaled_down_and_keeps_its_shape():
    for mode, colour in (("RGB", (200, 10, 10)), ("RGBA", (200, 10, 10, 255)), ("I;16", 0x8000), ("P", 7)):
        assert decoded(saved(Image.new(mode, (4096, 1024), colour), "PNG")).shape == (512, 2048, 3)


def test_a_quarter_turn_is_made_where_it_is_scaled_down_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert pictures.decode(saved(Image.new("RGB", (3000, 1500)), "JPEG", exif=exif)).size == (1024, 2048)


def test_what_is_kept_has_the_pixels_and_nothing_else():
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Secret Camera", 3
    sent = saved(Image.fromarray(PIXELS), "PNG", exif=exif, icc_profile=b"Secret profile", dpi=(72, 72))
    kept = pictures.png(pictures.decode(sent + b"Secret tail"))
    assert b"Secret" in sent and b"Secret" not in kept
    assert kept.endswith(b"IEND\xaeB`\x82")
    assert not {b"eXIf", b"iCCP", b"pHYs", b"tEXt"} & {kept[i : i + 4] for i in range(len(kept))}
    assert np.array_equal(decoded(kept), PIXELS[::-1, ::-1])
    assert pictures.png(pictures.decode(kept)) == kept


def scans_of(jpeg: bytes) -> list[tuple[int, int]]:
    """Where the scans of a JPEG begin and end; its other segments have no 0xffda here."""
    starts = [i for i in range(len(jpeg)) if jpeg[i : i + 2] == b"\xff\xda"]
    return list(zip(starts, [*starts[1:], len(jpeg) - 2], strict=True))


def test_a_jpeg_of_many_scans_is_refused_before_it_costs_minutes():
    photo = saved(Image.fromarray(PIXELS), "JPEG", progressive=True)
    first, last = scans_of(photo)[0], scans_of(photo)[-1]
    assert decoded(photo + photo[first[0] : last[1]] * 100).shape == PIXELS.shape  # behind its end: not read
    bomb = photo[: last[1]] + photo[slice(*last)] * 10_000 + photo[-2:]
    with pytest.raises(CatalogError, match="scans") as refused:
        pictures.decode(bomb)
    assert refused.value.code == "image_too_large"


def test_no_tensors_are_loaded_to_judge_a_picture():
    program = "import sys, models.pictures; print({'numpy', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "set()\n"


def png_of(width: int, height: int) -> bytes:
    """A header that promises a size, and next to nothing of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\1\0IDAT"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "image_unreadable"),
        (b"GIF89a" + bytes(100), "image_unreadable"),
        (saved(Image.fromarray(PIXELS), "GIF"), "image_unreadable"),
        (saved(Image.fromarray(PIXELS), "PNG")[:-200], "image_unreadable"),
        (saved(Image.fromarray(PIXELS), "JPEG")[:-200], "image_unreadable"),
        (saved(Image.new("RGB", (200, 4)), "PNG"), "image_unreadable"),
        (saved(Image.new("RGB", (9000, 9)), "PNG"), "image_unreadable"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image_unreadable"),
        (b"SIMPLE  =" + b" " * 3000, "image_unreadable"),
        (b"\x89PNG\r\n\x1a\n" + saved(Image.fromarray(PIXELS), "JPEG"), "image_unreadable"),
        (png_of(7000, 7000), "image_too_large"),
        (png_of(60_000, 60_000), "image_too_large"),
        (bytes(pictures.MAX_BYTES + 1), "image_too_large"),
    ],
    ids=[
        "empty",
        "no picture",
        "another format",
        "cut PNG",
        "cut JPEG",
        "sliver",
        "long sliver",
        "SVG",
        "FITS",
        "wrong magic",
        "49 megapixels",
        "bomb",
        "21 MB",
    ],
)
def test_what_is_no_fit_picture_is_refused_before_it_is_unpacked(data, code):
    with pytest.raises(CatalogError) as refused:
        pictures.decode(data, "image")
    assert (refused.value.code, refused.value.field) == (code, "image")


@pytest.mark.parametrize(("height", "width"), [(64, 64), (64, 112), (112, 64)])
def test_a_picture_is_fitted_by_cropping_and_never_stretched(height, width):
    rows, columns = np.mgrid[0:300, 0:400]
    square = ((rows - 150) ** 2 + (columns - 200) ** 2 < 60**2)[..., None] * np.full(3, 255, np.uint8)
    fitted = pixels.fit(square[None].astype(np.uint8), height, width)[0]
    assert fitted.shape == (height, width, 3)
    disc = fitted[..., 0] > 127
    tall, wide = disc.any(axis=1).sum(), disc.any(axis=0).sum()
    assert abs(int(tall) - int(wide)) <= 1


def test_shrinking_does_not_alias():
    stripes = np.zeros((1, 256, 256, 3), np.uint8)
    stripes[:, :, ::2] = 255
    assert np.abs(pixels.fit(stripes, 64, 64).astype(int) - 127).max() < 20  # the nearest pixels are all of one stripe


def test_a_picture_of_the_right_size_is_left_as_it_is():
    assert np.array_equal(pixels.fit(PIXELS[None], 20, 30)[0], PIXELS)


def test_wide_frames_lose_the_rows_that_the_refined_size_has_no_place_for():
    assert pixels.crop(np.zeros((1, 256, 448, 3)), 720, 1280).shape == (1, 252, 448, 3)
    assert pixels.crop(np.zeros((1, 256, 256, 3)), 720, 720).shape == (1, 256, 256, 3)
