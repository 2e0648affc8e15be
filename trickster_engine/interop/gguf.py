"""`python -m trickster_engine.interop.gguf LLAMA_CPP MODEL --outfile FILE.gguf`: llama.cpp's converter for our models.

LLAMA_CPP is a copy of llama.cpp's sources; whatever follows is passed on to its `convert_hf_to_gguf.py`. That converter
needs no help with the weights, but it knows tokenizers from a list, and one that was trained here is not on it.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path
from typing import Any

from trickster_engine.data.make_tokenizer import load_tokenizer
from trickster_engine.data.tokenizer import BYTE_CHARACTERS
from trickster_engine.errors import TricksterError

#: How a byte-level vocabulary spells byte 255, which no text in UTF-8 contains.
NEVER = BYTE_CHARACTERS[255]


def convert(llama_cpp: Path, model: Path, arguments: list[str]) -> None:
    """Run the converter. Raises TricksterError: not-llama-cpp, tokenizer-not-convertible, tokenizer-missing."""
    script = llama_cpp / "convert_hf_to_gguf.py"
    if not script.is_file():
        raise TricksterError(
            "not-llama-cpp",
            f"There is no convert_hf_to_gguf.py in {llama_cpp}.",
            "Give a copy of llama.cpp's sources: git clone https://github.com/ggml-org/llama.cpp",
        )
    kind = load_tokenizer(model).kind
    if kind not in ("byte", "bpe"):
        raise TricksterError(
            "tokenizer-not-convertible",
            f"{model} has a {kind} tokenizer, and llama.cpp has no equivalent.",
            "Train with data_config.tokenizer: byte or bpe to run a model in llama.cpp.",
        )
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    gguf = importlib.import_module("gguf")
    llama = importlib.import_module("conversion.llama").LlamaModel
    original = gguf.SpecialVocab.add_to_gguf

    def describe_tokenizer(self: Any, tokenizer: Any) -> str:
        # Without an end-of-text token, llama.cpp takes number 11 for one, which is the comma.
        self.gguf_writer.add_eos_token_id(tokenizer.convert_tokens_to_ids(NEVER))
        return "gpt-2"  # words are cut as GPT-2's tokenizer cuts them

    def add_to_gguf(self: Any, writer: Any, quiet: bool = False) -> None:
        # llama.cpp asks for one merge at least. The byte tokenizer has none: it gets one that never applies.
        self.merges = self.merges or [f"{NEVER} {NEVER}"]
        original(self, writer, quiet)

    llama.set_vocab = lambda self: self._set_vocab_gpt2()
    llama.get_vocab_base_pre = describe_tokenizer
    gguf.SpecialVocab.add_to_gguf = add_to_gguf
    sys.argv = [str(script), str(model), *arguments]
    runpy.run_path(str(script), run_name="__main__")


def main() -> int:
    """Run from the command line."""
    if len(sys.argv) < 3:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
    except TricksterError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
