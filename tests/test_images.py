"""Pictures: how files of all kinds open, and the small copies that are kept and shown."""

import io
import json
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from retrieval import conversion
from retrieval.errors import PictureError
from retrieval.headers import MAX_SIDE
from retrieval.images import Room, open_picture, thumbnail, thumbnail_to_keep, without_words
from retrieval.preprocessing import Preprocessing, scale_for
from retrieval.settings import PROJECT
from tests.made import by_hue, encode, noise


def middle(data: bytes, at_least: int | None = None) -> tuple[int, ...]:
    """Open a file and return the colour in the middle of the picture."""
    image = open_picture(data, at_least).image
    assert image.mode == "RGB"
    return image.getpixel((image.width // 2, image.height // 2))


def about(*colour: int) -> object:
    """Colours that compression may have moved a little."""
    return pytest.approx(colour, abs=6)


# --- opening ---

ORIENTED = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
# Where the red corner of a stored picture, 40 x 20, ends up for each value of EXIF's orientation
# (EXIF 2.32, tag 0x0112): stored at the top left.
CORNERS = {
    1: ("top left", (40, 20)),
    2: ("top right", (40, 20)),
    3: ("bottom right", (40, 20)),
    4: ("bottom left", (40, 20)),
    5: ("top left", (20, 40)),
    6: ("top right", (20, 40)),
    7: ("bottom right", (20, 40)),
    8: ("bottom left", (20, 40)),
}


def oriented(kind: str, orientation: int, scale: int = 1) -> bytes:
    image = Image.new("RGB", (40 * scale, 20 * scale), "white")
    image.paste("red", (0, 0, 10 * scale, 10 * scale))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()  # from here pillow-heif takes HEIF's own rotation
    return encode(image, kind, exif=image.info["exif"])


def red_corner(image: Image.Image) -> str:
    pixels = np.asarray(image).astype(int)
    rows, columns = np.nonzero(pixels[..., 0] - pixels[..., 1] > 128)
    vertical = "top" if rows.mean() < image.height / 2 else "bottom"
    return f"{vertical} {'left' if columns.mean() < image.width / 2 else 'right'}"


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("kind", ORIENTED)
def test_a_picture_is_turned_as_its_camera_was_held(kind: str, orientation: int) -> None:
    picture = open_picture(oriented(kind, orientation))
    assert (red_corner(picture.image), picture.image.size) == CORNERS[orientation]
    assert (picture.width, picture.height) == CORNERS[orientation][1]


@pytest.mark.parametrize("orientation", CORNERS)
def test_a_picture_at_reduced_scale_is_turned_too(orientation: int) -> None:
    picture = open_picture(oriented("JPEG", orientation, scale=40), at_least=100)
    corner, (width, height) = CORNERS[orientation]
    assert red_corner(picture.image) == corner
    assert (picture.width, picture.height) == (width * 40, height * 40)
    assert 100 <= min(picture.image.size) < 20 * 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x05" + b"\x87\x69" * 30,
    ],
    ids=["no TIFF", "points outside", "nonsense entries"],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_costs_the_rotation_and_not_the_picture(kind: str, exif: bytes) -> None:
    assert middle(encode(by_hue(120), kind, exif=exif)) == about(0, 255, 0)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2024:07:31 18:02:11", "2024-07-31 18:02:11"),
        ("2024:07:31 18:02:11\0", "2024-07-31 18:02:11"),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        ("2024:13:45 99:99:99", None),
        ("last Tuesday, in the evening", None),
        ("", None),
    ],
    ids=["a date", "a date with a zero byte", "zeros", "blanks", "no such day", "words", "empty"],
)
def test_the_date_is_the_cameras_or_none(written: str, read: str | None) -> None:
    exif = Image.Exif()
    exif[0x0132] = written
    assert open_picture(encode(by_hue(0), "JPEG", exif=exif)).taken == read


