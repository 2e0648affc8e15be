"""One head and one update by hand: torch comes to the same figures, and the pages and the questions tell them."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.walkthroughs.pages import FOLDER, ROOT, page
from tools import by_hand

KEPT: dict[str, Any] = json.loads(by_hand.KEPT.read_text(encoding="utf-8"))


def asked(step: str) -> tuple[list[str], int]:
    """The answers that VS Code offers for a step, and the place of the right one."""
    source = (ROOT / "extension/src/commands/prediction.ts").read_text(encoding="utf-8")
    found = re.search(rf"  {step}: \{{.*?answers: \[(.*?)\],\s+right: (\d)", source, flags=re.DOTALL)
    assert found
    return re.findall(r"t\('([^']+)'\)", found[1]), int(found[2])


def test_torch_s_attention_is_the_head_s() -> None:
    head = KEPT["head"]
    x, w_q, w_k, w_v = (torch.tensor(head[name], dtype=torch.float64) for name in ("x", "w_q", "w_k", "w_v"))
    q, k, v = (F.linear(x, weight)[None] for weight in (w_q, w_k, w_v))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)[0]
    np.testing.assert_allclose(out, head["out"], rtol=1e-12)
    weights = F.scaled_dot_product_attention(q, k, torch.eye(3, dtype=torch.float64)[None], is_causal=True)[0]
    np.testing.assert_allclose(weights, head["weights"], atol=1e-12)
    np.testing.assert_allclose(q[0] @ k[0].T / 2**0.5, head["scores"], rtol=1e-12)
    answers, right = asked("head")
    assert weights[2, 0] == weights[2, 2] > 10 * weights[2, 1] and "both" in answers[right]


def test_torch_s_gradient_clipping_and_optimizers_make_the_same_step() -> None:
    kept = KEPT["update"]
    ids = torch.tensor([kept["letters"].index(letter) for letter in kept["text"]])
    start = torch.tensor(kept["before"], dtype=torch.float64)
    for optimizer, after, loss_after in (
        (lambda weights: torch.optim.SGD([weights], lr=kept["rate"]), "after", "loss_after"),
        (
            lambda weights: torch.optim.AdamW([weights], lr=kept["adam_rate"], weight_decay=kept["decay"]),
            "adamw",
            "loss_adamw",
        ),
    ):
        weights = start.clone().requires_grad_()
        loss = F.cross_entropy(weights[ids[:-1]], ids[1:])
        loss.backward()
        assert weights.grad is not None
        assert loss.item() == pytest.approx(kept["loss_before"])
        np.testing.assert_allclose(weights.grad, kept["gradient"], atol=1e-12)
        norm = torch.nn.utils.clip_grad_norm_([weights], kept["limit"])
        assert norm.item() == pytest.approx(kept["norm"])
        np.testing.assert_allclose(weights.grad, kept["clipped"], rtol=1e-5, atol=1e-12)
        optimizer(weights).step()
        np.testing.assert_allclose(weights.detach(), kept[after], rtol=1e-5, atol=1e-9)
        assert F.cross_entropy(weights[ids[:-1]], ids[1:]).item() == pytest.approx(kept[loss_after], rel=1e-5)
    row, column = divmod(int(np.argmin(kept["gradient"])), 3)
    answers, right = asked("update")
    assert answers[right] == f"{kept['letters'][row]} to {kept['letters'][column]}"


def test_pages_and_pictures_are_made_from_the_kept_figures() -> None:
    assert {"head": by_hand.head(), "update": by_hand.update()} == KEPT
    for name in ("head", "update"):
        assert by_hand.rendered(page(name), KEPT) == page(name)
    for name, draw in by_hand.PICTURES.items():
        assert (FOLDER / f"pictures/{name}.svg").read_text(encoding="utf-8") == draw(KEPT)


@pytest.mark.parametrize("name", ["head", "update", "diagnose"])
def test_the_prediction_comes_before_the_answer(name: str) -> None:
    text = page(name)
    assert text.index("## Predict first") < text.index("<details>") < text.index("</details>")
    if name == "diagnose":
        return
    hidden = text[text.index("<details>") : text.index("</details>")]
    assert text.index("command:trickster.predict") < text.index("<details>")
    assert all(block in hidden for block in {"head": ["by hand: scores"], "update": ["by hand: gradient"]}[name])
