"""The EXIF tags that are kept: an allow-list, with what each tag may hold.

docs/metadata.md has the same list for readers, and a test compares them. The numbers and the
names are those of Exif 3.0, TIFF 6.0 and Windows (the tags from 0x4746 to 0x9C9F).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pyfd._core.metadata.text import LONG, SHORT, is_code, is_encoded, is_text, kept

# TIFF's types (TIFF 6.0, section 2; 13 is the offset of a directory, 129 text in UTF-8)
BYTE, ASCII, SHORT_INT, LONG_INT, UNDEFINED, UTF8 = 1, 2, 3, 4, 7, 129
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
INTEGERS = frozenset({1, 3, 4, 6, 8, 9})
NUMBERS = INTEGERS | {5, 10, 11, 12}
TEXTS = frozenset({ASCII, UTF8})

EXIF_POINTER, GPS_POINTER, INTEROP_POINTER = 0x8769, 0x8825, 0xA005
ORIENTATION = 0x0112
#: Tags that change places when an image is transposed: sizes and resolutions.
TRANSPOSED = {
    0x0100: 0x0101,
    0x011A: 0x011B,
    0xA002: 0xA003,
    0xA20E: 0xA20F,
    0x1001: 0x1002,
}
TRANSPOSED |= {second: first for first, second in TRANSPOSED.items()}
#: Tags about places and directions in the image, which are wrong once it is turned: the chroma
#: subsampling, and the subject's area and location.
STORED = frozenset({0x0212, 0x9214, 0xA214})


class Tag(NamedTuple):
    """What a tag may hold; all other values are left out."""

    name: str
    kinds: frozenset[int]
    """The TIFF types that it may have."""
    least: int
    most: int
    """The least and the most values of numbers, or bytes of anything else."""
    holds: str
    """What it holds, for the documentation."""
    clean: Callable[[bytes, str, int], bytes | None]
    """Return the value to write for bytes in ``struct``'s order and `most`, or None."""

    def fits(self, kind: int, count: int) -> bool:
        """Return whether so many values of a type are allowed. Text may be padded."""
        size = count if self.kinds is NUMBERS else count * SIZES[kind]
        return self.least <= size and (size <= self.most or not self.least)

    @property
    def longest(self) -> int:
        """The bytes of a value to read: of text, one more than is allowed."""
        return 8 * self.most if self.kinds is NUMBERS else self.most + 1


def _same(value: bytes, _order: str, _most: int) -> bytes:
    return value


def _text(value: bytes, _order: str, most: int) -> bytes | None:
    text = kept(value, most)
    return None if text is None else text + b"\0"


def _two_texts(value: bytes, order: str, most: int) -> bytes | None:
    """Return the photographer's copyright, and the editor's behind a NUL if there is one."""
    first, _, second = value.partition(b"\0")
    texts = _text(first, order, most), _text(second.partition(b"\0")[0], order, most)
    if texts[0] is None or texts[1] is None or len(value) > most:
        return None
    return texts[0] if texts[1] == b"\0" else texts[0] + texts[1]


def _coded_text(value: bytes, order: str, most: int) -> bytes | None:
    """Return text behind the eight bytes that name its character code (Exif 3.0, 4.6.6)."""
    code, rest = value[:8], value[8:]
    if code in (b"ASCII\0\0\0", bytes(8)):
        text = kept(rest)
    elif code == b"UNICODE\0":
        text = _utf16(rest)
        # Many writers use the other byte order than the block's
        text = text if any(_is_utf16(text, f"utf-16-{end}") for end in ("le", "be")) else None
    elif code == b"JIS\0\0\0\0\0":
        text = _jis(rest.rstrip(b"\0"))
    else:  # some writers leave the code out
        return _text(value, order, most)
    return None if text is None else code + text


def _jis(value: bytes) -> bytes | None:
    try:
        text = value.decode("iso2022_jp")
    except UnicodeDecodeError:
        return None
    same = text.encode("iso2022_jp") == value
    # Pairs of letters are Kanji, so hexadecimal could pass for Japanese
    return value if same and is_text(text) and not is_encoded(value.decode("latin-1")) else None


def _windows_text(value: bytes, _order: str, _most: int) -> bytes | None:
    text = _utf16(value)
    return text + bytes(2) if _is_utf16(text, "utf-16-le") else None