def test_the_moment_of_exposure_counts_before_that_of_the_last_change() -> None:
    exif = Image.Exif()
    exif[0x0132] = "2024:07:31 18:02:11"
    exif.get_ifd(0x8769)[0x9003] = "2001:02:03 04:05:06"
    assert open_picture(encode(by_hue(0), "JPEG", exif=exif)).taken == "2001-02-03 04:05:06"


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF", "MPO"]
)
@pytest.mark.parametrize("at_least", [None, 8], ids=["in full", "reduced"])
def test_every_kind_of_file_keeps_its_colour(kind: str, at_least: int | None) -> None:
    assert middle(encode(by_hue(120, (80, 60)), kind), at_least) == about(0, 255, 0)


@pytest.mark.parametrize("suffix", ["heic", "avif"])
def test_a_file_of_a_phone_opens_from_disk_and_shows_what_was_saved(
    tmp_path: Path, suffix: str
) -> None:
    original = noise((120, 90), coarse=3)
    path = tmp_path / f"photo.{suffix}"
    original.save(path, quality=95)
    opened = open_picture(path)
    assert (opened.width, opened.height) == (120, 90)
    difference = np.asarray(opened.image).astype(int) - np.asarray(original)
    assert np.abs(difference).mean() < 4


def cmyk() -> bytes:
    return encode(Image.new("CMYK", (64, 64), (0, 255, 255, 0)), "JPEG")


def two_colours(mode: str) -> Image.Image:
    """Return a picture with a transparent left half, red underneath, and a blue right half."""
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (32, 0, 64, 64))
    return image.convert(mode)


def palette(alpha: bytes | int) -> bytes:
    """Return a palette picture of 0 red and 1 blue, with the transparency given."""
    image = Image.new("P", (64, 64), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (32, 0, 64, 64))
    return encode(image, "PNG", transparency=alpha)


def palette_with_alpha() -> bytes:
    image = Image.new("PA", (64, 64), (0, 0))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste((1, 255), (32, 0, 64, 64))
    return encode(image, "TIFF")


def grey_with_alpha() -> bytes:
    image = Image.new("LA", (64, 64), (0, 0))
    image.paste((100, 255), (32, 0, 64, 64))
    return encode(image, "PNG")


def colour_as_transparent() -> bytes:
    return encode(two_colours("RGB"), "PNG", transparency=(255, 0, 0))


def one_bit() -> bytes:
    image = Image.new("1", (64, 64), 1)
    image.paste(0, (32, 0, 64, 64))
    return encode(image, "PNG")


WHITE, RED, BLUE, BLACK = (255, 255, 255), (255, 0, 0), (0, 0, 255), (0, 0, 0)


@pytest.mark.parametrize("at_least", [None, 8], ids=["in full", "reduced"])
@pytest.mark.parametrize(
    ("data", "left", "right"),
    [
        (cmyk(), RED, RED),
        (encode(two_colours("RGBA"), "PNG"), WHITE, BLUE),
        (encode(two_colours("RGBA"), "WEBP", lossless=True), WHITE, BLUE),
        (palette(0), WHITE, BLUE),
        (palette(bytes([128, 255])), (255, 127, 127), BLUE),
        (palette_with_alpha(), WHITE, BLUE),
        (grey_with_alpha(), WHITE, (100, 100, 100)),
        (colour_as_transparent(), WHITE, BLUE),
        (one_bit(), WHITE, BLACK),
    ],
    ids=[
        "CMYK",
        "alpha",
        "alpha in WebP",
        "palette, one colour transparent",
        "palette, half transparent",
        "palette and alpha",
        "grey and alpha",
        "a colour that means transparent",
        "one bit",
    ],
)
def test_every_kind_of_pixel_becomes_rgb_on_white(
    data: bytes, left: tuple[int, ...], right: tuple[int, ...], at_least: int | None
) -> None:
    image = open_picture(data, at_least).image
    middle_row = image.height // 2
    assert image.mode == "RGB"
    assert image.getpixel((1, middle_row)) == about(*left)
    assert image.getpixel((image.width - 2, middle_row)) == about(*right)


