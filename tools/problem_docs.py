"""What each problem code means: one paragraph a code, from which docs/problems.md is made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

#: The group of what is known only once the text has been read; `data/findings.py` says it.
READ: Final = "Reading the text"
_GROUPS: Final[dict[str, dict[str, str]]] = {
    "The YAML itself": {
        "yaml-syntax": "YAML cannot be parsed here. The message gives the cause; most often a text needs quotes, "
        "because it contains `: `, starts with a sign such as `@` or `%`, or has a backslash. The rest of the file is "
        "still checked.",
        "yaml-missing-colon": "Every line is `name: value`, or a section's `name:`, or a comment after `#`. This line "
        "has text and no colon.",
        "yaml-missing-space": "YAML needs a space after the colon: `name: value`. `hidden_dim:64` is one word.",
        "yaml-dash": "A line that begins with a dash is a list item. A section has `name: value` lines without dashes.",
        "yaml-conflict": "A merge by git or another tool could not decide between two versions and wrote both, "
        "between lines of `<<<<<<<`, `=======` and `>>>>>>>`. Keep what is right and remove those lines.",
        "yaml-markdown": "The file contains a line such as ```` ```yaml ````, which Markdown uses to begin and end "
        "code. It was copied from a page or a chat.",
        "yaml-indentation": "Keys that belong to one section start in the same column, usually two spaces in. A line "
        "that starts elsewhere belongs to no section, and YAML cannot parse it.",
        "yaml-tab": "YAML does not allow tabs at the start of a line. Use spaces; most editors can be told to write "
        "spaces when the tab key is pressed.",
        "yaml-unclosed": "A quote or a bracket that opens here is not closed before the end of the section.",
        "yaml-character": "The file contains a character that YAML forbids, such as NUL or half of a surrogate pair. "
        "It is usually invisible, and comes from copying or from a file saved in another encoding. Remove it; files "
        "are UTF-8. A no-break space, which web pages and word processors put in place of a space, counts as a letter "
        "in YAML.",
        "yaml-alias": "`*name` stands for a value that was named with `&name` further up, and `<<: *name` copies the "
        "keys of a mapping. Here there is no such value, or it would contain itself.",
        "yaml-key": "A key must be a name. YAML also allows lists and mappings as keys, which mean nothing here.",
        "yaml-tag": "Tags such as `!!python/tuple` or `!mine` have no meaning in a config. Write the plain value.",
        "yaml-several-documents": "A line `---` in the middle of a file starts a second YAML document. A config is one "
        "document, so what follows is not read.",
        "yaml-too-deep": "A config has three levels: sections, keys, and for `mesh_shape` a list. This one is nested "
        "dozens of levels deep, which must be a mistake.",
        "yaml-too-large": "A config is a page of text. This file has more than 200,000 characters, so it was not read.",
        "not-a-config": "The file is YAML, but not made of sections. A config starts with lines such as "
        "`model_config:`, with indented `name: value` lines below each.",
        "empty-config": "The file is empty, so every key has its default. That is allowed, and rarely intended.",
    },
    "Names": {
        "unknown-section": "No section has this name. The sections are model_config, training_config, device_config, "
        "data_config, output_config, sampling_config and alerts_config. The keys below a misspelt name are "
        "checked as if it were spelt correctly.",
        "not-a-section": "This name is a section's, and what follows it is a single value or a list. Write the "
        "section's keys below it, indented by two spaces.",
        "unknown-key": "There is no key of this name, so the value would have no effect. Correct the name, or remove "
        "the line. Names that other tools use for the same thing are recognised and suggested.",
        "misplaced-key": "The key exists, in another section. Move it there.",
        "duplicate-key": "The same name occurs twice in one section (or the same section twice in the file). YAML "
        "readers disagree about which one counts: keep one.",
        "doubled-key": "Two names of one key are both set, to the same value. That is harmless until somebody changes "
        "one of them. `checkpoint_frequency` is another name of `save_interval`, `validation_frequency` of "
        "`eval_interval`, and `use_wandb` of `tracking`.",
        "contradicting-keys": "Two names of one key are set to different values. Keep the one you mean.",
        "other-name": "The key usually has another name in Trickster. The one in the file works too.",
        "retired-key": "The key comes from older configs and has no effect any more: checkpoints are always written "
        "by steps, and the log is always complete. It can be removed.",
        "unused-key": "The key has a valid value, but no effect because of another key: `label_smoothing` only takes "
        "effect with `loss: label_smoothing`, for example.",
    },
    "Values": {
        "missing-value": "There is no value after the colon. Write one, or remove the line: a key that is omitted has "
        "its default.",
        "wrong-type": "The value has the wrong type, for example a string instead of a number. Quotes make any value "
        "a string. Numbers are written as in YAML 1.2, so `3e-4` is a number, and `10k` and `1_000` are strings; only "
        "`true` and `false` are booleans, `yes` and `no` are strings.",
        "unknown-value": "The key accepts one of a few words, and this is not one of them.",
        "out-of-range": "The number is smaller or larger than the key allows. The message gives the limit.",
        "whole-number": "The key counts things. The value is a whole number, but not written as one (`1e4`, `16.0`).",
        "leading-zero": "A number that starts with 0 means different things to different YAML readers: older ones "
        "read `010` as eight. Write it without the zero.",
        "yaml-boolean-word": "Words such as `yes`, `no`, `on` and `off` are strings in YAML 1.2 and booleans for "
        "older readers. With quotes every reader agrees.",
    },
    "The model": {
        "heads-divide-dim": "Attention divides the width of the model among its heads, so `hidden_dim` must be "
        "divisible by `num_heads`: 256 and 8 give head_dim 32.",
        "head-dim-even": "Rotary embeddings rotate the numbers of each head in pairs, so head_dim, `hidden_dim / "
        "num_heads`, must be even.",
        "kv-heads-divide-heads": "In grouped-query attention every key/value head serves the same number of query "
        "heads, so `num_heads` must be divisible by `num_kv_heads`. By default both are the same.",
    },
    "Training": {
        "warmup-too-long": "The learning rate climbs for `warmup_steps` and then falls until `max_steps`. With as "
        "many warm-up steps as training steps it would never fall. A tenth of `max_steps` is usual.",
        "curve-too-short": "`lr_decay_steps` says where the learning rate is back down at `min_learning_rate`, and "
        "`lr_restart_step` where it warms up again. The last warm-up (`warmup_steps` long) must end before the decay "
        "does.",
        "min-rate-above-rate": "`min_learning_rate` is the end of the decay from `learning_rate`, so it cannot be "
        "higher.",
        "rate-very-high": "With such a high learning rate the loss usually jumps or becomes NaN. Check the decimal "
        "point.",
        "interval-longer-than-run": "This interval is longer than the run, so the event would only happen at the end.",
        "patience-too-long": "Early stopping waits for more evaluations without improvement than the run has.",
        "effective-batch": "`batch_size x gradient_accumulation_steps` sequences make up each update. With very few, "
        "updates are mostly noise; with millions of tokens a small model learns more slowly than it could.",
        "no-clipping": "`grad_clip: 0` switches gradient clipping off. One bad batch can then ruin a run.",
    },
    "Devices": {
        "mesh-without-ddp": "`mesh_shape` names several devices, but without `enable_ddp` only one of them would be "
        "used.",
        "ddp-on-one-device": "Data-parallel training divides the batch among devices, and there is only one.",
        "batch-divides-devices": "`batch_size` is the total over all devices, and each gets the same number of "
        "sequences.",
        "mesh-one-row": "Data-parallel training needs a line of devices: `[1, 2]`, `[1, 4]`. On Tenstorrent boards a "
        "mesh with several rows opens, and hangs in the second step.",
        "mesh-of-one-device": "An Apple computer has one GPU, so `mesh_shape` is `[1, 1]`. On a CPU several processes "
        "may share the cores.",
        "sharding-on-one-device": "`sharding: full` distributes the model over the devices, and there is only one.",
        "sharding-needs-adamw": "Muon orthogonalises each matrix as a whole, and with `sharding: full` each device "
        "has only some of its rows. AdamW updates every number independently.",
        "tt-sharding": "`sharding: full` needs torch. On Tenstorrent boards each chip has the whole model.",
        "tt-activation-checkpointing": "Activation checkpointing needs torch. On Tenstorrent boards a smaller "
        "`batch_size` with more `gradient_accumulation_steps` saves memory.",
        "tt-multiple-of-32": "A Tenstorrent core computes on tiles of 32 x 32 numbers. Widths, the vocabulary and the "
        "context must be multiples of 32; with another context length the backward pass of attention crashes.",
        "tt-head-dim": "On a Tenstorrent board head_dim, `hidden_dim / num_heads`, must be a multiple of 32 and at "
        "most 256.",
        "tt-loss": "ttml, the library that trains on Tenstorrent boards, has only plain cross-entropy for language "
        "models.",
        "tt-r-drop": "R-Drop needs torch: ttml has no divergence between two predictions.",
        "tt-norm-eps": "ttml's RMSNorm adds the constant 1e-5 under the root, regardless of the config. A checkpoint "
        "with another value would be a different model elsewhere.",
        "tt-precision": "A Tenstorrent board keeps weights and computes in bf16, so `precision: fp32` has no effect "
        "there.",
    },
    "Distillation": {
        "teacher-unusable": "`distill_from` is the folder of a Hugging Face Llama (config.json and model.safetensors), "
        "of a checkpoint, or of a run that has saved one. Paths are relative to the folder of the config.",
        "teacher-vocabulary": "Both need the same tokens: the model learns the probability of each.",
        "teacher-context": "A teacher knows only the positions that it was trained for. Beyond them its probabilities "
        "would be nonsense, which the model would learn.",
        "teacher-loss": "With a teacher the loss is the cross-entropy against the text and against the teacher's "
        "probabilities, `distill_weight` of it against these.",
        "tt-distillation": "Distillation needs torch: ttml compares with the text only.",
    },
    "Starting from weights": {
        "init-from-missing": "`init_from` is the folder of a Hugging Face Llama (config.json and model.safetensors), "
        "of a checkpoint, or of a run that has saved one. Paths are relative to the folder of the config.",
        "init-from-pickle": "`ckpt.pt`, `pytorch_model.bin` and the like are pickles, which can run any code when they "
        'are opened, so they never are. transformers converts the folder of a Llama that you trust: `python -c "from '
        "transformers import AutoModelForCausalLM as M, AutoTokenizer as T; M.from_pretrained('FOLDER')"
        ".save_pretrained('NEW'); T.from_pretrained('FOLDER').save_pretrained('NEW')\"`. nanoGPT's checkpoints are "
        "GPT-2 (learned positions, LayerNorm, GELU), another model than Llama; `trickster import-data` takes its data.",
        "init-from-unusable": "The folder holds another model than a plain Llama, or its files do not belong together. "
        "The message names the field of config.json: attention or MLP biases, RoPE scaling, a head_dim other than "
        "hidden_size / num_attention_heads, an activation other than SiLU, a sliding window, quantised weights, "
        "another family.",
        "shape-of-weights": "The shape of the model is that of the weights. A key of `model_config` that says another "
        "one can be removed: it follows the folder. Only `dropout` and a shorter `max_seq_len` are free.",
        "longer-than-weights": "`max_seq_len` is longer than the weights were trained for. Rotary positions need no "
        "weights, so training is possible, and the loss of the positions beyond starts high.",
        "tokenizer-of-weights": "The weights were trained with the token ids of one tokenizer. It is the "
        "`tokenizer.json` beside them, and `tokenizer` can be left out; where there is none, `tokenizer` names its "
        "folder.",
    },
    "Text and files": {
        "vocabulary-too-small": "The tokenizer has more tokens than `vocab_size`: `byte` needs 256, and `bpe` needs "
        "more than that, because it starts from the 256 bytes.",
        "vocabulary-not-used": "`tokenizer: byte` has 256 tokens. More rows of the vocabulary are never used, and "
        "cost parameters.",
        "one-half-of-prepared-text": "`train_data` and `val_data` belong together: one is trained on, the other is "
        "for validation.",
        "tokenizer-of-tensors": "The lesson's train.pt contains tokens, not text, and the tokenizer.pt beside it "
        "decodes them. `char` and `bpe` are learned from text, so they are not used.",
        "corpus-not-found": "The file or folder does not exist. Paths are relative to the folder of the config. "
        "Training would stop with an error.",
        "corpus-too-short": "Without its validation part, the text is shorter than one sequence of `max_seq_len` "
        "tokens and the next token.",
        "corpus-no-text": "The folder contains no text file, and the message lists what it contains instead. "
        "Trickster reads regular files with the extension of a text or of source code, also in subfolders. It skips "
        "hidden files and folders, links to folders, other extensions, and its own output: runs, checkpoints, logs "
        "and configs. A single file may have any name: write its path.",
        "text-field-missing": "A `.jsonl`, `.csv` or `.parquet` file holds records, and one field of each is the text: "
        "`text_field` says which. The message lists the fields of the first record. To train on the file as it is, "
        "give it a name that ends in `.txt`.",
        "record-without-field": "The records have no field of the name in `text_field`. The message lists those they "
        "have; `a.b` is the field b in the object a.",
        "record-not-text": "The field that `text_field` names is a number, a list or an object. Name one that is text; "
        "`a.b` is the field b in the object a.",
        "bad-pattern": "`include` and `exclude` take patterns for paths below the corpus, with `/` on every system, "
        "such as `*.log` or `notes/**/*.txt`: no absolute paths, no backslashes.",
        "corpus-name-built-in": "`shakespeare` and `python` name the built-in texts, even if a file or folder of that "
        "name is beside the config. Write `./shakespeare` for the folder; rename it if you mean the built-in text and "
        "want no warning.",
        "validation-too-short": "The validation text has fewer tokens than one sequence of `max_seq_len` and the next "
        "token, so its loss would be mostly chance. Use more text, a larger `val_fraction` or a shorter `max_seq_len`.",
        "corpus-small": "The text is so small that the model will mostly memorise it: the run would train for more "
        "than 40 epochs, beyond which repetition teaches nothing new, and the model has more than ten parameters per "
        "byte. Use more text; or use a smaller model, fewer `max_steps`, and let `early_stopping_patience` end the "
        "run in time. Training is allowed: overfitting is worth seeing once.",
        "validation-in-training": "If the validation text is also trained on, its loss rewards memorising and falls "
        "although the model does not generalise. This happens with copies of a document in a folder, with a header in "
        "every file, and if `train_data` and `val_data` are the same. Trickster measures which fraction of the "
        "validation text's 50-byte windows, at every position, also occurs in the training text; long texts are "
        "sampled evenly. From 5 % it warns, from 90 % it refuses to train.",
        "output-not-a-folder": "Runs need a folder, and there is a file of this name.",
        "mask-documents-device": "Attention that ends where a document ends is computed by torch, on CPUs and CUDA. "
        "On Tenstorrent boards and Apple's GPUs it would see the whole window, so the key is refused there.",
        "empty-separator": "With `documents: separated`, document_separator is the text that stands between documents, "
        "and without one there is nothing to divide by.",
        "documents-of-tensors": "Documents are found in text. A tensor of tokens, such as the lesson's train.pt, does "
        "not say where they end.",
        "webhook-not-private": "What an alert says goes to the webhook's address. With plain http anybody on the way "
        "could read it, so that is allowed on this machine only. A secret belongs into the path of an https address.",
        "empty-prompt": "The model continues the prompt, and it is empty. Give at least one character. With "
        "`documents` it may be empty: generation then begins a document.",
    },
    READ: {
        "documents-repeat": "At least one document in a hundred says exactly what an earlier one says. They are "
        "always on the same side of the split, so the validation loss stays honest; `drop_duplicates: true` leaves them"
        " out.",
        "vocabulary-not-filled": "`bpe` merges pairs that occur at least twice, and this text has too few of them to "
        "fill `vocab_size` rows; or `char` has fewer characters than rows. Unused rows cost parameters and are never "
        "trained, and the uniform baseline, ln `vocab_size`, includes them. The message has the number that fits.",
        "line-ends": "Files from Windows end a line with two characters, CR and LF, and those of old Macs with CR "
        "alone. With `keep`, a CR is a token that the model learns to generate. `line_ends: lf` reads every line end "
        "as one LF and changes no file.",
        "text-repeats": "More than half of the training text's 50-byte windows occur earlier in it: it contains "
        "copies, or was generated by a formula.",
        "corpus-binary": "A file has a zero byte, which text never has. A PDF, a word processor's file or an archive "
        "has to be exported as text first.",
        "corpus-not-utf8": "A file is in another encoding than UTF-8. The message says where, and how to convert it.",
        "corpus-unreadable": "A file or folder exists and is not readable, or the disk is failing.",
        "corpus-changed": "A file was written to while it was read. Try again once nothing writes to it.",
        "corpus-empty": "The text is empty.",
        "corpus-is-the-config": "`corpus` names the config itself. Name a text file, or a folder of text files.",
        "corpus-is-a-run": "`corpus` names the folder of a run. Trickster does not train on its own output.",
        "corpus-not-a-file": "`corpus` names a device, a pipe or the like. Name a text file, or a folder of them.",
        "corpus-wrong-sum": "The file in `TRICKSTER_CORPUS_DIR` is not the expected Tiny Shakespeare.",
        "unknown-characters": "The text has characters that its tokenizer does not know.",
        "tokenizer-unknown": "`tokenizer` is byte, char, bpe, the lesson's tokenizer.pt, or the folder of a "
        "tokenizer.json.",
        "tokenizer-missing": "There is no tokenizer.json in the folder that `tokenizer` or `init_from` names.",
        "tokenizer-damaged": "A tokenizer.json is there, and the tokenizers library cannot read it.",
        "data-file-wrong": "A file of the lesson, such as train.pt, does not contain tokens.",
        "data-file-damaged": "A file of the lesson, such as train.pt, cannot be read as a torch file.",
        "data-file-unsafe": "A file of the lesson could run code when it is opened, so Trickster refuses it.",
    },
}

PROBLEM_GROUPS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(_GROUPS)
PROBLEM_DOCS: Final[Mapping[str, str]] = MappingProxyType(
    {code: text for group in _GROUPS.values() for code, text in group.items()}
)
