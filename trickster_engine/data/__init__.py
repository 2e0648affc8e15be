"""Text in, memory-mapped tokens out: corpora, tokenizers, preparation, batches.

Import what you need from the module that does it; this package imports nothing by itself, so that asking about a
corpus costs neither numpy nor torch.
"""
