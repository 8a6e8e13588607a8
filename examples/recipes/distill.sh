#!/usr/bin/env bash
# Trains students of two teachers and exports them as INT8 models: photo to Monet, and photo to
# vintage print (vintage.onnx).
#
#     bash examples/recipes/distill.sh monet|vintage [FOLDER]
#
# An interrupted run resumes. CGT_DATA is the folder of the datasets.
# monet takes 90 minutes of two cores, 70 of them for the teacher. MONET is the checkpoint of any
# teacher that translates photos to paintings; by default this script trains one.
# vintage takes three hours of one core. Its teacher is the generator of the package vintagify
# (MIT, pip install --no-deps).
set -euo pipefail
which=$1 folder=${2:-runs}
photos=(--data "$CGT_DATA/monet2photo/trainB" --data "$CGT_DATA/horse2zebra/trainA"
    --data "$CGT_DATA/horse2zebra/trainB")

# distill NAME TEACHER FLAG...: train the student FOLDER/NAME.pth
distill() {
    local name=$1 teacher=$2
    shift 2
    if [ -e "$folder/$name/latest.pth" ]; then
        cgt distill --resume "$folder/$name.pth" --ckpt "$teacher"
    else
        cgt distill --ckpt "$teacher" "$@" "${photos[@]}" --batch-size 2 -o "$folder/$name.pth"
    fi
}

# export_int8 NAME: export the student FOLDER/NAME.pth as FOLDER/NAME.onnx
export_int8() {
    cgt export --ckpt "$folder/$1.pth" --int8 --calib "$CGT_DATA/monet2photo/trainB" \
        --calib-frames 128 -o "$folder/$1.onnx"
}

mkdir -p "$folder"
case $which in
monet)
    teacher=${MONET:-$folder/monet-teacher/latest.pth}
    if [ -z "${MONET:-}" ] && [ -e "$teacher" ]; then
        cgt train --resume "$folder/monet-teacher"
    elif [ -z "${MONET:-}" ]; then
        cgt train --data "$CGT_DATA/monet2photo" --output "$folder/monet-teacher" \
            --generator resnet9 --norm none --learn-residual --upsampling resize --lr 1e-4 \
            --discriminator projected --lambda-cycle 0.7 --lambda-identity 0 \
            --load-size 256 --crop-size 128 --steps 2000 --decay-steps 1300 --ema 0.99
    fi
    # A is Monet, B are photographs.
    distill monet "$teacher" --direction BtoA --target-images "$CGT_DATA/monet2photo/testA" \
        --student pruned:16x9 --crops-per-image 1 --steps 720 --int8-steps 120 --lr 3e-4 --ema 0.98
    export_int8 monet
    ;;
vintage)
    teacher=$(python -c 'import importlib.util as u; print(u.find_spec("vintagify").submodule_search_locations[0])')
    teacher+=/resources/G_A2B_epoch33.pth
    photos+=(--data "$CGT_DATA/facades/trainA")
    distill vintage-first "$teacher" --student pruned:16x9 --crops-per-image 2 \
        --steps 12000 --int8-steps 600
    distill vintage "$teacher" --init-from "$folder/vintage-first.pth" \
        --data "$CGT_DATA/monet2photo/trainA" --crops-per-image 4 \
        --steps 7000 --int8-steps 350 --lr 5e-4
    export_int8 vintage
    ;;
*)
    echo "usage: distill.sh monet|vintage [FOLDER]" >&2
    exit 2
    ;;
esac
