"""Knowledge distillation: a small student network trained to reproduce a large teacher's outputs.

After Hinton et al. 2015, "Distilling the Knowledge in a Neural Network".

run.py           `cgt distill` from start to finish: select, train, finalize
student_spec.py  parser of `--student`
finalize.py      evaluation of the finished student, its file and its printed report
config.py        settings of a distillation, as flags and as stored in a checkpoint
train.py         a distillation in a run folder: start, resume, save
method.py        one training step
losses.py        image losses, and the feature adapter between student and teacher
teacher.py       the frozen teacher, its discriminator and the cache of its outputs
data.py          photos, held-out photos, and batches of (photo, teacher output)
augment.py       color jitter, CutMix and the test for blank images
qat.py           quantization-aware training for INT8
report.py        quality of a student relative to its teacher
pruning/         initial weights of a student that is a narrow copy of its teacher
search/          the largest student that reaches a frame rate on this machine
"""
