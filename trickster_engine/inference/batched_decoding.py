"""One more token for each of several texts of different lengths, read together.

Each text has a row of one large key/value cache. Rows in use are always the first ones: when a text leaves, the last
one takes its place. Letters in the comments on shapes are those of `llama.py`; A is the number of rows in use, N the
length of the longest of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from trickster_engine.inference.decoding import compiled_reader, token_reader
from trickster_engine.inference.sampling import SamplingOptions, first_to_come, shaped_probabilities
from trickster_engine.model.huggingface import GREEDY_BELOW
from trickster_engine.model.llama import Block, KeyValueCache, Llama


class _Row(KeyValueCache):
    """One text's part of a larger cache, [layers, 2, 1, K, max_seq_len, C]."""

    def __init__(self, store: Tensor) -> None:
        self.store = store
        self.length = 0


class Batch:
    """The texts that a model goes on with side by side; no text's logits depend on the others beyond rounding."""

    def __init__(self, model: Llama, most: int) -> None:
        """`most` is the largest number of texts. Their memory is touched only as it is used."""
        self._model = model.eval()
        cache = KeyValueCache(model.config, most, model.device, model.model.embed_tokens.weight.dtype)
        self._store = cache.store
        self._rows = [_Row(self._store[:, :, index : index + 1]) for index in range(most)]
        with torch.no_grad():
            self._compiled = compiled_reader(model, cache)
            self._read_alone = token_reader(model, self._rows[0])
        self._places = torch.arange(model.config.max_seq_len, device=model.device)
        self._used = 0

    def __len__(self) -> int:
        """How many texts there are."""
        return self._used

    @property
    def free(self) -> int:
        """How many others fit."""
        return len(self._rows) - self._used

    def join(self) -> int:
        """A new text, with nothing read of it; its row."""
        self._rows[self._used].length = 0
        self._used += 1
        return self._used - 1

    def leave(self, row: int) -> None:
        """Forget a text. The last one gets its row."""
        self._used -= 1
        left, last = self._rows[row], self._rows[self._used]
        if row != self._used:
            left.length = last.length
            left.store[..., : last.length, :] = last.store[..., : last.length, :]

    @torch.no_grad()
    def read(self, row: int, tokens: Sequence[int]) -> Tensor:
        """Read tokens in place of all that was read in a row, and return the logits [T, V], on the device."""
        cache = self._rows[row]
        cache.length = 0
        if not tokens:
            return torch.empty(0, self._model.config.vocab_size)
        logits: Tensor = self._model(torch.tensor([tokens], device=self._model.device), cache)[0]
        return logits

    @torch.no_grad()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """The logits [A, V] after one more token of each text, on the host."""
        if self._compiled is None:
            if len(tokens) == 1:
                return self._read_alone(torch.tensor([tokens]))
            return self._together(torch.tensor(tokens, device=self._model.device)).float().cpu()
        rows = self._rows[: self._used]
        logits = self._compiled(tokens, [row.length for row in rows])
        for row in rows:
            row.length += 1
        return logits

    def _together(self, tokens: Tensor) -> Tensor:
        """The layers of `llama.py` for one token of each text: tokens [A] -> [A, V]."""
        decoder, rows = self._model.model, self._rows[: self._used]
        where = torch.tensor([row.length for row in rows], device=tokens.device)  # [A]
        longest = 1 + max(row.length for row in rows)
        visible = (self._places[:longest] <= where[:, None])[:, None, None]  # [A, 1, 1, N]
        every = torch.arange(self._used, device=tokens.device)
        cos, sin = decoder.rotary.cos[where], decoder.rotary.sin[where]  # [A, 1, C]
        x = decoder.embed_tokens(tokens)  # [A, D]
        for block, store in zip(decoder.layers, self._store[:, :, : self._used], strict=True):
            assert isinstance(block, Block)
            attention = block.self_attn
            normed = block.input_layernorm(x)
            q, k, v = (
                projection(normed).view(self._used, -1, attention.head_dim)  # [A, H or K, C]
                for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            q, k = (torch.addcmul(heads * cos, heads.roll(attention.head_dim // 2, dims=-1), sin) for heads in (q, k))
            keys, values = store  # [A, K, max_seq_len, C]
            keys[every, :, where], values[every, :, where] = k, v
            y = F.scaled_dot_product_attention(
                q[:, :, None],
                keys[:, :, :longest],
                values[:, :, :longest],
                visible,
                enable_gqa=q.shape[1] != k.shape[1],
            )
            x = x + attention.o_proj(y.flatten(1))
            x = x + block.mlp(block.post_attention_layernorm(x))
        for row in rows:
            row.length += 1
        output = decoder.embed_tokens if self._model.lm_head is None else self._model.lm_head
        return F.linear(decoder.norm(x), output.weight)


def choose_each(logits: Tensor, options: Sequence[SamplingOptions], generators: Sequence[torch.Generator]) -> list[int]:
    """One token for each row of logits [A, V] by its own options and chance: as `choose` would for that row alone."""
    alike: dict[tuple[float, int, float], list[int]] = {}
    for row, one in enumerate(options):
        alike.setdefault((one.temperature, one.top_k, one.top_p), []).append(row)
    chosen = [0] * len(options)
    for (temperature, _, _), rows in alike.items():
        theirs = logits if len(rows) == len(logits) else logits[rows]
        if temperature < GREEDY_BELOW:
            tokens = theirs.argmax(dim=-1)
        else:
            probabilities = shaped_probabilities(theirs, options[rows[0]])
            tokens = first_to_come(probabilities, [generators[row] for row in rows])
        for row, token in zip(rows, tokens.tolist(), strict=True):
            chosen[row] = token
    return chosen
