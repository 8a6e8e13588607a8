"""Parsing of sizes, and the choice of the sizes of a translation."""

from fractions import Fraction
from typing import Literal

import pytest

from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import parse_size, plan_geometry
from cgt.runtime.models.metadata import ModelMetadata

FREE = ModelMetadata(size=(256, 256), dynamic=True, multiple=4)


@pytest.mark.parametrize(
    ("text", "size"),
    [("256", (256, 256)), ("512x256", (256, 512)), ("160X90", (90, 160)), ("source", "source")],
)
def test_sizes_are_parsed_as_width_x_height(text: str, size: object) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "256x", "-4", "0", "1x2x3", "2.5", "99999", "sauce"])
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("frame", "aspect", "image_size"),
    [
        ((480, 854), Fraction(1), (256, 456)),
        ((1080, 1920), Fraction(1), (256, 456)),
        ((1920, 1080), Fraction(1), (456, 256)),
        ((576, 720), Fraction(16, 15), (256, 340)),  # PAL, displayed 768 wide
        ((480, 8), Fraction(1), (15360, 256)),  # too narrow for any network
        ((200, 300), Fraction(4, 3), (200, 400)),  # displayed 400 wide
        ((64, 64), Fraction(1, 8), (2048, 256)),  # 8 pixels wide when displayed
    ],
)
def test_the_default_short_side_is_that_of_the_model(
    frame: tuple[int, int], aspect: Fraction, image_size: tuple[int, int]
) -> None:
    geometry = plan_geometry(frame, FREE, None, aspect, output_size="network")
    assert geometry.image_size == geometry.tensor_size == image_size
    displayed = Fraction(frame[1], frame[0]) * aspect
    assert Fraction(image_size[1], image_size[0]) * geometry.sample_aspect_ratio == displayed
    assert geometry.output_size == image_size


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(16, 15)])
@pytest.mark.parametrize("output_size", [None, "source"])
@pytest.mark.parametrize("metadata", [FREE, ModelMetadata(size=(64, 96))])
def test_the_output_has_the_size_of_the_source(
    metadata: ModelMetadata, output_size: Literal["source"] | None, aspect: Fraction
) -> None:
    for frame in ((480, 854), (1080, 1920), (333, 500), (31, 17)):
        geometry = plan_geometry(frame, metadata, None, aspect, output_size=output_size)
        assert (geometry.output_size, geometry.sample_aspect_ratio) == (frame, aspect)


@pytest.mark.parametrize(
    ("frame", "tensor_size"),
    [((64, 64), (64, 64)), ((256, 300), (256, 300)), ((99, 1001), (100, 1004))],
)
def test_a_source_no_larger_than_the_training_images_keeps_its_size(
    frame: tuple[int, int], tensor_size: tuple[int, int]
) -> None:
    geometry = plan_geometry(frame, FREE)
    assert geometry.image_size == geometry.output_size == frame
    assert geometry.tensor_size == tensor_size


def test_odd_sizes_are_padded_not_rescaled() -> None:
    geometry = plan_geometry((239, 427), FREE, "source")
    assert (geometry.image_size, geometry.tensor_size) == ((239, 427), (240, 428))
    assert geometry.sample_aspect_ratio == 1


def test_a_square_keeps_the_aspect_in_its_pixels() -> None:
    geometry = plan_geometry((480, 640), FREE, (256, 256), output_size="network")
    assert geometry.sample_aspect_ratio == Fraction(4, 3)
    assert plan_geometry((480, 640), FREE, (256, 256)).sample_aspect_ratio == 1


def test_a_fixed_model_takes_its_size_only() -> None:
    fixed = ModelMetadata(size=(64, 96))
    assert plan_geometry((480, 640), fixed).image_size == (64, 96)
    with pytest.raises(UsageError, match="96x64 only"):
        plan_geometry((480, 640), fixed, (128, 128))


@pytest.mark.parametrize(
    ("frame", "aspect", "output_size"),
    [
        ((480, 640), Fraction(1), (64, 86)),
        ((640, 480), Fraction(1), (86, 64)),
        ((576, 720), Fraction(16, 15), (64, 86)),
        ((64, 96), Fraction(1), (64, 96)),
    ],
)
def test_the_output_of_a_fixed_model_keeps_the_aspect(
    frame: tuple[int, int], aspect: Fraction, output_size: tuple[int, int]
) -> None:
    fixed = ModelMetadata(size=(64, 96))
    geometry = plan_geometry(frame, fixed, None, aspect, output_size="network")
    assert geometry.image_size == geometry.tensor_size == (64, 96)
    assert geometry.output_size == output_size
    displayed = Fraction(frame[1], frame[0]) * aspect
    assert Fraction(output_size[1], output_size[0]) * geometry.sample_aspect_ratio == displayed
    same = plan_geometry(frame, fixed, (64, 96), aspect, output_size="network")
    assert same.output_size == (64, 96)
    assert plan_geometry(frame, fixed, output_size="source").output_size == frame


@pytest.mark.parametrize(
    ("frame", "image_size", "tensor_size"),
    [
        ((480, 640), (256, 342), (256, 512)),
        ((1080, 1920), (256, 456), (256, 512)),
        ((640, 480), (342, 256), (512, 256)),
        ((300, 300), (256, 256), (256, 256)),
    ],
)
def test_a_network_of_large_multiples_keeps_the_aspect(
    frame: tuple[int, int], image_size: tuple[int, int], tensor_size: tuple[int, int]
) -> None:
    unet = ModelMetadata(size=(256, 256), dynamic=True, multiple=256)
    geometry = plan_geometry(frame, unet, output_size="network")
    assert (geometry.image_size, geometry.tensor_size) == (image_size, tensor_size)
    assert geometry.output_size == image_size


def test_an_image_that_is_too_small_for_padding_is_scaled_up_and_back() -> None:
    unet = ModelMetadata(size=(256, 256), dynamic=True, multiple=256)
    geometry = plan_geometry((100, 200), unet, "source")
    assert geometry.image_size == (256, 200)
    assert geometry.tensor_size == (256, 256)
    assert geometry.output_size == (100, 200)


@pytest.mark.parametrize("metadata", [FREE, ModelMetadata(size=(256, 256))])
def test_a_long_and_narrow_image_is_refused(metadata: ModelMetadata) -> None:
    with pytest.raises(UsageError, match="4000x10 is too long and narrow"):
        plan_geometry((10, 4000), metadata, output_size="network")
    wide = plan_geometry((10, 4000), metadata, metadata.size)
    assert wide.image_size == metadata.size


def test_a_size_that_is_too_small_is_refused() -> None:
    with pytest.raises(UsageError, match="too small"):
        plan_geometry((480, 640), FREE, (7, 7))