def ramp(dtype: str, top: float) -> Image.Image:
    return Image.fromarray(np.tile(np.linspace(0, top, 64), (64, 1)).astype(dtype))


@pytest.mark.parametrize("at_least", [None, 8], ids=["in full", "reduced"])
@pytest.mark.parametrize(
    "data",
    [
        encode(ramp("uint16", 65535), "PNG"),
        encode(ramp("uint16", 65535), "TIFF"),
        encode(ramp(">u2", 65535), "TIFF"),
        encode(ramp("int32", 65535), "TIFF"),
        encode(ramp("int32", 255), "TIFF"),
        encode(ramp("float32", 1), "TIFF"),
        encode(ramp("float32", 255), "TIFF"),
    ],
    ids=[
        "16 bits, PNG",
        "16 bits, TIFF",
        "16 bits, big-endian",
        "32 bits",
        "32 bits up to 255",
        "float to 1",
        "float to 255",
    ],
)
def test_greys_of_more_than_8_bits_keep_their_range(data: bytes, at_least: int | None) -> None:
    values = np.asarray(open_picture(data, at_least).image)[:, :, 0].astype(int)
    expected = np.linspace(0, 255, values.shape[1])
    assert np.abs(values - expected).max() <= 8


def test_pixels_that_are_not_a_number_do_not_darken_the_others() -> None:
    values = np.full((8, 8), 0.5, np.float32)
    values[0, 0], values[0, 1], values[0, 2] = np.nan, np.inf, -np.inf
    assert middle(encode(Image.fromarray(values), "TIFF")) == about(127, 127, 127)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF", "TIFF", "MPO"])
