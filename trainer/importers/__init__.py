"""Importers of third-party checkpoints: state dicts of other trainers as cgt generators.

Steps of an import:

file_reader.py     bytes of the file, without executing any code in it
state_dicts.py     the state dicts in it, by name
layer_graph.py     a state dict as convolutions in order of execution
resnet.py, unet.py their architecture as a GeneratorConfig, with the evidence for it
weight_mapping.py  their tensors under the names of cgt, strictly
diagnostics.py     a test image, to check that the result translates

conventions.py has what names tell: project conventions, directions, domains and options.
importer.py runs these steps; inspect_checkpoint.py reports them for `cgt inspect`.
"""
