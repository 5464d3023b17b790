"""The XMP properties that are kept: an allow-list of texts and of lists of texts.

docs/metadata.md has the same list for readers, and a test compares them. Not listed, among
others: thumbnails, depth maps and what else holds files; edit histories; identifiers of other
files; and properties that point to parts that a re-quantized file no longer has, such as gain
maps (``hdrgm``, ``Container``) and motion video (``GCamera``). EXIF has the orientation.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from pyfd._core.metadata.text import LONG, SHORT

#: How a property is written: as a text, or as an RDF container of texts.
Form: TypeAlias = Literal["text", "Alt", "Bag", "Seq"]


class Property(NamedTuple):
    """What a property may hold; it is read in any form, and written in this one."""

    form: Form = "text"
    most: int = SHORT
    """The most characters of each text."""
    place: bool = False
    """Whether it says where the picture was taken, and is kept only with "gps"."""


#: The namespaces, and the usual prefix of each.
NAMESPACES = {
    "http://purl.org/dc/elements/1.1/": "dc",
    "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xap/1.0/rights/": "xmpRights",
    "http://ns.adobe.com/photoshop/1.0/": "photoshop",
    "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/": "Iptc4xmpCore",
    "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif",
    "http://ns.adobe.com/exif/1.0/aux/": "aux",
    "http://ns.google.com/photos/1.0/panorama/": "GPano",
}

_TEXT, _LONG_TEXT, _PLACE = Property(), Property(most=LONG), Property(place=True)
_LANGUAGES, _BAG, _SEQ = Property("Alt", LONG), Property("Bag"), Property("Seq")


def _all(form: Property, names: str) -> dict[str, Property]:
    return dict.fromkeys(names.split(), form)


_BY_PREFIX: dict[str, dict[str, Property]] = {
    "dc": {
        **_all(_TEXT, "format identifier source"),
        **_all(_LANGUAGES, "description rights title"),
        **_all(_BAG, "contributor language publisher relation type"),
        "subject": Property("Bag", LONG),  # some writers put all words into one text
        **_all(_SEQ, "creator date"),
        **_all(_PLACE, "coverage"),
    },
    "xmp": _all(_TEXT, "CreateDate CreatorTool Label MetadataDate ModifyDate Nickname Rating"),
    "xmpRights": {
        **_all(_TEXT, "Certificate Marked WebStatement"),
        **_all(_BAG, "Owner"),
        **_all(_LANGUAGES, "UsageTerms"),
    },
    "photoshop": {
        **_all(
            _TEXT,
            "AuthorsPosition CaptionWriter Category Credit DateCreated Headline Source "
            "TransmissionReference Urgency",
        ),
        **_all(_LONG_TEXT, "Instructions"),
        **_all(_BAG, "SupplementalCategories"),
        **_all(_PLACE, "City Country State"),
    },
    "Iptc4xmpCore": {
        **_all(_TEXT, "IntellectualGenre"),
        **_all(_BAG, "Scene SubjectCode"),
        **_all(_LANGUAGES, "AltTextAccessibility ExtDescrAccessibility"),
        **_all(_PLACE, "CountryCode Location"),
    },
    "tiff": {
        **_all(
            _TEXT,
            "Artist DateTime Make Model ResolutionUnit Software XResolution YCbCrPositioning "
            "YResolution",
        ),
        **_all(_LANGUAGES, "Copyright ImageDescription"),
    },
    "exif": {
        **_all(
            _TEXT,
            "ApertureValue BrightnessValue ColorSpace CompressedBitsPerPixel Contrast "
            "CustomRendered DateTimeDigitized DateTimeOriginal DigitalZoomRatio ExifVersion "
            "ExposureBiasValue ExposureIndex ExposureMode ExposureProgram ExposureTime "
            "FileSource FlashEnergy FlashpixVersion FNumber FocalLength FocalLengthIn35mmFilm "
            "FocalPlaneResolutionUnit FocalPlaneXResolution FocalPlaneYResolution GainControl "
            "ImageUniqueID LightSource MaxApertureValue MeteringMode PixelXDimension "
            "PixelYDimension Saturation SceneCaptureType SceneType SensingMethod Sharpness "
            "ShutterSpeedValue SubjectDistance SubjectDistanceRange WhiteBalance",
        ),
        **_all(_SEQ, "ISOSpeedRatings"),
        **_all(_LANGUAGES, "UserComment"),
        **_all(
            _PLACE,
            "GPSAltitude GPSAltitudeRef GPSAreaInformation GPSDestBearing GPSDestBearingRef "
            "GPSDestDistance GPSDestDistanceRef GPSDestLatitude GPSDestLongitude "
            "GPSDifferential GPSDOP GPSHPositioningError GPSImgDirection GPSImgDirectionRef "
            "GPSLatitude GPSLongitude GPSMapDatum GPSMeasureMode GPSProcessingMethod "
            "GPSSatellites GPSSpeed GPSSpeedRef GPSStatus GPSTimeStamp GPSTrack GPSTrackRef "
            "GPSVersionID",
        ),
    },
    "aux": _all(
        _TEXT,
        "Firmware FlashCompensation ImageNumber Lens LensID LensInfo LensSerialNumber "
        "OwnerName SerialNumber",
    ),
    "GPano": _all(
        _TEXT,
        "CroppedAreaImageHeightPixels CroppedAreaImageWidthPixels CroppedAreaLeftPixels "
        "CroppedAreaTopPixels FullPanoHeightPixels FullPanoWidthPixels "
        "InitialHorizontalFOVDegrees InitialViewHeadingDegrees InitialViewPitchDegrees "
        "InitialViewRollDegrees PoseHeadingDegrees PosePitchDegrees PoseRollDegrees "
        "ProjectionType UsePanoramaViewer",
    ),
}

#: The properties by namespace and name.
PROPERTIES: dict[tuple[str, str], Property] = {
    (uri, name): listed
    for uri, prefix in NAMESPACES.items()
    for name, listed in _BY_PREFIX[prefix].items()
}

#: Properties that change places when an image is transposed.
TRANSPOSED: dict[tuple[str, str], tuple[str, str]] = {
    (uri, name): (uri, name.translate(str.maketrans("XY", "YX")))
    for uri, name in PROPERTIES
    if name.endswith(("XResolution", "YResolution", "XDimension", "YDimension"))
}
