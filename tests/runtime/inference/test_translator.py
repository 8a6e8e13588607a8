"""The Translator: sizes, arrays of any strides, invalid models and images."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from cgt.runtime import Translator, pack, resize, unpack
from cgt.runtime.errors import ModelError, UsageError
from cgt.runtime.models.metadata import METADATA_KEY, ModelMetadata
from conftest import make_image, write_inverse_model


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_equals_the_network_itself(run_folder: Path, tiny_model: Path, engine: str) -> None:
    import torch

    from cgt.trainer.checkpoint import load_checkpoint

    network = load_checkpoint(run_folder / "latest.pth").load_generator("AtoB")
    image = make_image(3, 64, 96)
    with torch.no_grad():
        expected = unpack(network(torch.from_numpy(pack(image))[None])[0].numpy())
    with Translator(tiny_model, engine=engine, size="source") as translator:
        output = translator(image)
        limit = 2 if translator.engine.precision == "fp32" else 12  # bf16 has 8 bits
    assert output.shape == image.shape
    assert output.dtype == np.uint8
    assert np.abs(output.astype(int) - expected).max() <= limit


def test_odd_sides_are_padded_and_cropped(tiny_model: Path) -> None:
    image = make_image(0, 61, 99)
    with Translator(tiny_model, engine="onnxruntime", size="source") as translator:
        odd = translator(image)
        whole = translator(np.pad(image, ((0, 3), (0, 1), (0, 0)), mode="reflect"))
    assert odd.shape == (61, 99, 3)
    np.testing.assert_array_equal(odd, whole[:61, :99])


def test_the_default_size_is_that_of_the_model(tiny_model: Path) -> None:
    with Translator(tiny_model) as translator:  # trained at 32
        assert translator(make_image(0, 48, 96)).shape == (32, 64, 3)
    with Translator(tiny_model, size=(40, 48)) as translator:
        assert translator(make_image(0, 48, 96)).shape == (40, 48, 3)


def test_two_engines_agree(tiny_model: Path) -> None:
    image = make_image(1, 64, 64)
    results = []
    for engine in ("openvino", "onnxruntime"):
        with Translator(tiny_model, engine=engine, size="source") as translator:
            results.append(translator(image).astype(int))
    assert np.abs(results[0] - results[1]).mean() < 2


def test_an_image_of_another_type_is_refused(tiny_model: Path) -> None:
    with Translator(tiny_model) as translator:
        for bad in (
            np.zeros((32, 32, 3), np.float32),
            np.zeros((32, 32), np.uint8),
            np.zeros((32, 32, 4), np.uint8),
            np.zeros((0, 32, 3), np.uint8),
        ):
            with pytest.raises(UsageError):
                translator(bad)


def test_a_network_with_another_output_size_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """Halve the size, as the first layer of a classifier does."""
    node = onnx.helper.make_node(
        "AveragePool", ["image"], ["small"], kernel_shape=[2, 2], strides=[2, 2]
    )
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "halves",
        [value("image", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [value("small", onnx.TensorProto.FLOAT, ["n", 3, "a", "b"])],
    )
    path = tmp_path / "halves.onnx"
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, path)
    for engine in ("openvino", "onnxruntime"):
        with pytest.raises(ModelError, match=r"halves\.onnx"):
            Translator(path, engine=engine)


def test_a_network_that_outputs_nan_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny_model)
    weights = model.graph.initializer[0]
    array = onnx.numpy_helper.to_array(weights).copy()
    array[...] = np.nan
    weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))
    path = tmp_path / "nan.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="outputs NaN or infinity"):
        Translator(path, engine="onnxruntime")


@pytest.mark.parametrize("size", [(32, 48), (30, 45)])
def test_a_network_with_uint8_tensors(tmp_path: Path, size: tuple[int, int]) -> None:
    """Resize and pad by reflection, without conversion to floats."""
    path = write_inverse_model(tmp_path / "m.onnx")
    image = make_image(0, 64, 96)
    with Translator(path, size=size) as translator:
        output = translator(image)
        buffers = translator._buffers((64, 96))
    # Pillow's resize rounds twice, packing once.
    small = np.rint((pack(image, size).transpose(1, 2, 0) + 1) * 127.5)
    assert np.abs(255.0 - output - small).max() <= 1
    assert np.abs(255.0 - output - resize(image, size)).max() <= 1
    padding = ((0, -size[0] % 4), (0, -size[1] % 4), (0, 0))
    np.testing.assert_array_equal(buffers.batch[0], np.pad(255 - output, padding, "reflect"))


def test_returned_images_are_not_overwritten(tmp_path: Path) -> None:
    """Internal arrays are reused, returned ones are not."""
    path = write_inverse_model(tmp_path / "m.onnx")
    with Translator(path, size="source", frame_size=(32, 32)) as translator:
        first = translator(make_image(0, 32, 32))
        kept = first.copy()
        translator(make_image(5, 32, 32))
    np.testing.assert_array_equal(first, kept)


def test_the_output_may_have_another_size(tiny_model: Path) -> None:
    image = make_image(0, 48, 96)
    with Translator(tiny_model, output_size="source", frame_size=(48, 96)) as translator:
        assert translator(image).shape == (48, 96, 3)
        assert translator.geometry.image_size == (32, 64)
        assert translator.geometry.sample_aspect_ratio == 1
    with Translator(tiny_model, output_size=(60, 60), frame_size=(48, 96)) as translator:
        assert translator(image).shape == (60, 60, 3)
        assert translator.geometry.sample_aspect_ratio == 2  # a pixel is twice as wide as high


@pytest.mark.parametrize("size", [None, (32, 40)])
@pytest.mark.parametrize("side", ["h", 32])
def test_images_of_unknown_sizes_may_keep_them(
    tmp_path: Path, size: tuple[int, int] | None, side: int | str
) -> None:
    path = write_inverse_model(tmp_path / "m.onnx", side, 40 if side == 32 else "w")
    with Translator(path, size=size, output_size="source", engine="onnxruntime") as translator:
        for height, width in ((64, 96), (50, 120), (200, 33)):
            image = np.zeros((height, width, 3), np.uint8)
            image[:, : width // 2] = 200
            translated = translator(image)
            assert translated.shape == image.shape
            assert np.abs(translated.astype(int) - (255 - image)).mean() < 6


def test_a_model_of_one_size_keeps_the_aspect_of_each_image(tmp_path: Path) -> None:
    path = write_inverse_model(tmp_path / "m.onnx", 32, 32)
    with Translator(path, engine="onnxruntime") as translator:
        assert translator(make_image(0, 64, 96)).shape == (32, 48, 3)
        assert translator(make_image(0, 90, 45)).shape == (64, 32, 3)
        assert translator(make_image(0, 64, 64)).shape == (32, 32, 3)
    with Translator(path, engine="onnxruntime", size=(32, 32)) as translator:
        assert translator(make_image(0, 64, 96)).shape == (32, 32, 3)


def test_a_model_of_large_multiples_pads_and_crops(tmp_path: Path) -> None:
    path = write_inverse_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    metadata = ModelMetadata(size=(64, 64), dynamic=True, multiple=64, io="uint8")
    onnx.helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.save(model, path)
    image = make_image(0, 128, 200)
    with Translator(path, engine="onnxruntime") as translator:
        assert np.abs(255.0 - translator(image) - resize(image, (64, 100))).max() <= 1
    with Translator(path, engine="onnxruntime", size="source") as translator:
        for size in ((128, 200), (30, 100), (20, 20)):
            image = np.full((*size, 3), 70, np.uint8)
            np.testing.assert_array_equal(translator(image), 255 - image)


def test_batches_are_checked(tiny_model: Path) -> None:
    with Translator(tiny_model, frame_size=(32, 32), batch=2) as translator:
        image = make_image(0, 32, 32)
        assert len(translator.translate_batch([image, image])[0]) == 2
        for bad in ([], [image] * 3, [image, make_image(0, 32, 48)]):
            with pytest.raises(UsageError):
                translator.translate_batch(bad)


ANY_STRIDES = {
    "BGR to RGB": lambda image: image[..., ::-1],
    "flipped vertically": lambda image: image[::-1],
    "flipped horizontally": lambda image: image[:, ::-1],
    "rotated": lambda image: np.rot90(image),
    "every second pixel": lambda image: image[::2, ::2],
    "cropped": lambda image: image[3:40, 5:50],
    "planar": lambda image: np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0),
    "column-major": lambda image: np.asfortranarray(image),
    "broadcast": lambda image: np.broadcast_to(image[:1], image.shape),
    "one channel repeated": lambda image: np.broadcast_to(image[..., :1], image.shape),
    "RGB of RGBA": lambda image: np.dstack([image, image[..., :1]])[..., :3],
    "one column": lambda image: image[:, ::-4][:, :1],
    "read-only": lambda image: np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape),
}


@pytest.mark.parametrize("name", ANY_STRIDES)
@pytest.mark.parametrize("io", ["float", "uint8"])
def test_images_may_have_any_strides(tmp_path: Path, tiny_model: Path, io: str, name: str) -> None:
    path = tiny_model if io == "float" else write_inverse_model(tmp_path / "m.onnx")
    image = ANY_STRIDES[name](make_image(2, 64, 80))
    original = image.copy()
    with Translator(path, engine="onnxruntime", size=(32, 40)) as translator:
        np.testing.assert_array_equal(translator(image), translator(original))
        np.testing.assert_array_equal(translator.translate_batch([image])[0][0], translator(image))
    np.testing.assert_array_equal(image, original)


def test_deflicker_accepts_any_strides(tiny_model: Path, stream_model: Path) -> None:
    frames = [make_image(index, 64, 80) for index in range(3)]
    for path in (tiny_model, stream_model):
        results = []
        for images in (
            [frame[::-1, :, ::-1] for frame in frames],
            [f[::-1, :, ::-1].copy() for f in frames],
        ):
            with Translator(path, engine="onnxruntime", size="source", deflicker=0.5) as translator:
                results.append([translator(image) for image in images])
        np.testing.assert_array_equal(*results)


def test_exported_triton_models_of_version_0_1_0_run(tmp_path: Path) -> None:
    """Their model.py has this import, these keywords and this call."""
    from cgt.runtime.preprocess import U8

    path = write_inverse_model(tmp_path / "m.onnx")
    image: U8 = make_image(0, 32, 48)
    with Translator(
        path, engine="onnxruntime", frame=(32, 48), size=(32, 48), goal="throughput"
    ) as translator:
        assert translator.geometry.image_size == (32, 48)
        assert translator.workers >= 1
        np.testing.assert_array_equal(translator.timed([image])[0][0], 255 - image)
