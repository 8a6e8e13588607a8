import torch

from cgt.trainer.methods.image_pool import ImagePool

CPU = torch.device("cpu")


def test_the_pool_keeps_fifty_and_gives_old_ones_half_of_the_time() -> None:
    pool = ImagePool(50, seed=0)
    for index in range(50):
        assert pool.query(torch.full((1, 3, 2, 2), float(index)))[0, 0, 0, 0] == index
    old = 0
    for index in range(50, 2050):
        given = pool.query(torch.full((1, 3, 2, 2), float(index)))[0, 0, 0, 0].item()
        old += given != index
        assert given <= index
    assert len(pool.images) == 50
    assert 0.46 < old / 2000 < 0.54


def test_a_pool_of_none_gives_back() -> None:
    x = torch.rand(2, 3, 2, 2, requires_grad=True)
    given = ImagePool(0, seed=0).query(x)
    assert torch.equal(given, x)
    assert not given.requires_grad


def test_the_pool_resumes() -> None:
    first, second = ImagePool(4, seed=1), ImagePool(4, seed=2)
    batches = torch.rand(40, 1, 3, 2, 2)
    for batch in batches[:20]:
        first.query(batch)
    second.load_state_dict(first.state_dict(), CPU)
    for batch in batches[20:]:
        assert torch.equal(first.query(batch), second.query(batch))
