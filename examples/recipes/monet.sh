#!/usr/bin/env bash
# Trains and exports the bundled model monet.onnx (`make model`). An interrupted run resumes.
set -euo pipefail
run=runs/monet
if [ -e "$run/latest.pth" ]; then
    cgt train --resume "$run"
else
    cgt train --data "$CGT_DATA/monet2photo" --output "$run" \
        --generator resnet6 --ngf 16 --norm none --learn-residual --upsampling resize \
        --discriminator projected --ndf 64 \
        --lambda-cycle 0.7 --lambda-identity 0 \
        --load-size 256 --crop-size 128 --epochs 4 --decay-epochs 4 --ema 0.999
fi
# A is Monet, B are photographs.
cgt export --ckpt "$run/latest.pth" --direction BtoA --int8 --calib "$CGT_DATA/monet2photo/trainB" \
    --calib-frames 128 -o runtime/models/monet.onnx
