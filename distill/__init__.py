"""A small network that answers as a large one does (Hinton et al. 2015).

photos.py      which images, and which are held out
teacher.py     the large network: its answers, and what it sees on the way
targets.py     its answers as files
data.py        batches of both;  recolouring.py: in other colours;  pasting.py: of two photos
losses.py      how far two pictures, or two features, are apart
quantising.py  INT8 in training as it will be in the exported graph
judge.py       the discriminator that the teacher learned with
adapter.py     the student's features beside the teacher's
content.py     which pictures show anything
explained.py   the share of the teacher's change that is the student's, too
pruning.py     a student that begins as its teacher: channels.py chooses, solver.py solves
               (leastsquares.py) one layer after the other (layerwise.py)
distillation.py  the step;  run.py: steps in a folder
family.py      students by what they cost;  report.py: what one is worth
"""
