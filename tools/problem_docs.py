"""What each problem code means: one paragraph a code, from which docs/problems.md is made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

#: The group of what is known only once the text has been read; `data/findings.py` says it.
READ: Final = "What reading the text tells"
_GROUPS: Final[dict[str, dict[str, str]]] = {
    "The YAML itself": {
        "yaml-syntax": "YAML cannot be read at this place. The message says what stands in the way; most often it is a "
        "text that needs quotes around it, because it holds `: `, starts with a sign such as `@` or `%`, or has a "
        "backslash. Everything else in the file is checked all the same.",
        "yaml-missing-colon": "Every line is `name: value`, or a section's `name:`, or a comment after `#`. This line "
        "has text and no colon.",
        "yaml-missing-space": "YAML takes `name: value` with a space behind the colon. `hidden_dim:64` is one word to "
        "it.",
        "yaml-dash": "A line that begins with a dash is an item of a list. A section holds `name: value` lines "
        "without dashes.",
        "yaml-conflict": "A merge by git or another tool could not decide between two versions and has written both, "
        "between lines of `<<<<<<<`, `=======` and `>>>>>>>`. Keep what is right and remove those lines.",
        "yaml-markdown": "The file holds a line such as ```` ```yaml ````, with which Markdown begins and ends code. "
        "It was copied along from a page or a chat.",
        "yaml-indentation": "Keys that belong to one section start in the same column, usually two spaces in. A line "
        "that starts elsewhere belongs to no section, and YAML gives up.",
        "yaml-tab": "YAML does not allow tabs at the start of a line. Use spaces; most editors can be told to write "
        "spaces when the tab key is pressed.",
        "yaml-unclosed": "A quote or a bracket that opens here is not closed on the way to the end of the section.",
        "yaml-character": "The file holds a character that YAML forbids, such as NUL or half of a surrogate pair. It "
        "is usually invisible, and comes from copying or from a file saved in another encoding. Remove it; files are "
        "UTF-8. A no-break space, which web pages and word processors put in place of a space, is a letter to YAML.",
        "yaml-alias": "`*name` stands for a value that was named with `&name` further up, and `<<: *name` takes over "
        "the keys of a mapping. Here there is no such value, or it would contain itself.",
        "yaml-key": "A key must be a name. YAML also allows lists and mappings as keys, which mean nothing here.",
        "yaml-tag": "Tags such as `!!python/tuple` or `!mine` have no meaning in a config. Write the plain value.",
        "yaml-several-documents": "A line `---` in the middle of a file starts a second YAML document. A config is one "
        "document, so what follows is not read.",
        "yaml-too-deep": "A config has three levels: sections, keys, and for `mesh_shape` a list. This one is nested "
        "dozens of levels deep, which is surely not meant.",
        "yaml-too-large": "A config is a page of text. This file has more than 200,000 characters, so it was not read.",
        "not-a-config": "The file is YAML, but not made of sections. A config starts with lines such as "
        "`model_config:`, with indented `name: value` lines below each.",
        "empty-config": "The file says nothing, so everything has its default. That is allowed, and rarely meant.",
    },
    "Names": {
        "unknown-section": "No section has this name. The sections are model_config, training_config, device_config, "
        "data_config, output_config and sampling_config. What stands below a misspelt name is checked as if it were "
        "spelt right.",
        "not-a-section": "This name is a section's, and what follows it is a single value or a list. Write the "
        "section's keys below it, indented by two spaces.",
        "unknown-key": "Nothing reads a key of this name, so the value would silently have no effect. Correct the "
        "name, or remove the line. Names that other tools use for the same thing are recognised and suggested.",
        "misplaced-key": "The key exists, in another section. Move it there.",
        "duplicate-key": "The same name stands twice in one section (or the same section twice in the file). YAML "
        "readers disagree about which one counts, so neither is trusted: keep one.",
        "doubled-key": "Two names of one setting are both given, with the same value. That is harmless, until somebody "
        "changes one of them. `checkpoint_frequency` is another name of `save_interval`, `validation_frequency` of "
        "`eval_interval`, and `use_wandb` of `tracking`.",
        "contradicting-keys": "Two names of one setting are both given, with different values. Nothing can tell which "
        "one is meant: keep that one.",
        "other-name": "The key has another name everywhere else in Trickster. The one in the file works as well.",
        "retired-key": "The key comes from an older kind of config and decides nothing any more: checkpoints are "
        "always written by steps, and the log is always complete. It can be removed.",
        "unused-key": "The key has a good value, but another key decides that it plays no part: `label_smoothing` only "
        "counts with `loss: label_smoothing`, for example.",
    },
    "Values": {
        "missing-value": "There is nothing behind the colon. Write a value, or remove the line: a key that is left out "
        "has its default.",
        "wrong-type": "The value is of another kind than the key takes: a text instead of a number, say. Quotes make a "
        "text of anything. Numbers are written as in YAML 1.2, so `3e-4` is a number, and `10k` and `1_000` are texts; "
        "only `true` and `false` are truth values, `yes` and `no` are texts.",
        "unknown-value": "The key takes one of a few words, and this is none of them.",
        "out-of-range": "The number is smaller or larger than the key allows. The message gives the limit.",
        "whole-number": "The key counts things. The value is a whole number, but not written as one (`1e4`, `16.0`).",
        "leading-zero": "A number that starts with 0 means different things to different YAML readers: older ones take "
        "`010` for eight. Write it without the zero.",
        "yaml-boolean-word": "Words such as `yes`, `no`, `on` and `off` are texts in YAML 1.2, and truth values for "
        "older readers. Quotes make it mean one thing everywhere.",
    },
    "The model": {
        "heads-divide-dim": "Attention shares the width of the model out among its heads, so `hidden_dim` must be "
        "divisible by `num_heads`: 256 and 8 make heads of 32.",
        "head-dim-even": "Rotary positions turn the numbers of each head in pairs, so `hidden_dim / num_heads` must be "
        "even.",
        "kv-heads-divide-heads": "In grouped-query attention every key/value head serves the same number of query "
        "heads, so `num_heads` must be divisible by `num_kv_heads`. Left out, there are as many of one as of the "
        "other.",
    },
    "Training": {
        "warmup-too-long": "The learning rate climbs for `warmup_steps` and then falls until `max_steps`. With as much "
        "warm-up as training it would never come down. A tenth of `max_steps` is usual.",
        "curve-too-short": "`lr_decay_steps` says where the learning rate is back down at `min_learning_rate`, and "
        "`lr_restart_step` where it warms up again. The last warm-up (`warmup_steps` long) must end before the way "
        "down does.",
        "min-rate-above-rate": "`min_learning_rate` is where the curve ends after its way down from `learning_rate`, "
        "so it cannot be higher.",
        "rate-very-high": "With a rate this high the loss usually jumps or becomes NaN. Often a decimal has slipped.",
        "interval-longer-than-run": "Something that happens every so many steps would not happen before the end.",
        "patience-too-long": "Early stopping waits for more evaluations without progress than the run has.",
        "effective-batch": "`batch_size x gradient_accumulation_steps` sequences stand behind each update. With very "
        "few the updates are mostly chance; with millions of tokens a small model learns more slowly than it could.",
        "no-clipping": "`grad_clip: 0` lets every gradient through, however long. One bad batch can then undo a run.",
    },
    "Devices": {
        "mesh-without-ddp": "`mesh_shape` names several devices, but without `enable_ddp` only one of them would work.",
        "ddp-on-one-device": "Data-parallel training shares the batch out among devices, and there is only one.",
        "batch-divides-devices": "`batch_size` is the total over all devices, and each gets the same number of "
        "sequences.",
        "mesh-one-row": "Data-parallel training runs on a line of devices: `[1, 2]`, `[1, 4]`. On Tenstorrent boards a "
        "mesh with several rows opens, and hangs in the second step.",
        "mesh-of-one-device": "An Apple computer has one GPU, so `mesh_shape` is `[1, 1]`. On a processor several "
        "processes may share the cores.",
        "sharding-on-one-device": "With `sharding: full` the devices hold the model together, and there is only one.",
        "sharding-needs-adamw": "Muon turns each matrix as a whole, and with `sharding: full` each device holds some "
        "of its rows. AdamW works on every number by itself.",
        "tt-sharding": "`sharding: full` is torch's. On Tenstorrent boards each chip holds the whole model.",
        "tt-activation-checkpointing": "Computing blocks a second time to save memory is torch's. On Tenstorrent "
        "boards a smaller `batch_size` with more `gradient_accumulation_steps` saves memory.",
        "tt-multiple-of-32": "A Tenstorrent core computes on tiles of 32 x 32 numbers. Widths, the vocabulary and the "
        "context must be multiples of 32; with another context length the backward pass of attention stops the "
        "program.",
        "tt-head-dim": "On a Tenstorrent board each head's width, `hidden_dim / num_heads`, must be a multiple of 32 "
        "and at most 256.",
        "tt-loss": "ttml, the library that trains on Tenstorrent boards, has plain cross-entropy as its one loss for "
        "language models.",
        "tt-norm-eps": "ttml's RMSNorm adds the constant 1e-5 before it takes the root, whatever a config says. A "
        "checkpoint that says otherwise would be another model elsewhere.",
        "tt-precision": "A Tenstorrent board keeps weights and computes in bf16, so `precision: fp32` has no effect "
        "there.",
    },
    "Text and files": {
        "vocabulary-too-small": "The tokenizer makes more tokens than `vocab_size` has room for: `byte` needs 256, and "
        "`bpe` needs more than that, because it starts from the 256 bytes.",
        "vocabulary-not-used": "`tokenizer: byte` makes 256 tokens. Further rows of the vocabulary are never read or "
        "written, and cost parameters.",
        "one-half-of-prepared-text": "`train_data` and `val_data` go together: one is learned from, the other "
        "measures.",
        "tokenizer-of-tensors": "The lesson's train.pt holds tokens, not text, and the tokenizer.pt beside it says "
        "what they stand for. `char` and `bpe` are made from text, so they are not used.",
        "corpus-not-found": "The file or folder is not there now. Paths are relative to the folder of the config. "
        "Training would stop with an error.",
        "corpus-too-short": "The text does not even hold one sequence of `max_seq_len` tokens and the token after it, "
        "once the held-out part is taken off.",
        "corpus-no-text": "The folder holds no file that is taken as text, and the message lists what it holds "
        "instead. Taken are regular files with the ending of a text or of source code, in subfolders as well. Left out "
        "are hidden files and folders, links to folders, other endings, and what Trickster itself has written: runs, "
        "checkpoints, logs and configs. A single file may have any name: write its path.",
        "corpus-name-built-in": "`shakespeare` and `python` name the texts that come with Trickster or with Python, "
        "also where a file or folder of that name lies beside the config. Write `./shakespeare` for the folder; rename "
        "it where the built-in text is meant and this warning disturbs.",
        "validation-too-short": "The validation text holds fewer tokens than one sequence of `max_seq_len` and the "
        "token after it, so that what is measured on it would be chance. Use more text, a larger `val_fraction` or a "
        "shorter `max_seq_len`.",
        "corpus-small": "The text is so small that a model can do little but memorise it: the run would read it "
        "more than 40 times, beyond which repeating teaches nothing new, and the model has more than ten parameters "
        "for each byte of it. Bring more text; or take a smaller model, fewer `max_steps`, and let "
        "`early_stopping_patience` end the run in time. Training is allowed: learning by heart is worth seeing once.",
        "validation-in-training": "Validation text that is trained on as well rewards memorising: its loss falls "
        "although nothing general is learned. It happens with several copies of one document in a folder, with a "
        "header in every file, and with `train_data` and `val_data` that are the same. Measured is the share of the "
        "validation text's windows of 50 bytes, at every position, that the training text has as well; long texts are "
        "represented by even portions. From 5 % it is a warning, from 90 % training is refused.",
        "output-not-a-folder": "Runs are written into a folder, and a file of this name is in the way.",
        "empty-prompt": "The model continues a text, and there is none. Give at least one character.",
    },
    READ: {
        "vocabulary-not-filled": "`bpe` merges pairs that occur at least twice, and this text has too few of them to "
        "fill `vocab_size` rows; or `char` has fewer characters than rows. Rows that no token uses cost parameters and "
        "are never trained, and the uniform baseline, ln `vocab_size`, counts them. The message has the number that "
        "fits.",
        "line-ends": "Files from Windows end a line with two characters, CR and LF, and those of old Macs with CR "
        "alone. Kept, a CR is a token that the model learns to write. `line_ends: lf` reads every line end as one LF "
        "and changes no file.",
        "text-repeats": "More than half of the training text's windows of 50 bytes have come before in it: there are "
        "copies in it, or it was made by a formula.",
        "corpus-binary": "A file has a zero byte, which text never has. A PDF, a word processor's file or an archive "
        "has to be exported as text first.",
        "corpus-not-utf8": "A file is in another encoding than UTF-8. The message says where, and how to convert it.",
        "corpus-unreadable": "A file or folder exists and may not be read, or the disk fails.",
        "corpus-changed": "A file was written to while it was read. Try again once nothing writes to it.",
        "corpus-empty": "The text is empty.",
        "corpus-is-the-config": "`corpus` names the config itself. Name a text file, or a folder of text files.",
        "corpus-is-a-run": "`corpus` names the folder of a run. What Trickster has written is not read as text.",
        "corpus-not-a-file": "`corpus` names a device, a pipe or the like. Name a text file, or a folder of them.",
        "corpus-wrong-sum": "The file in `TRICKSTER_CORPUS_DIR` is not the Tiny Shakespeare that is expected.",
        "unknown-characters": "The text has characters that its tokenizer does not know.",
        "tokenizer-unknown": "`tokenizer` is byte, char, bpe, or the path of the lesson's tokenizer.pt.",
        "data-file-wrong": "A file of the lesson, such as train.pt, holds something else than its tokens.",
        "data-file-damaged": "A file of the lesson, such as train.pt, cannot be read as one that torch saved.",
        "data-file-unsafe": "A file of the lesson could run code when it is opened, so it is not.",
    },
}

PROBLEM_GROUPS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(_GROUPS)
PROBLEM_DOCS: Final[Mapping[str, str]] = MappingProxyType(
    {code: text for group in _GROUPS.values() for code, text in group.items()}
)