def test_an_animation_shows_its_first_frame(kind: str) -> None:
    frames = [by_hue(hue, (64, 48)) for hue in (0, 120, 240)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert middle(data) == about(255, 0, 0)


def swapped_profile() -> bytes:
    """Return sRGB's ICC profile with red and green exchanged, under another name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")
    return profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_an_embedded_colour_profile_is_honoured(mode: str) -> None:
    data = encode(by_hue(0).convert(mode), "PNG", icc_profile=swapped_profile())
    assert middle(data) == about(0, 255, 0)


def test_a_large_colour_profile_is_honoured() -> None:
    """Those of presses have 3 MB; what follows what a profile says is nothing to LittleCMS."""
    profile = swapped_profile() + np.random.default_rng(0).bytes(3 * 2**20)
    profile = len(profile).to_bytes(4, "big") + profile[4:]
    assert middle(encode(by_hue(0), "PNG", icc_profile=profile)) == about(0, 255, 0)


def linear_profile(kind: str) -> bytes:
    """Return a profile whose numbers are amounts of light, be it sRGB's with that name, or grey's.

    See ICC.1:2022, 7 and 10.6.
    """
    if kind == "RGB":
        profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        start = profile.index(b"para", 128 + 4 + 12 * int.from_bytes(profile[128:132], "big"))
        return profile[:start] + b"curv" + bytes(8) + profile[start + 12 :]
    d50 = bytes.fromhex("0000f6d6000100000000d32d")
    parts = {
        b"desc": b"desc" + bytes(4) + (12).to_bytes(4, "big") + b"linear grey\0" + bytes(80),
        b"wtpt": b"XYZ " + bytes(4) + d50,
        b"kTRC": b"curv" + bytes(8),
    }
    head = bytes(4) + bytes.fromhex("02100000") + b"mntrGRAYXYZ " + bytes(12) + b"acsp"
    table, at = len(parts).to_bytes(4, "big"), 128 + 4 + 12 * len(parts)
    for name, data in parts.items():
        table += name + at.to_bytes(4, "big") + len(data).to_bytes(4, "big")
        at += len(data)
    head = (at.to_bytes(4, "big") + head + bytes(28) + d50).ljust(128, b"\0")
    return head + table + b"".join(parts.values())


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_numbers_that_are_amounts_of_light_are_made_srgb(mode: str) -> None:
    linear = round(255 * ((128 / 255 + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    picture = Image.new(mode, (40, 40), (linear,) * 3 if mode == "RGB" else linear)
    for factor in (1, 100):  # also of one that is reduced in parts
        data = encode(picture.resize((40 * factor, 40)), "PNG", icc_profile=linear_profile(mode))
        assert middle(data) == about(128, 128, 128)


@pytest.mark.parametrize("mode", ["LA", "L", "RGBA"])
def test_greys_that_are_amounts_of_light_are_made_srgb_where_parts_are_transparent(
    mode: str,
) -> None:
    linear = round(255 * ((128 / 255 + 0.055) / 1.055) ** 2.4)
    picture = Image.new("LA", (40, 40), (linear, 255))
    picture.paste((0, 0), (0, 0, 10, 40))
    picture = picture.convert(mode)
    if mode == "L":
        picture.info["transparency"] = 0
    profile = linear_profile("RGB" if mode == "RGBA" else "L")
    for factor in (1, 100):
        data = encode(picture.resize((40 * factor, 40)), "PNG", icc_profile=profile)
        opened = open_picture(data).image
        assert opened.getpixel((opened.width // 2, 20)) == about(128, 128, 128)
        assert opened.getpixel((5, 20)) == about(255, 255, 255)


def test_a_picture_of_srgb_stays_as_it_is_whoever_wrote_its_profile() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = noise((64, 48))
    opened = open_picture(encode(picture, "PNG", icc_profile=profile)).image
    assert np.array_equal(np.asarray(opened), np.asarray(picture))
    grey = picture.convert("L")
    opened = open_picture(encode(grey, "PNG", icc_profile=profile)).image
    assert np.array_equal(np.asarray(opened), np.asarray(grey.convert("RGB")))


@pytest.mark.parametrize(
    "profile",
    [b"garbage", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()],
    ids=["garbage", "for another kind of pixel"],
)
def test_a_useless_colour_profile_does_not_cost_the_picture(profile: bytes) -> None:
    assert middle(encode(by_hue(120), "JPEG", icc_profile=profile)) == about(0, 255, 0)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "empty"),
        (b"only words in here\n" * 20, "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "not a picture"),
        (encode(by_hue(0), "EPS"), "not a picture"),
        (encode(by_hue(0), "PDF"), "not a picture"),
        (encode(noise((200, 150)), "JPEG")[:2000], "damaged"),
        (encode(noise((200, 150)), "PNG")[:2000], "damaged"),
        (encode(noise((200, 150)), "WEBP")[:500], "."),
        (encode(noise((200, 150)), "HEIF")[:800], "."),
        (encode(noise((200, 150)), "AVIF")[:800], "."),
        (encode(by_hue(0), "JPEG")[:20], "."),
    ],
    ids=[
        "empty",
        "text",
        "SVG",
        "EPS",
        "PDF",
        "half a JPEG",
        "half a PNG",
        "half a WebP",
        "half a HEIC",
        "half an AVIF",
        "the first bytes of a JPEG",
    ],
)
def test_what_cannot_be_read_is_refused_with_a_sentence(
    tmp_path: Path, data: bytes, sentence: str
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for source in (data, path):
        with pytest.raises(PictureError, match=sentence):
            open_picture(source)


def test_a_tiff_of_a_kind_that_cannot_be_read_is_not_called_damaged() -> None:
    picture, sentence = Image.new("YCbCr", (32, 24), (120, 90, 140)), "^This kind of TIFF cannot be"
    with pytest.raises(PictureError, match=sentence):
        open_picture(encode(picture, "TIFF"))
    assert open_picture(encode(picture, "TIFF", compression="tiff_lzw")).image.size == (32, 24)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "HEIF", "AVIF"])
@pytest.mark.filterwarnings("ignore")  # decoders complain of what they find
def test_damaged_bytes_give_a_picture_or_a_sentence_and_nothing_else(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = encode(noise((60, 40)), kind, exif=exif)
    generator = np.random.default_rng(7)
    refused = 0
    for _ in range(60):
        damaged = np.frombuffer(whole, np.uint8).copy()
        places = generator.integers(0, min(len(damaged), 400), 12)
        damaged[places] = generator.integers(0, 256, len(places))
        try:
            assert open_picture(damaged.tobytes(), max_pixels=10**6).image.mode == "RGB"
        except PictureError:
            refused += 1
    assert refused > 0


def test_a_file_that_is_gone_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="not there"):
        open_picture(tmp_path / "gone.png")


def test_a_file_that_may_not_be_opened_is_refused_with_a_sentence(unprivileged: Path) -> None:
    path = unprivileged / "closed.png"
    by_hue(0).save(path)
    path.chmod(0)
    with pytest.raises(PictureError, match="permissions"):
        open_picture(path)


def png_that_claims(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header names that size; decoding it fails."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(100)))
        + chunk(b"IEND", b"")
    )


def gif_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encode(by_hue(0), "GIF"))
    struct.pack_into("<HH", data, 6, width, height)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [png_that_claims(60_000, 60_000), gif_that_claims(60_000, 60_000)],
    ids=["PNG", "GIF"],
)
def test_a_small_file_that_would_fill_the_memory_is_refused_before_it_is_decoded(
    data: bytes,
) -> None:
    assert len(data) < 10_000
    tracemalloc.start()
    try:
        with pytest.raises(PictureError, match=r"3,600 megapixels; at most 200 .*smaller copy"):
            open_picture(data)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("side", [160, 224, 448])
@pytest.mark.parametrize("size", [(4032, 3024), (6000, 4000), (9000, 700), (800, 620), (300, 200)])
@pytest.mark.parametrize("kind", ["JPEG", "BMP"])
def test_a_reduced_picture_is_not_smaller_than_what_the_network_looks_at(
    kind: str, size: tuple[int, int], side: int
) -> None:
    how = Preprocessing(side, "squash", "bilinear", side)
    image = open_picture(encode(by_hue(0, size), kind), scale_for(how)).image
    assert min(image.size) >= min(side, *size)


def test_the_largest_number_of_pixels_is_allowed_and_one_row_more_is_not() -> None:
    data = encode(by_hue(0, (100, 50)), "PNG")
    assert open_picture(data, max_pixels=5000).width == 100
    with pytest.raises(PictureError, match="megapixels"):
        open_picture(data, max_pixels=4999)


@pytest.mark.parametrize("size", [(MAX_SIDE, 1), (1, MAX_SIDE)], ids=["wide", "tall"])
def test_the_longest_side_is_allowed_and_one_pixel_more_is_not(size: tuple[int, int]) -> None:
    assert open_picture(encode(by_hue(0, size), "PNG"), 8).width == size[0]
    longer = (size[0] + (size[0] > 1), size[1] + (size[1] > 1))
    with pytest.raises(PictureError, match="262,145 pixels long"):
        open_picture(encode(by_hue(0, longer), "PNG"), 8)


def static(mode: str, size: tuple[int, int] = (101, 67)) -> Image.Image:
    """Return a picture of which no two pixels are alike."""
    values = np.random.default_rng(3).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def levels(dtype: str, low: float, high: float) -> Image.Image:
    return Image.fromarray(np.random.default_rng(4).uniform(low, high, (67, 101)).astype(dtype))


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


PALETTE = static("RGB").quantize(64)


@pytest.mark.parametrize("at_least", [None, 6, 16], ids=["in full", "a fifth", "a half"])
@pytest.mark.parametrize(
    "data",
    [
        encode(static("RGB"), "PNG", exif=turned()),
        encode(static("RGB"), "PNG", icc_profile=swapped_profile()),
        encode(static("RGBA"), "PNG", icc_profile=swapped_profile(), exif=turned()),
        encode(static("LA"), "PNG"),
        encode(static("1"), "PNG"),
        encode(static("CMYK"), "TIFF"),
        encode(PALETTE, "PNG", transparency=3),
        encode(PALETTE, "PNG", transparency=bytes(range(0, 256, 4))),
        encode(levels("uint16", 0, 60_000), "PNG"),
        encode(levels(">u2", 0, 60_000), "TIFF"),
        encode(levels("int32", -500, 90_000), "TIFF"),
        encode(levels("float32", -3, 700), "TIFF"),
    ],
    ids=[
        "turned",
        "another profile",
        "alpha, another profile, turned",
        "grey and alpha",
        "one bit",
        "CMYK",
        "palette, one colour transparent",
        "palette and alpha",
        "16 bits",
        "16 bits, big-endian",
        "32 bits",
        "float",
    ],
)
def test_a_large_picture_is_converted_in_tiles_to_the_very_same_pixels(
    data: bytes, at_least: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = np.asarray(open_picture(data, at_least).image)
    for pixels in (900, 60):  # strips of whole rows, and parts of rows
        monkeypatch.setattr(conversion, "TILE", pixels)
        assert np.array_equal(np.asarray(open_picture(data, at_least).image), whole)


def test_all_tiles_of_a_grey_picture_have_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(-500, 90_000, (40, 30)).astype(np.int32)
    monkeypatch.setattr(conversion, "TILE", 100)
    opened = open_picture(encode(Image.fromarray(values), "TIFF")).image
    low, high = values.min(), values.max()
    expected = ((values.astype(np.float32) - low) * (255 / (high - low))).round()
    assert np.array_equal(np.asarray(opened)[..., 1], expected)


@pytest.mark.parametrize(
    ("size", "reduced"),
    [
        ((2048, 512), (1024, 256)),  # up to 4:1 the short side alone decides
        ((2100, 255), (1050, 128)),  # a panorama, whose long side is much more than anybody sees
        ((8000, 100), (8000, 100)),  # its short side is hardly what a network looks at
        ((60, 8000), (60, 8000)),
    ],
    ids=str,
)
def test_the_long_side_of_a_panorama_counts_too(
    size: tuple[int, int], reduced: tuple[int, int]
) -> None:
    picture = open_picture(encode(by_hue(0, size), "PNG"), at_least=128)
    assert picture.image.size == reduced
    assert (picture.width, picture.height) == size


MEASURED = """
import sys
from pathlib import Path
from retrieval.images import open_picture
from tests.memory import peak_megabytes
at_least = int(sys.argv[2]) or None
open_picture(Path(sys.argv[1]).with_suffix(".small.png"), 8)  # what is loaded once
before = peak_megabytes()
picture = open_picture(Path(sys.argv[1]), at_least)
print(peak_megabytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="others round the memory of a process")
@pytest.mark.parametrize(
    ("mode", "size", "at_least", "copies"),
    [
        # How many times the picture as it was decoded: itself, its upright copy, the result.
        ("I;16", (6000, 4000), 640, 1),  # 48 MB
        ("RGBA", (16_000, 1_270), 640, 1.25),  # 81 MB; the rest likewise
        ("RGBA", (4500, 4500), 0, 2),
        ("RGBA turned", (4500, 4500), 0, 2),
        ("P", (9000, 9000), 640, 1),
    ],
    ids=["16 bits", "a panorama with alpha", "alpha in full", "alpha, turned", "palette"],
)
def test_a_large_picture_takes_little_more_memory_than_its_pixels(
    mode: str, size: tuple[int, int], at_least: int, copies: float, tmp_path: Path
) -> None:
    for name, (width, height) in {"a.png": size, "a.small.png": (9, 9)}.items():
        image = Image.new(mode.split()[0], (width, height), 1 if mode == "P" else None)
        if mode.startswith("RGBA"):
            image.paste((9, 99, 200, 128), (0, 0, width // 2, height))
        if mode == "P":
            image.putpalette([255, 0, 0, 0, 0, 255])
        image.save(tmp_path / name, exif=turned() if "turned" in mode else b"", compress_level=1)
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "a.png"), str(at_least)]
    megabytes = float(subprocess.check_output(command, cwd=PROJECT, text=True))
    decoded = size[0] * size[1] * {"I;16": 2, "P": 1}.get(mode, 4) / 2**20
    assert megabytes < copies * decoded + 70  # for the tiles


SAID = """
import json, sys
from pathlib import Path
from retrieval import images
from tests.memory import peak_megabytes
check, said = images.check_memory, []
def listen(*given):
    said.append(check(*given) / 2**20)
    return said[-1]
images.check_memory = listen
folder = Path(sys.argv[1])
images.open_picture(folder / "small")
before = peak_megabytes()
images.open_picture(folder / "large")
print(json.dumps([said[-1], peak_megabytes() - before]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="others round the memory of a process")
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGBA", {"compress_level": 1, "exif": b"turned"}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("WEBP", "RGBA", {"lossless": True, "method": 0, "quality": 0}),
        ("HEIF", "RGB", {"chroma": 444}),
        ("HEIF", "RGBA", {"chroma": 444}),
        ("HEIF", "I;16", {}),
        ("AVIF", "RGB", {"subsampling": "4:4:4", "speed": 10}),
        ("AVIF", "RGBA", {"subsampling": "4:4:4", "speed": 10}),
        ("TIFF", "F", {"compression": "tiff_lzw", "strip_size": 2**30}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decoding_takes_no_more_memory_than_is_said_before(
    kind: str, mode: str, options: dict[str, Any], tmp_path: Path
) -> None:
    options = {**options, "exif": turned()} if "exif" in options else options
    for name, size in {"large": (3000, 2000), "small": (1600, 1400)}.items():
        (tmp_path / name).write_bytes(encode(Image.new(mode, size), kind, **options))
    command = [sys.executable, "-c", SAID, str(tmp_path)]
    said, taken = json.loads(subprocess.check_output(command, cwd=PROJECT, text=True))
    assert taken < said + 8


# --- small copies ---


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 500), (320, 160)),
        ((500, 1000), (160, 320)),
        ((20, 10), (20, 10)),
        ((9000, 1), (320, 1)),
    ],
    ids=["wide", "tall", "small", "strip"],
)
def test_a_thumbnail_is_a_jpeg_that_keeps_the_shape_and_is_never_enlarged(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = Image.open(io.BytesIO(thumbnail(by_hue(60, size), 320)))
    assert (small.format, small.size) == ("JPEG", expected)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 500), (320, 160)),
        ((1200, 400), (320, 107)),
        ((3000, 500), (640, 107)),
        ((400, 6000), (64, 960)),
        ((9000, 1), (960, 1)),
        ((500, 20), (500, 20)),
    ],
    ids=["usual", "three to one", "wide", "tall", "strip", "small"],
)
def test_a_collection_keeps_more_of_a_panorama(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    jpeg = thumbnail_to_keep(noise(size, 1))
    assert Image.open(io.BytesIO(jpeg)).size == expected
    assert len(jpeg) < 60_000


ADDRESS = b"Grandma's house, Elm St 4"


@pytest.mark.parametrize(
    "data",
    [
        encode(by_hue(60), "JPEG", comment=ADDRESS),
        encode(by_hue(60, (3000, 2000)), "JPEG", comment=ADDRESS),
        encode(by_hue(60), "GIF", comment=ADDRESS),
        encode(by_hue(60), "GIF", comment=ADDRESS * 2700),  # more than a JPEG's may have
        encode(by_hue(60), "HEIF", xmp=ADDRESS),
        encode(by_hue(60), "PNG", icc_profile=ADDRESS),
    ],
    ids=["JPEG", "large JPEG", "GIF", "GIF with a long one", "HEIC", "profile"],
)
def test_what_is_said_of_a_picture_is_not_in_what_is_saved_of_it(data: bytes) -> None:
    image = open_picture(data).image
    assert image.info == {}
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        assert ADDRESS not in encode(image, kind)
    assert ADDRESS not in thumbnail(image, 320)


def test_a_thumbnail_has_no_comment_whoever_made_the_picture() -> None:
    image = by_hue(60)
    image.info["comment"] = ADDRESS * 2700
    assert ADDRESS not in thumbnail(image, 320)
    assert image.info["comment"]


def test_a_jpeg_loses_its_words_and_keeps_its_pixels() -> None:
    exif = Image.Exif()
    exif[0x010E] = ADDRESS.decode()
    plain, said = (
        encode(noise((64, 48)), "JPEG", **more)
        for more in ({}, {"comment": ADDRESS, "exif": exif, "xmp": ADDRESS})
    )
    assert said.count(ADDRESS) == 3
    assert without_words(said) == without_words(plain) == plain


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0" * 9, encode(by_hue(0), "PNG")],
)
def test_what_is_no_whole_jpeg_stays_as_it_is(data: bytes) -> None:
    assert without_words(data) == data


# --- odd but valid ---


def tiff(bits: int, inverted: bool) -> bytes:
    """A greyscale TIFF of so many bits a sample, 40x30, from black to white or the other way."""
    values = np.linspace(0, 2**bits - 1, 40 * 30).round().astype("<u2")
    data = values.tobytes()
    if bits == 12:  # two samples in three bytes
        a, b = values[::2], values[1::2]
        parts = (a >> 4, (a & 15) << 4 | b >> 8, b & 255)
        data = np.stack(parts, axis=1).astype(np.uint8).tobytes()
    tags = {256: 40, 257: 30, 258: bits, 259: 1, 262: 0 if inverted else 1, 277: 1, 278: 30}
    begin = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags |= {273: begin, 279: len(data)}
    entries = (struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    listed = struct.pack("<H", len(tags)) + b"".join(entries) + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8) + listed + data


@pytest.mark.parametrize(
    ("bits", "inverted"),
    [(16, False), (16, True), (12, False)],
    ids=["16 bits", "16 bits, white is zero", "12 bits"],
)
def test_greyscale_of_many_bits_is_as_light_as_it_was_meant(bits: int, inverted: bool) -> None:
    shown = np.asarray(open_picture(tiff(bits, inverted)).image)[..., 0].reshape(-1)
    expected = np.linspace(255, 0, 1200) if inverted else np.linspace(0, 255, 1200)
    np.testing.assert_allclose(shown, expected, atol=1)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_colour_that_is_transparent_leaves_no_rim_where_a_picture_is_reduced(mode: str) -> None:
    key = 0 if mode == "L" else (0, 0, 0)
    picture = Image.new(mode, (400, 400), "white")
    picture.paste(key, (0, 0, 401, 203))  # a border that lies within a block
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=key)
    shown = np.asarray(open_picture(buffer.getvalue(), 40).image)
    assert shown.shape[0] < 400
    assert shown.min() >= 250  # white on white; the key colour averaged in would be grey


def test_large_pictures_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.images.LARGE_BYTES", 8 * 400)
    monkeypatch.setattr("retrieval.images._ROOM", Room(2 * 8 * 441))
    small, large = (encode(noise((side, side)), "PNG") for side in (20, 21))
    running: list[int] = []
    most: list[int] = []
    to_rgb, together = conversion.to_rgb, threading.Barrier(4)

    def slow(image: Image.Image, *given: Any) -> Image.Image:
        running.append(1)
        if image.size == (20, 20):
            together.wait(60)
        else:
            time.sleep(0.05)
        most.append(len(running))
        running.pop()
        return to_rgb(image, *given)

    monkeypatch.setattr("retrieval.images.to_rgb", slow)
    for data, expected in ((large, 2), (small, 4)):
        most.clear()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(open_picture, [data] * 4))
        assert max(most) == expected
