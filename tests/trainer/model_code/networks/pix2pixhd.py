"""Generator in the style of pix2pixHD (Wang et al. 2018): a global network and its enhancer."""

from __future__ import annotations

from functools import partial

from torch import nn


def get_norm_layer(kind):
    return partial(nn.BatchNorm2d, affine=True) if kind == "batch" else nn.InstanceNorm2d


class ResnetBlock(nn.Module):
    def __init__(self, dim, norm_layer):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(dim, dim, 3),
            norm_layer(dim),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(dim, dim, 3),
            norm_layer(dim),
        )

    def forward(self, x):
        return x + self.conv_block(x)


class GlobalGenerator(nn.Module):
    def __init__(self, input_nc, output_nc, ngf, n_downsampling, n_blocks, norm_layer):
        super().__init__()
        model = [nn.ReflectionPad2d(3), nn.Conv2d(input_nc, ngf, 7), norm_layer(ngf), nn.ReLU(True)]
        for i in range(n_downsampling):
            width = ngf * 2**i
            model += [nn.Conv2d(width, width * 2, 3, 2, 1), norm_layer(width * 2), nn.ReLU(True)]
        width = ngf * 2**n_downsampling
        model += [ResnetBlock(width, norm_layer) for _ in range(n_blocks)]
        for i in range(n_downsampling):
            width = ngf * 2 ** (n_downsampling - i)
            model += [nn.ConvTranspose2d(width, width // 2, 3, 2, 1, 1)]
            model += [norm_layer(width // 2), nn.ReLU(True)]
        model += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, output_nc, 7), nn.Tanh()]
        self.model = nn.Sequential(*model)

    def forward(self, input):
        return self.model(input)


class LocalEnhancer(nn.Module):
    def __init__(self, input_nc=3, output_nc=3, ngf=4, norm="instance"):
        super().__init__()
        norm_layer = get_norm_layer(norm)
        whole = GlobalGenerator(input_nc, output_nc, ngf * 2, 2, 2, norm_layer).model
        self.model = nn.Sequential(*[whole[i] for i in range(len(whole) - 3)])
        self.model1_1 = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(input_nc, ngf, 7),
            norm_layer(ngf),
            nn.ReLU(True),
            nn.Conv2d(ngf, ngf * 2, 3, 2, 1),
            norm_layer(ngf * 2),
            nn.ReLU(True),
        )
        self.model1_2 = nn.Sequential(
            ResnetBlock(ngf * 2, norm_layer),
            nn.ConvTranspose2d(ngf * 2, ngf, 3, 2, 1, 1),
            norm_layer(ngf),
            nn.ReLU(True),
            nn.ReflectionPad2d(3),
            nn.Conv2d(ngf, output_nc, 7),
            nn.Tanh(),
        )
        self.downsample = nn.AvgPool2d(3, stride=2, padding=[1, 1], count_include_pad=False)

    def forward(self, input):
        coarse = self.model(self.downsample(input))
        return self.model1_2(self.model1_1(input) + coarse)


def define_G(input_nc, output_nc, ngf, netG, norm="instance"):  # noqa: N802
    if netG == "global":
        return GlobalGenerator(input_nc, output_nc, ngf, 2, 2, get_norm_layer(norm))
    return LocalEnhancer(input_nc, output_nc, ngf, norm)
