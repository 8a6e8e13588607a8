"""U-Net with attention gates (Oktay et al. 2018) and self-attention at the bottom."""

from __future__ import annotations

import torch
from torch import nn


def conv_block(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class AttentionGate(nn.Module):
    def __init__(self, gate, skip, inner):
        super().__init__()
        self.W_g = nn.Sequential(nn.Conv2d(gate, inner, 1), nn.BatchNorm2d(inner))
        self.W_x = nn.Sequential(nn.Conv2d(skip, inner, 1), nn.BatchNorm2d(inner))
        self.psi = nn.Sequential(nn.Conv2d(inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, g, x):
        return x * self.psi(torch.relu(self.W_g(g) + self.W_x(x)))


class SelfAttention(nn.Module):
    """Self-attention over pixels (Zhang et al. 2019), with a spectral norm."""

    def __init__(self, channels):
        super().__init__()
        self.query = nn.utils.spectral_norm(nn.Conv2d(channels, channels // 4, 1))
        self.key = nn.utils.spectral_norm(nn.Conv2d(channels, channels // 4, 1))
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.full((1,), 0.3))

    def forward(self, x):
        batch, channels, height, width = x.size()
        query = self.query(x).view(batch, -1, height * width).permute(0, 2, 1)
        key = self.key(x).view(batch, -1, height * width)
        attention = torch.softmax(torch.bmm(query, key), dim=-1)
        value = self.value(x).view(batch, -1, height * width)
        out = torch.bmm(value, attention.permute(0, 2, 1)).view(batch, channels, height, width)
        return self.gamma * out + x


class Networks:
    class AttentionUNet(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.pool, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2)
            self.enc1, self.enc2 = conv_block(3, width), conv_block(width, 2 * width)
            self.enc3 = conv_block(2 * width, 4 * width)
            self.attention = SelfAttention(4 * width)
            self.gate2 = AttentionGate(4 * width, 2 * width, width)
            self.gate1 = AttentionGate(2 * width, width, width // 2)
            self.dec2 = conv_block(6 * width, 2 * width)
            self.dec1 = conv_block(3 * width, width)
            self.out = nn.Conv2d(width, 3, 1)

        def forward(self, x):
            first = self.enc1(x)
            second = self.enc2(self.pool(first))
            x = self.up(self.attention(self.enc3(self.pool(second))))
            x = self.up(self.dec2(torch.cat([self.gate2(x, second), x], 1)))
            x = self.dec1(torch.cat([self.gate1(x, first), x], 1))
            return {"fake": torch.tanh(self.out(x))}
