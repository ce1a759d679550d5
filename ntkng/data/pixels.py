"""Images as files hold them: pixels between 0 and 1, channels last."""

from __future__ import annotations

import numpy as np

from ntkng.data.labels import class_labels


def unit_pixels(where: str, images: np.ndarray) -> np.ndarray:
    """Pixels between 0 and 1: bytes from 0 to 255 are divided by 255, numbers that lie between 0 and 1 are left alone.

    Raises:
        ValueError: another range, of which one cannot know what it means; naming it.
    """
    if images.dtype.kind not in "fiub":
        raise ValueError(f"{where} has pixels of dtype {images.dtype}, expected numbers; save them as uint8")
    smallest, largest = float(images.min()), float(images.max())
    if not (smallest >= 0 and largest <= 255):  # NaN fails, too
        raise ValueError(
            f"{where} has pixels from {smallest:g} to {largest:g}, expected 0 to 255, or 0 to 1; bring them into one of these ranges"
        )
    if largest <= 1:
        return images.astype(float)
    if images.dtype.kind == "f" and (images % 1 != 0).any():
        raise ValueError(
            f"{where} has fractional pixels from {smallest:g} to {largest:g}: neither bytes from 0 to 255 nor numbers from 0 to 1; "
            "divide them by their largest possible value"
        )
    return images.astype(float) / 255.0


def channels_last(where: str, images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """`[n, height, width, channels]`; channels first are transposed, grey images may lack the axis or be flat.

    Raises:
        ValueError: no images, or of another shape, or flat ones with several channels, whose order is not known.
    """
    height, width, channels = shape
    each = images.shape[1:]
    if len(images) == 0 or images.ndim < 2:
        raise ValueError(
            f"{where} holds no images, got shape {list(images.shape)}; expected [n, {height}, {width}, {channels}]"
        )
    if each == shape:
        return images
    if each == (channels, height, width):
        return images.transpose(0, 2, 3, 1)
    if channels == 1 and each in ((height, width), (height * width,)):
        return images.reshape(-1, *shape)
    fix = (
        "in flat images of several channels the order of channels is not known: reshape them before saving"
        if each == (height * width * channels,)
        else "download it again"
    )
    raise ValueError(f"{where} has images of shape {list(each)}, expected {list(shape)}; {fix}")


def labelled(where: str, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images with pixels between 0 and 1, and as many labels `[n]`; some packages keep labels as a column `[n, 1]`."""
    labels = labels[:, 0] if labels.shape == (len(labels), 1) else labels
    if labels.ndim == 1 and len(labels) != len(images):
        raise ValueError(
            f"{where} has {len(images)} images of shape {list(images.shape[1:])} with {len(labels)} labels, expected one label each; "
            "pass the labels of these images, or download the files again"
        )
    return unit_pixels(where, images), class_labels(f"labels of {where}", labels)
