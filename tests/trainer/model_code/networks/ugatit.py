"""Generator in the style of U-GAT-IT (Kim et al. 2020): class activation maps, AdaILN."""

from __future__ import annotations

import torch
from torch import nn


class AdaILN(nn.Module):
    """Mixture of instance and layer norm, with scale and shift as inputs."""

    def __init__(self, channels, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.rho = nn.Parameter(torch.full((1, channels, 1, 1), 0.9))

    def forward(self, x, gamma, beta):
        def normalize(dims):
            mean = torch.mean(x, dim=dims, keepdim=True)
            variance = torch.var(x, dim=dims, keepdim=True)
            return (x - mean) / torch.sqrt(variance + self.eps)

        rho = self.rho.expand(x.shape[0], -1, -1, -1)
        out = rho * normalize([2, 3]) + (1 - rho) * normalize([1, 2, 3])
        return out * gamma.unsqueeze(2).unsqueeze(3) + beta.unsqueeze(2).unsqueeze(3)


class AdaILNBlock(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.pad1, self.pad2 = nn.ReflectionPad2d(1), nn.ReflectionPad2d(1)
        self.conv1 = nn.Conv2d(channels, channels, 3, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, bias=False)
        self.norm1, self.norm2 = AdaILN(channels), AdaILN(channels)
        self.relu = nn.ReLU(True)

    def forward(self, x, gamma, beta):
        out = self.relu(self.norm1(self.conv1(self.pad1(x)), gamma, beta))
        return self.norm2(self.conv2(self.pad2(out)), gamma, beta) + x


class ILN(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.norm = AdaILN(channels)
        self.gamma = nn.Parameter(torch.ones(1, channels))
        self.beta = nn.Parameter(torch.zeros(1, channels))

    def forward(self, x):
        return self.norm(x, self.gamma, self.beta)


class Generator(nn.Module):
    """Returns the image, the logits of the class activation maps and the attention map.

    With `light` any size works. Otherwise a linear layer reads all pixels of one size.
    """

    def __init__(self, ngf=8, n_blocks=2, img_size=64, light=False):
        super().__init__()
        self.light = light
        width = ngf * 4
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(3, ngf, 7, bias=False)]
        layers += [nn.InstanceNorm2d(ngf), nn.ReLU(True)]
        for step in (1, 2):
            layers += [nn.ReflectionPad2d(1)]
            layers += [nn.Conv2d(ngf * step, ngf * step * 2, 3, 2, bias=False)]
            layers += [nn.InstanceNorm2d(ngf * step * 2), nn.ReLU(True)]
        self.DownBlock = nn.Sequential(*layers)
        self.gap_fc = nn.Linear(width, 1, bias=False)
        self.gmp_fc = nn.Linear(width, 1, bias=False)
        self.conv1x1 = nn.Conv2d(width * 2, width, 1, bias=True)
        self.relu = nn.ReLU(True)
        pixels = 1 if light else (img_size // 4) ** 2
        self.FC = nn.Sequential(
            nn.Linear(width * pixels, width, bias=False),
            nn.ReLU(True),
            nn.Linear(width, width, bias=False),
            nn.ReLU(True),
        )
        self.gamma = nn.Linear(width, width, bias=False)
        self.beta = nn.Linear(width, width, bias=False)
        self.blocks = [f"UpBlock1_{index + 1}" for index in range(n_blocks)]
        for name in self.blocks:
            setattr(self, name, AdaILNBlock(width))
        up = []
        for step in (4, 2):
            up += [nn.Upsample(scale_factor=2, mode="nearest"), nn.ReflectionPad2d(1)]
            up += [nn.Conv2d(ngf * step, ngf * step // 2, 3, bias=False)]
            up += [ILN(ngf * step // 2), nn.ReLU(True)]
        up += [nn.ReflectionPad2d(3), nn.Conv2d(ngf, 3, 7, bias=False), nn.Tanh()]
        self.UpBlock2 = nn.Sequential(*up)

    def forward(self, input):
        x = self.DownBlock(input)
        gap = nn.functional.adaptive_avg_pool2d(x, 1)
        gap_logit = self.gap_fc(gap.view(x.shape[0], -1))
        gap = x * next(iter(self.gap_fc.parameters())).unsqueeze(2).unsqueeze(3)
        gmp = nn.functional.adaptive_max_pool2d(x, 1)
        gmp_logit = self.gmp_fc(gmp.view(x.shape[0], -1))
        gmp = x * next(iter(self.gmp_fc.parameters())).unsqueeze(2).unsqueeze(3)
        cam_logit = torch.cat([gap_logit, gmp_logit], 1)
        x = self.relu(self.conv1x1(torch.cat([gap, gmp], 1)))
        heatmap = torch.sum(x, dim=1, keepdim=True)
        if self.light:
            x_ = nn.functional.adaptive_avg_pool2d(x, 1)
            x_ = self.FC(x_.view(x_.shape[0], -1))
        else:
            x_ = self.FC(x.view(x.shape[0], -1))
        gamma, beta = self.gamma(x_), self.beta(x_)
        for name in self.blocks:
            x = getattr(self, name)(x, gamma, beta)
        return self.UpBlock2(x), cam_logit, heatmap
