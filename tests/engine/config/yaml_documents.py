"""Short YAML documents in the manner of the yaml-test-suite: one point of the specification each, in a config's words.

`valid` is what YAML 1.2.2 says of the document as such; whether it is a good config is another question.
"""

from __future__ import annotations

from typing import NamedTuple


class YamlDocument(NamedTuple):
    """A text and whether YAML 1.2 allows it."""

    point: str
    text: str
    valid: bool = True


def _section(*lines: str) -> str:
    return "model_config:\n" + "".join(f"  {line}\n" for line in lines)


def _prompt(text: str) -> str:
    return f"sampling_config:\n  prompt: {text}\n  seed: 5\n"


_D = YamlDocument
DOCUMENTS = [
    # Tabs
    _D("a tab before a comment", _section("num_heads: 4\t# few")),
    _D("a tab behind a value", _section("num_heads: 4\t", "num_layers: 2")),
    _D("a tab after the colon", _section("num_heads:\t4", "num_layers: \t 2")),
    _D("a tab within a text", _prompt("To be\tor not")),
    _D("a tab before a comment behind a quoted text", _prompt('"ROMEO:"\t# him')),
    _D("a line of a tab", "model_config:\n  num_heads: 4\n\t\n  num_layers: 2\n"),
    _D("a line of a tab below a quoted text", 'sampling_config:\n  prompt: "a"\n\t\n  seed: 2\n'),
    _D("a line of blanks and a tab at the top", " \t\nmodel_config:\n  num_heads: 4\n"),
    _D("a comment behind a tab", "model_config:\n\t# few\n  num_heads: 4\n"),
    _D("a tab between brackets", "device_config:\n  mesh_shape: [\t1,\t1\t]\n"),
    _D("a tab as indentation", "model_config:\n\tnum_heads: 4\n", valid=False),
    _D("blanks and a tab as indentation", "model_config:\n  \tnum_heads: 4\n", valid=False),
    _D("a tab between keys in brackets", "model_config: {\n\tnum_heads: 4,\n\tnum_layers: 2\n\t}\n"),
    _D("a tab in a literal text", "sampling_config:\n  prompt: |\n    a\tb\n  seed: 2\n"),
    _D("a tab behind a section's name", "model_config:\t\n  num_heads: 4\n"),
    _D("a tab in the second line of a text", "sampling_config:\n  prompt: To be\n    \tor not\n  seed: 2\n"),
    # Comments
    _D("a comment at the margin in a section", "model_config:\n  num_heads: 4\n# why\n  num_layers: 2\n"),
    _D("a comment further in", "model_config:\n      # why\n  num_heads: 4\n"),
    _D("a hash without a space before it", _prompt("a#b")),
    _D("a comment right behind a quoted text", _prompt('"a"#b'), valid=False),
    _D("a comment between a key and its value", "sampling_config:\n  prompt: # what\n    a\n  seed: 2\n"),
    _D("a comment within a plain text of two lines", "sampling_config:\n  prompt: a # x\n    b\n", valid=False),
    _D("only a comment", "# nothing\n"),
    _D("a comment in brackets", "device_config:\n  mesh_shape: [1, # rows\n    1]\n"),
    # Plain texts
    _D("a colon inside a word", _prompt("a:b")),
    _D("a colon and a space inside a text", _prompt("a: b"), valid=False),
    _D("a text that ends with a colon", _prompt("ROMEO:"), valid=False),
    _D("a web address", "data_config:\n  corpus: http://example.org/a.txt\n"),
    _D("a Windows path", "data_config:\n  corpus: C:\\texts\\a.txt\n"),
    _D("a plain text of two lines", "sampling_config:\n  prompt: To be\n    or not\n  seed: 2\n"),
    _D("an empty line in a plain text", "sampling_config:\n  prompt: To be\n\n    or not\n  seed: 2\n"),
    _D("a second line that is not indented", "sampling_config:\n  prompt: To be\n  or not\n  seed: 2\n", valid=False),
    _D("a text that starts with an at sign", _prompt("@a"), valid=False),
    _D("a text that starts with a backtick", _prompt("`a`"), valid=False),
    _D("a text that starts with a percent sign", _prompt("%a"), valid=False),
    _D("a text that starts with a dash and a letter", _prompt("-x")),
    _D("a text that starts with a question mark", _prompt("?x")),
    _D("marks inside a text", _prompt("a & b * c ! d | e > f % g @ h")),
    _D("a number with an exponent", "training_config:\n  learning_rate: 3e-4\n"),
    # Quoted texts
    _D("escapes between double quotes", _prompt('"a\\n\\t\\u263a\\x41\\\\"')),
    _D("an escape that is none", _prompt('"\\q"'), valid=False),
    _D("an escape that is cut short", _prompt('"\\x4"'), valid=False),
    _D("quotes doubled between single quotes", _prompt("'it''s'")),
    _D("a double-quoted text of two lines", 'sampling_config:\n  prompt: "a\n    b"\n'),
    _D("a line end escaped", 'sampling_config:\n  prompt: "a\\\n    b"\n'),
    _D("a quote that is not closed", 'sampling_config:\n  prompt: "a\n', valid=False),
    _D("text behind a quoted text", _prompt('"a" b'), valid=False),
    _D("a quoted key", "model_config:\n  \"num_heads\": 4\n  'num_layers': 2\n"),
    _D("a space between a key and its colon", _section("num_heads : 4")),
    # Block texts
    _D("a literal text", "sampling_config:\n  prompt: |\n    a\n    b\n  seed: 2\n"),
    _D("a literal text without its last line end", "sampling_config:\n  prompt: |-\n    a\n\n  seed: 2\n"),
    _D("a literal text with all its line ends", "sampling_config:\n  prompt: |+\n    a\n\n  seed: 2\n"),
    _D("a folded text", "sampling_config:\n  prompt: >\n    a\n    b\n\n      c\n  seed: 2\n"),
    _D("a literal text with its indentation given", "sampling_config:\n  prompt: |2\n      a\n    b\n  seed: 2\n"),
    _D("a comment behind the sign of a block text", "sampling_config:\n  prompt: | # what\n    a\n"),
    _D("text behind the sign of a block text", "sampling_config:\n  prompt: | what\n    a\n", valid=False),
    _D("an indentation of nought", "sampling_config:\n  prompt: |0\n    a\n", valid=False),
    _D("what looks like a key in a text", "sampling_config:\n  prompt: |\n    num_heads: 4\n    # no comment\n"),
    _D("an empty literal text", "sampling_config:\n  prompt: |\n  seed: 2\n"),
    # Indentation
    _D("sections indented alike", "  model_config:\n    num_heads: 4\n  training_config:\n    seed: 2\n"),
    _D("keys in two columns", "model_config:\n  num_heads: 4\n   num_layers: 2\n", valid=False),
    _D("a key less far in", "model_config:\n    num_heads: 4\n  num_layers: 2\n", valid=False),
    _D("keys indented by one", "model_config:\n num_heads: 4\n num_layers: 2\n"),
    _D("a list at the column of its key", "device_config:\n  mesh_shape:\n  - 1\n  - 1\n"),
    _D("a list further in", "device_config:\n  mesh_shape:\n    - 1\n    - 1\n"),
    _D("a list of keys", "model_config:\n  - num_heads: 4\n  - num_layers: 2\n"),
    _D("a list among keys", "model_config:\n  num_layers: 2\n  - num_heads: 4\n", valid=False),
    _D("a key without a colon", "model_config:\n  num_heads 4\n  num_layers: 2\n", valid=False),
    _D("two values on a line", "model_config: num_heads: 4\n", valid=False),
    # Brackets
    _D("a section in brackets", "model_config: {num_heads: 4, num_layers: 2}\n"),
    _D("a comma behind the last", "model_config: {num_heads: 4,}\n"),
    _D("no space behind a quoted key", 'model_config: {"num_heads":4}\n'),
    _D("no space behind a plain key", "model_config: {num_heads:4}\n"),
    _D("two commas", "device_config:\n  mesh_shape: [1,, 1]\n", valid=False),
    _D("a bracket that is not closed", "device_config:\n  mesh_shape: [1, 1\n", valid=False),
    _D("a bracket too many", "device_config:\n  mesh_shape: [1, 1]]\n", valid=False),
    _D("the wrong bracket", "device_config:\n  mesh_shape: [1, 1}\n", valid=False),
    _D("a bracket over several lines", "device_config: {\n  mesh_shape: [\n    1,\n    1\n  ]\n}\n"),
    _D("JSON", '{"model_config": {"num_heads": 4, "tie_embeddings": true}}\n'),
    # Names and tags
    _D("a name and its use", "model_config:\n  num_heads: &n 4\n  num_kv_heads: *n\n"),
    _D("a name that is nowhere", "model_config:\n  num_heads: *n\n", valid=False),
    _D("a name on a section", "model_config: &m\n  num_heads: 4\n"),
    _D("two names on one value", "model_config:\n  num_heads: &a &b 4\n", valid=False),
    _D("a tag", "model_config:\n  num_heads: !!int 4\n"),
    _D("a handle that is not declared", "model_config:\n  num_heads: !e!n 4\n", valid=False),
    _D("a merge", "training_config:\n  <<: {max_steps: 5000}\n  batch_size: 8\n"),
    # Documents
    _D("a document's start", "---\nmodel_config:\n  num_heads: 4\n"),
    _D("a document's end", "model_config:\n  num_heads: 4\n...\n"),
    _D("a directive", "%YAML 1.2\n---\nmodel_config:\n  num_heads: 4\n"),
    _D("a directive without a start", "%YAML 1.2\nmodel_config:\n  num_heads: 4\n", valid=False),
    _D("a directive twice", "%YAML 1.2\n%YAML 1.2\n---\nmodel_config:\n", valid=False),
    _D("text behind a document's end", "model_config:\n  num_heads: 4\n... no\n", valid=False),
    _D("nothing", ""),
    _D("only line ends", "\n\n\n"),
    _D("a byte order mark", "\ufeffmodel_config:\n  num_heads: 4\n"),
    _D("no line end at the end", "model_config:\n  num_heads: 4"),
    _D("line ends of old Macs", "model_config:\r  num_heads: 4\r"),
    # Keys
    _D("a key with a question mark", "model_config:\n  ? num_heads\n  : 4\n"),
    _D("a key of two lines", "model_config:\n  num\n  heads: 4\n", valid=False),
    _D("a key without a value", "model_config:\n  num_heads:\n  num_layers: 2\n"),
    _D("a very long key", "model_config:\n  " + "k" * 1100 + ": 4\n", valid=False),
    _D("a control character", "model_config:\n  num_heads: 4\x07\n", valid=False),
    _D("U+0085 in a text", _prompt("a\x85b")),
    _D("a no-break space in a text", _prompt("a\xa0b")),
]
