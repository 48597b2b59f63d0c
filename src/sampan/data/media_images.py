"""What a picture is like: size, colors, brightness, sharpness, whether it says where it was taken, and its fingerprint."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

import numpy as np

from sampan.plugins import require

_LOOKED_AT = 256  # pixels of the longer side; a blurred picture is blurred at this size, too
_GPS = 0x8825  # the EXIF block with the position
_MOST_PIXELS = 200_000_000
_WEIGHTS = np.array([1 << np.uint64(i) for i in range(64)], dtype=np.uint64)


def read_image(data: bytes) -> dict[str, Any]:
    """Return a picture's facts; one that is damaged has a `problem`."""
    image_module = require("PIL.Image", extra="media")
    try:
        # Pillow warns of each small fault of a file's metadata; what matters here is whether the picture can be seen.
        with warnings.catch_warnings(action="ignore"), image_module.open(io.BytesIO(data)) as image:
            if image.width * image.height > _MOST_PIXELS:
                return {
                    "problem": f"{image.width} x {image.height} pixels are more than are read",
                    "width": image.width,
                    "height": image.height,
                }
            has_position = bool(image.getexif().get_ifd(_GPS))
            mode, width, height = image.mode, image.width, image.height
            image.draft("L", (_LOOKED_AT, _LOOKED_AT))  # a JPEG is decoded no larger than needed
            gray = _on_white(image, image_module).convert("L")
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, image_module.DecompressionBombError) as cause:
        return {"problem": str(cause).splitlines()[0] or type(cause).__name__}
    small = gray.copy()
    small.thumbnail((_LOOKED_AT, _LOOKED_AT))
    light = np.asarray(small, dtype=np.float64) / 255
    return {
        "problem": "",
        "width": width,
        "height": height,
        "mode": mode,
        "has_position": has_position,
        "brightness": float(light.mean()),
        "contrast": float(light.std()),
        "sharpness": _sharpness(light),
        "fingerprint": _fingerprint(gray, image_module),
    }


def _on_white(image: Any, image_module: Any) -> Any:
    """Return the picture as it is seen on a white page, where parts of it are transparent."""
    if not image.has_transparency_data:
        return image
    seen = image.convert("RGBA")
    return image_module.alpha_composite(image_module.new("RGBA", seen.size, "white"), seen)


def _sharpness(light: np.ndarray) -> float:
    """Return the variance of the Laplacian (J. L. Pech-Pacheco et al. 2000); 0 for a picture of fewer than 3 x 3 pixels."""
    if min(light.shape) < 3:
        return 0.0
    middle = light[1:-1, 1:-1]
    laplacian = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:] - 4 * middle
    return float(laplacian.var())


def _fingerprint(gray: Any, image_module: Any) -> int:
    """Say of 8 x 8 places whether it gets lighter to the right (a difference hash)."""
    light = np.asarray(gray.resize((9, 8), image_module.Resampling.BOX), dtype=np.int16)
    bits = (light[:, 1:] > light[:, :-1]).ravel()
    return int(_WEIGHTS[bits].sum(dtype=np.uint64))
