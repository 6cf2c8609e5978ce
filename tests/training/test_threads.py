"""A step with threads sharing its pictures: the gradient of the whole batch, in any order of threads."""

from __future__ import annotations

import pytest
import torch

from derain_cli.config import ModelConfig, OptimConfig
from derain_cli.data.loaders import Batch
from derain_cli.model.frozen import FrozenForm
from derain_cli.training.objectives import Supervised
from derain_cli.training.threads import ThreadedStep


@pytest.fixture
def threads():
    """The number of threads of this process is the same afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def model(network):
    return network(ModelConfig(width=4, blocks=2, unshuffle=2)).eval().requires_grad_(True)


def batch(count: int) -> Batch:
    generator = torch.Generator().manual_seed(count)
    return Batch(torch.rand(count, 2, 3, 16, 16, generator=generator), torch.empty(0, 3, 16, 16))


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("count", [1, 5, 6, 7, 10])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("loss", ["l1", "rmse", "log_l1"])
def test_losses_and_gradients_are_those_of_the_batch(model, count, workers, loss, threads):
    objective = Supervised(OptimConfig(loss=loss, rain_weight=0.5), autocast=False)
    form = FrozenForm(model, torch.float32)
    plain = objective(form, batch(count), 0)
    plain.total.backward()
    exact = gradients(model)
    step = ThreadedStep(form, workers)
    ours = step(objective, batch(count), 0)
    found = gradients(model)
    step.close()
    assert float(ours.total) == pytest.approx(float(plain.total.detach()), rel=1e-5)
    assert not ours.total.requires_grad
    assert {k: float(v) for k, v in ours.parts.items()} == pytest.approx(
        {k: float(v) for k, v in plain.parts.items()}, rel=1e-5
    )
    assert found.keys() == exact.keys()
    for name, value in exact.items():
        assert torch.allclose(found[name], value, rtol=1e-3, atol=1e-5 * float(value.abs().max()) + 1e-9), name


def test_the_same_batch_gives_the_same_bits(model, threads):
    objective = Supervised(OptimConfig(loss="rmse"), autocast=False)
    step, rounds = ThreadedStep(FrozenForm(model, torch.bfloat16), 3), []
    for _ in range(6):
        step(objective, batch(9), 0)
        rounds.append(gradients(model))
    step.close()
    for other in rounds[1:]:
        assert all(torch.equal(rounds[0][name], value) for name, value in other.items())


def test_what_goes_wrong_in_a_thread_is_raised(model, threads):
    class Broken(Supervised):
        def __call__(self, *_):
            raise RuntimeError("out of paper")

    step = ThreadedStep(FrozenForm(model, torch.float32), 2)
    with pytest.raises(RuntimeError, match="out of paper"):
        step(Broken(OptimConfig(), autocast=False), batch(6), 0)
    step.close()