def _utf16(value: bytes) -> bytes:
    """Return the pairs of bytes before the first pair of zeros."""
    value = value[: len(value) // 2 * 2]
    end = next((at for at in range(0, len(value), 2) if value[at : at + 2] == bytes(2)), len(value))
    return value[:end]


def _is_utf16(value: bytes, codec: str) -> bool:
    try:
        text = value.decode(codec)
    except UnicodeDecodeError:
        return False
    # Pairs of letters are other letters in UTF-16, so base64 could pass for Chinese
    return is_text(text) and not is_code(value.replace(b"\0", b"").decode("latin-1"))


def _pattern(value: bytes, order: str, _most: int) -> bytes | None:
    """Return a color filter's pattern: its width, its height, and the colors 0 to 6."""
    width, height = (
        int.from_bytes(value[at : at + 2], "little" if order == "<" else "big") for at in (0, 2)
    )
    sizes = {width * height, (width >> 8) * (height >> 8)}  # some writers swap the bytes
    return value if len(value) - 4 in sizes and max(value[4:], default=7) <= 6 else None


# ---- the list ---------------------------------------------------------------


def _number(name: str, least: int = 1, most: int = 0) -> Tag:
    most = most or least
    count = f"{least}" if least == most else f"{least} to {most}"
    plural = "" if most == 1 else "s"
    return Tag(name, NUMBERS, least, most, f"{count} number{plural}", _same)


def _words(name: str, most: int = SHORT) -> Tag:
    return Tag(name, TEXTS, 0, most, f"text, {most}", _text)


def _code(name: str, most: int = 4) -> Tag:
    kinds = frozenset({BYTE, ASCII, UNDEFINED, SHORT_INT})
    plural = "" if most == 1 else "s"
    return Tag(name, kinds, 1, most, f"up to {most} byte{plural}", _same)


def _comment(name: str) -> Tag:
    kinds = TEXTS | {UNDEFINED}
    return Tag(name, kinds, 0, 2 * LONG + 10, f"text with a character code, {LONG}", _coded_text)


def _windows(name: str) -> Tag:
    kinds = frozenset({BYTE, UNDEFINED})
    return Tag(name, kinds, 0, 2 * LONG + 2, f"text in UTF-16, {LONG}", _windows_text)


_COPYRIGHT = Tag("Copyright", TEXTS, 0, LONG, f"one or two texts, {LONG}", _two_texts)
_ORIENTATION = Tag("Orientation", INTEGERS, 1, 4, "a number from 1 to 8", _same)
_CFA = Tag("CFAPattern", frozenset({UNDEFINED}), 5, 68, "a pattern of up to 64 colors", _pattern)

#: The tags of the first directory.
IMAGE: dict[int, Tag] = {
    0x0100: _number("ImageWidth"),
    0x0101: _number("ImageLength"),
    0x0102: _number("BitsPerSample", 1, 4),
    0x0106: _number("PhotometricInterpretation"),
    0x010D: _words("DocumentName"),
    0x010E: _words("ImageDescription", LONG),
    0x010F: _words("Make"),
    0x0110: _words("Model"),
    ORIENTATION: _ORIENTATION,
    0x0115: _number("SamplesPerPixel"),
    0x011A: _number("XResolution"),
    0x011B: _number("YResolution"),
    0x011C: _number("PlanarConfiguration"),
    0x0128: _number("ResolutionUnit"),
    0x0131: _words("Software"),
    0x0132: _words("DateTime", 32),
    0x013B: _words("Artist"),
    0x013C: _words("HostComputer"),
    0x013E: _number("WhitePoint", 2),
    0x013F: _number("PrimaryChromaticities", 6),
    0x0211: _number("YCbCrCoefficients", 3),
    0x0212: _number("YCbCrSubSampling", 2),
    0x0213: _number("YCbCrPositioning"),
    0x0214: _number("ReferenceBlackWhite", 6),
    0x4746: _number("Rating"),
    0x4749: _number("RatingPercent"),
    0x8298: _COPYRIGHT,
    0x9C9B: _windows("XPTitle"),
    0x9C9C: _windows("XPComment"),
    0x9C9D: _windows("XPAuthor"),
    0x9C9E: _windows("XPKeywords"),
    0x9C9F: _windows("XPSubject"),
}

#: The tags of the Exif directory.
EXIF: dict[int, Tag] = {
    0x829A: _number("ExposureTime"),
    0x829D: _number("FNumber"),
    0x8822: _number("ExposureProgram"),
    0x8824: _words("SpectralSensitivity"),
    0x8827: _number("PhotographicSensitivity", 1, 3),
    0x882A: _number("TimeZoneOffset", 1, 2),
    0x882B: _number("SelfTimerMode"),
    0x8830: _number("SensitivityType"),
    0x8831: _number("StandardOutputSensitivity"),
    0x8832: _number("RecommendedExposureIndex"),
    0x8833: _number("ISOSpeed"),
    0x8834: _number("ISOSpeedLatitudeyyy"),
    0x8835: _number("ISOSpeedLatitudezzz"),
    0x9000: _code("ExifVersion"),
    0x9003: _words("DateTimeOriginal", 32),
    0x9004: _words("DateTimeDigitized", 32),
    0x9010: _words("OffsetTime", 32),
    0x9011: _words("OffsetTimeOriginal", 32),
    0x9012: _words("OffsetTimeDigitized", 32),
    0x9101: _code("ComponentsConfiguration"),
    0x9102: _number("CompressedBitsPerPixel"),
    0x9201: _number("ShutterSpeedValue"),
    0x9202: _number("ApertureValue"),
    0x9203: _number("BrightnessValue"),
    0x9204: _number("ExposureBiasValue"),
    0x9205: _number("MaxApertureValue"),
    0x9206: _number("SubjectDistance"),
    0x9207: _number("MeteringMode"),
    0x9208: _number("LightSource"),
    0x9209: _number("Flash"),
    0x920A: _number("FocalLength"),
    0x9214: _number("SubjectArea", 2, 4),
    0x9286: _comment("UserComment"),
    0x9290: _words("SubSecTime", 32),
    0x9291: _words("SubSecTimeOriginal", 32),
    0x9292: _words("SubSecTimeDigitized", 32),
    0x9400: _number("Temperature"),
    0x9401: _number("Humidity"),
    0x9402: _number("Pressure"),
    0x9403: _number("WaterDepth"),
    0x9404: _number("Acceleration"),
    0x9405: _number("CameraElevationAngle"),
    0xA000: _code("FlashpixVersion"),
    0xA001: _number("ColorSpace"),
    0xA002: _number("PixelXDimension"),
    0xA003: _number("PixelYDimension"),
    0xA004: _words("RelatedSoundFile", 32),
    0xA20B: _number("FlashEnergy"),
    0xA20E: _number("FocalPlaneXResolution"),
    0xA20F: _number("FocalPlaneYResolution"),
    0xA210: _number("FocalPlaneResolutionUnit"),
    0xA214: _number("SubjectLocation", 2),
    0xA215: _number("ExposureIndex"),
    0xA217: _number("SensingMethod"),
    0xA300: _code("FileSource"),
    0xA301: _code("SceneType"),
    0xA302: _CFA,
    0xA401: _number("CustomRendered"),
    0xA402: _number("ExposureMode"),
    0xA403: _number("WhiteBalance"),
    0xA404: _number("DigitalZoomRatio"),
    0xA405: _number("FocalLengthIn35mmFilm"),
    0xA406: _number("SceneCaptureType"),
    0xA407: _number("GainControl"),
    0xA408: _number("Contrast"),
    0xA409: _number("Saturation"),
    0xA40A: _number("Sharpness"),
    0xA40C: _number("SubjectDistanceRange"),
    0xA420: _words("ImageUniqueID", 40),
    0xA430: _words("CameraOwnerName"),
    0xA431: _words("BodySerialNumber"),
    0xA432: _number("LensSpecification", 4),
    0xA433: _words("LensMake"),
    0xA434: _words("LensModel"),
    0xA435: _words("LensSerialNumber"),
    0xA436: _words("ImageTitle"),
    0xA437: _words("Photographer"),
    0xA438: _words("ImageEditor"),
    0xA439: _words("CameraFirmware"),
    0xA43A: _words("RAWDevelopingSoftware"),
    0xA43B: _words("ImageEditingSoftware"),
    0xA43C: _words("MetadataEditingSoftware"),
    0xA460: _number("CompositeImage"),
    0xA461: _number("SourceImageNumberOfCompositeImage", 2),
    0xA500: _number("Gamma"),
}

#: The tags of the interoperability directory.
INTEROP: dict[int, Tag] = {
    0x0001: _words("InteroperabilityIndex", 32),
    0x0002: _code("InteroperabilityVersion"),
    0x1000: _words("RelatedImageFileFormat", 32),
    0x1001: _number("RelatedImageWidth"),
    0x1002: _number("RelatedImageLength"),
}

#: The tags of the GPS directory.
GPS: dict[int, Tag] = {
    0x0000: _code("GPSVersionID"),
    0x0001: _words("GPSLatitudeRef", 32),
    0x0002: _number("GPSLatitude", 3),
    0x0003: _words("GPSLongitudeRef", 32),
    0x0004: _number("GPSLongitude", 3),
    0x0005: _code("GPSAltitudeRef", 1),
    0x0006: _number("GPSAltitude"),
    0x0007: _number("GPSTimeStamp", 3),
    0x0008: _words("GPSSatellites"),
    0x0009: _words("GPSStatus", 32),
    0x000A: _words("GPSMeasureMode", 32),
    0x000B: _number("GPSDOP"),
    0x000C: _words("GPSSpeedRef", 32),
    0x000D: _number("GPSSpeed"),
    0x000E: _words("GPSTrackRef", 32),
    0x000F: _number("GPSTrack"),
    0x0010: _words("GPSImgDirectionRef", 32),
    0x0011: _number("GPSImgDirection"),
    0x0012: _words("GPSMapDatum"),
    0x0013: _words("GPSDestLatitudeRef", 32),
    0x0014: _number("GPSDestLatitude", 3),
    0x0015: _words("GPSDestLongitudeRef", 32),
    0x0016: _number("GPSDestLongitude", 3),
    0x0017: _words("GPSDestBearingRef", 32),
    0x0018: _number("GPSDestBearing"),
    0x0019: _words("GPSDestDistanceRef", 32),
    0x001A: _number("GPSDestDistance"),
    0x001B: _comment("GPSProcessingMethod"),
    0x001C: _comment("GPSAreaInformation"),
    0x001D: _words("GPSDateStamp", 32),
    0x001E: _number("GPSDifferential"),
    0x001F: _number("GPSHPositioningError"),
}
