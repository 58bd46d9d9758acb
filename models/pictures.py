"""A picture that somebody sends: what is read of a file, what is refused, and what is kept of it.

Owns the formats and the limits; reads no file and fetches nothing. Pillow only, so that the API can judge a picture
without a tensor library. Only headers are looked at before size, format and effort are known to be fit.
"""

from __future__ import annotations

import io
import re
import warnings

from PIL import Image, ImageOps

from models.model import CatalogError

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_BYTES, MAX_PIXELS = 20_000_000, 25_000_000  # a decoder takes up to 16 bytes a pixel
MIN_SIDE, MAX_SIDE = 8, 2048  # sides above the second are scaled down to it: no model draws as large
MAX_SCANS = 100  # of a JPEG; a progressive one has about ten, and each is a pass over all its pixels

# The next marker of a JPEG; stuffed and filling bytes, restarts and TEM are none that has a length.
_MARKER = re.compile(rb"\xff([^\x00\x01\xff\xd0-\xd7])")
_SCAN, _END = b"\xda", b"\xd9"


def decode(data: bytes, field: str = "input_reference") -> Image.Image:
    """RGB, upright as its EXIF says, over white where it is transparent, no side above `MAX_SIDE`.

    Of several frames the first. Raises `CatalogError` 'image_too_large' or 'image_unreadable'.
    """
    if len(data) > MAX_BYTES:
        raise CatalogError("image_too_large", field, f"The picture has {len(data)} bytes; at most {MAX_BYTES}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow about sizes, which are judged here
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check(image.size, field)
            if data.startswith(b"\xff\xd8") and _scans(data) > MAX_SCANS:
                raise CatalogError("image_too_large", field, f"The picture is a JPEG of more than {MAX_SCANS} scans.")
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _opaque(_small(_colours(image)))
    except Image.DecompressionBombError:
        raise CatalogError("image_too_large", field, f"The picture has more than {MAX_PIXELS} pixels.") from None
    except CatalogError:
        raise
    except Exception as error:  # decoders raise whatever the bytes lead them to
        allowed = "PNG, JPEG or WebP"
        raise CatalogError("image_unreadable", field, f"The picture is damaged, or no {allowed}.") from error


def png(image: Image.Image) -> bytes:
    """The same pixels as a file of nothing else: no metadata, and nothing behind the end. `decode` gives them back."""
    bare, file = image.copy(), io.BytesIO()
    bare.info = {}
    bare.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _check(size: tuple[int, int], field: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        message = f"The picture is {width}x{height}; it can have at most {MAX_PIXELS} pixels."
        raise CatalogError("image_too_large", field, message)
    if min(size) * min(1, MAX_SIDE / max(size)) < MIN_SIDE:
        message = f"The picture is {width}x{height}; a side has at least {MIN_SIDE} pixels where none has {MAX_SIDE}."
        raise CatalogError("image_unreadable", field, message)


def _scans(data: bytes) -> int:
    """Scans up to the end of a JPEG, or one too many: what is behind its end is not read, so it does not count."""
    at = scans = 0
    while (marker := _MARKER.search(data, at)) and marker[1] != _END and scans <= MAX_SCANS:
        scans += marker[1] == _SCAN
        at = marker.end()
        if marker[1] != b"\xd8":  # the start alone has no length
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return scans


def _colours(image: Image.Image) -> Image.Image:
    """RGB, or RGBA where something is transparent."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would cut off at 255
        return image.convert("I").point(lambda grey: grey * (1 / 256)).convert("L").convert("RGB")
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _small(image: Image.Image) -> Image.Image:
    """Before anything of it is copied once more."""
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return image


def _opaque(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
