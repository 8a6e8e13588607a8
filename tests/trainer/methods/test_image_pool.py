"""Tests of the pool of generated images."""

import torch

from cgt.trainer.methods.image_pool import ImagePool

CPU = torch.device("cpu")


def test_pool_returns_older_images_half_of_the_time() -> None:
    pool = ImagePool(50, seed=0)
    for index in range(50):
        assert pool.query(torch.full((1, 3, 2, 2), float(index)))[0, 0, 0, 0] == index
    older = 0
    for index in range(50, 2050):
        returned = pool.query(torch.full((1, 3, 2, 2), float(index)))[0, 0, 0, 0].item()
        older += returned != index
        assert returned <= index
    assert len(pool.images) == 50
    assert 0.46 < older / 2000 < 0.54


def test_empty_pool_returns_its_input() -> None:
    x = torch.rand(2, 3, 2, 2, requires_grad=True)
    returned = ImagePool(0, seed=0).query(x)
    assert torch.equal(returned, x)
    assert not returned.requires_grad


def test_pool_state_round_trips() -> None:
    first, second = ImagePool(4, seed=1), ImagePool(4, seed=2)
    batches = torch.rand(40, 1, 3, 2, 2)
    for batch in batches[:20]:
        first.query(batch)
    second.load_state_dict(first.state_dict(), CPU)
    for batch in batches[20:]:
        assert torch.equal(first.query(batch), second.query(batch))
