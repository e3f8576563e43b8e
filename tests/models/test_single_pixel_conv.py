import copy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from sota_exp.models.single_pixel_conv import MatrixProductConv2d, count_pixels_read, use_matrix_products


def both(**settings):
    """A convolution and the same one as a matrix product, in double precision and train mode."""
    torch.manual_seed(0)
    plain = nn.Conv2d(5, 7, **settings).double()
    return plain, use_matrix_products(copy.deepcopy(plain))


def results(layer, images):
    """Output, and the gradients of its weighted sum by images, weights and bias."""
    images = images.clone().requires_grad_()
    layer.zero_grad()
    output = layer(images)
    (output * torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)).sum().backward()
    return [output.detach(), images.grad, *(each.grad for each in layer.parameters())]


@pytest.mark.parametrize(
    "size, settings",
    [
        ((1, 1), {"kernel_size": 3, "padding": 1}),
        ((1, 1), {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False}),
        ((2, 2), {"kernel_size": 3, "padding": 1, "stride": 2}),
        ((2, 1), {"kernel_size": 3, "padding": 1, "stride": 2}),
        ((1, 1), {"kernel_size": 1}),
        ((2, 2), {"kernel_size": 1, "stride": 2}),
        ((3, 3), {"kernel_size": 3}),
        ((2, 3), {"kernel_size": 7, "padding": 3, "stride": 4}),
        ((1, 2), {"kernel_size": (1, 5), "padding": (0, 2), "stride": (1, 2)}),
        ((2, 2), {"kernel_size": 2, "stride": 2}),
    ],
)
def test_one_pixel_has_the_output_and_gradients_of_the_convolution(size, settings):
    plain, product = both(**settings)
    sides = zip(size, plain.kernel_size, plain.stride, plain.padding, strict=True)
    assert all(count_pixels_read(*side) for side in sides), "the product is what computes it"
    images = torch.randn(4, 5, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for ours, expected in zip(results(product, images), results(plain, images), strict=True):
        assert ours.shape == expected.shape
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_weights_over_the_padding_have_no_gradient():
    _, product = both(kernel_size=3, padding=1)
    gradient = results(product, torch.ones(4, 5, 1, 1, dtype=torch.float64))[2]
    assert gradient[:, :, 1, 1].abs().min() > 0
    gradient[:, :, 1, 1] = 0
    assert not gradient.any()


@pytest.mark.parametrize(
    "size, kernel, stride, padding, expected",
    [
        (1, 3, 1, 1, 1),
        (2, 3, 2, 1, 2),
        (3, 3, 2, 1, 0),
        (2, 3, 1, 1, 0),
        (2, 1, 2, 0, 1),
        (4, 4, 1, 0, 4),
        (2, 3, 1, 0, 0),
    ],
)
def test_it_is_a_product_where_the_output_is_one_pixel(size, kernel, stride, padding, expected):
    assert count_pixels_read(size, kernel, stride, padding) == expected


@pytest.mark.parametrize(
    "train, size", [(False, 1), (True, 2), (True, 5)], ids=["evaluation", "four pixels", "many pixels"]
)
def test_everything_else_is_the_convolution_to_the_bit(train, size):
    plain, product = both(kernel_size=3, padding=1)
    images = torch.randn(4, 5, size, size, dtype=torch.float64)
    assert torch.equal(product.train(train)(images), plain.train(train)(images))


def test_unbatched_and_too_small_images_are_left_to_the_convolution():
    plain, product = both(kernel_size=3, padding=1)
    assert torch.equal(product(torch.ones(5, 1, 1).double()), plain(torch.ones(5, 1, 1).double()))
    with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        both(kernel_size=3)[1](torch.ones(1, 5, 2, 2).double())


def test_groups_dilation_and_other_paddings_are_left_unchanged():
    settings = [{"groups": 2}, {"dilation": 2}, {"padding_mode": "circular"}, {"padding": "same"}]
    layers = nn.Sequential(*(nn.Conv2d(4, 4, 3, **{"padding": 1, **each}) for each in settings))
    assert {type(layer) for layer in use_matrix_products(layers)} == {nn.Conv2d}


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_resnet18_at_32_pixels_has_the_same_gradients(memory_format):
    torch.manual_seed(0)
    plain = torchvision.models.resnet18(num_classes=10).double().to(memory_format=memory_format)
    product = use_matrix_products(copy.deepcopy(plain))
    assert list(product.state_dict()) == list(plain.state_dict())
    assert sum(type(each) is MatrixProductConv2d for each in product.modules()) == 20
    images = torch.randn(8, 3, 32, 32, dtype=torch.float64).contiguous(memory_format=memory_format)
    for network in (plain, product):
        F.cross_entropy(network(images), torch.arange(8)).backward()
    for (name, ours), expected in zip(product.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, expected.grad, rtol=1e-8, atol=1e-10, msg=name)
        assert max(ours.shape[2:], default=1) == 1 or ours.grad.stride() == ours.stride(), (
            name
        )  # fused optimizers need it


def test_under_autocast_it_computes_in_bfloat16():
    product = use_matrix_products(nn.Conv2d(64, 64, 3, padding=1))
    images = torch.randn(16, 64, 1, 1, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16):
        output = product(images)
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), product.eval()(images), rtol=0.02, atol=0.02)
