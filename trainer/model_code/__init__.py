"""Networks built by the code of other projects (`--code FILE.py:CLASS`).

loader.py      imports the file and calls the class
weights.py     loads a checkpoint into the network, strictly
interface.py   tries images to find channels, sizes, outputs and value range
generator.py   these steps in sequence: a `TrainedGenerator`
comparison.py  the same file as read by the importer, compared with their code
"""
