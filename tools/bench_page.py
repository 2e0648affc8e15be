"""`python -m tools.bench_page docs/speed.md`: fill a page's tables from the recorded measurements beside it.

A block `<!-- speed: NAME -->…<!-- /speed -->` is filled from the readings in `speed/*.json`, and one that begins
`<!-- speed: NAME in FOLDER -->` from those in `speed/FOLDER/*.json`, so that no figure on the page is typed by hand.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

_BLOCK = re.compile(
    r"(?P<open><!-- speed: (?P<name>[a-z]+)(?: in (?P<folder>[\w-]+))? -->\n).*?(?P<close><!-- /speed -->)", re.DOTALL
)
Kept = dict[str, Any]
_UNCHANGED = "as it is"
_AVERAGED = "val_loss_averaged_"


def render(page: Path) -> str:
    """The page with its blocks filled."""

    def fill(match: re.Match[str]) -> str:
        folder = page.parent / "speed" / (match["folder"] or "")
        readings = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")}
        fills, needs = _BLOCKS[match["name"]]
        kept = {name: reading for name, reading in readings.items() if name.startswith(needs)}
        return f"{match['open']}{fills(kept)}\n{match['close']}" if kept else match["open"] + match["close"]

    return _BLOCK.sub(fill, page.read_text(encoding="utf-8"))


def _changes(readings: Kept) -> str:
    lines = ["| what | pico | nano |", "|---|---:|---:|"]
    for name, gains in readings["changes"].items():
        cells = [_times(gains[preset]) if preset in gains else "-" for preset in ("pico", "nano")]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def _throughput(readings: Kept) -> str:
    precision = next(reading["config"]["precision"] for name, reading in readings.items() if name.startswith("nano"))
    lines = [
        f"| | parameters | tokens/s | of the {precision} peak | against nanoGPT | generation, tokens/s "
        "| against nanoGPT |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in ("pico", "pico-kernels", "nano", "nano-kernels"):
        if name not in readings:
            continue
        bench = readings[name]
        against = bench["against"]
        row = name.replace("-kernels", ", with our kernels")
        lines.append(
            f"| {row} | {bench['config']['parameters']:,} | {bench['tokens_per_s']['median']:,.0f} "
            f"| {bench['utilisation']:.0%} | {_times(against['times_as_fast'])} "
            f"| {bench['sampled_tokens_per_s']['median']:,.0f} | {_times(against['times_as_fast_sampling'])} |"
        )
    lines += [
        "",
        f"Beside each row, the same cores reached {_peaks(readings, 'fp32')} GFLOP/s in fp32 and "
        f"{_peaks(readings, 'bf16')} in bf16 in plain matrix products.",
    ]
    return "\n".join(lines)


def _peaks(readings: Kept, precision: str) -> str:
    """The lowest and the highest of a peak that was read once for each row, in GFLOP/s."""
    found = sorted(
        round(reading["machine"]["peak_flops"][precision] / 1e9)
        for name, reading in readings.items()
        if name.removesuffix("-kernels") in ("pico", "nano")
    )
    return f"{found[0]:,} to {found[-1]:,}" if found[0] != found[-1] else f"{found[0]:,}"


def _races(readings: Kept) -> str:
    lines = ["| validation loss | ours | nanoGPT's recipe for a CPU | times as fast |", "|---:|---:|---:|---:|"]
    for _, race in sorted(readings.items(), reverse=True):
        cells = [
            f"{race['config']}: {_arrivals([race['ours'], *race.get('other_seeds', ())])}",
            _arrival(race["nanogpt"]) if "nanogpt" in race else "-",
            _ratio(race),
        ]
        lines.append(f"| {race['until']:.4f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _predictions(readings: Kept) -> str:
    lines = ["| run | parameters | steps | predicted | took | predicted / took |", "|---|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {run['run']} | {run['parameters']:,} | {run['steps']:,} | {run['predicted_s']:.1f} s "
        f"| {run['actual_s']:.1f} s | {run['predicted_s'] / run['actual_s']:.2f} |"
        for run in readings["predictions"]["runs"]
    ]
    return "\n".join(lines)


def _trainer(readings: Kept) -> str:
    lines = [
        "| | ours, tokens/s | transformers' Trainer, tokens/s | times as fast |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {preset['tokens_per_s']['median']:,.0f} | {preset['trainer_tokens_per_s']['median']:,.0f} "
        f"| {_times(preset['times_as_fast'])} |"
        for name, preset in readings["trainer"]["presets"].items()
    ]
    return "\n".join(lines)


def _same_time(readings: Kept) -> str:
    rival = readings["race-1.8857"]["nanogpt"]["readings"][-1]
    ours = max(
        (reading for reading in readings["same-time"]["ours"]["readings"] if reading["seconds"] <= rival["seconds"]),
        key=lambda reading: float(reading["seconds"]),
    )
    return (
        f"In the {rival['seconds']:.0f} s that nanoGPT's recipe for a CPU took to {rival['val_loss']:.4f}, "
        f"`{readings['same-time']['config']}`, planned for {ours['step']:,} steps, came to {ours['val_loss']:.4f} "
        f"(after {ours['seconds']:.0f} s)."
    )


def _recipes(readings: Kept) -> str:
    """Each change of a recipe beside the recipe as it is, with the same seed and precision; the best first."""
    (recipes,) = readings.values()
    unchanged = {_pair(reading): reading["val_loss"] for reading in recipes[_UNCHANGED]}

    def gains(kept: list[Kept], key: str = "val_loss") -> list[float]:
        return [reading[key] - unchanged[_pair(reading)] for reading in kept]

    rows = [(name, kept, gains(kept)) for name, kept in recipes.items() if name != _UNCHANGED]
    rows += [
        (
            ("" if name == _UNCHANGED else f"{name}, ")
            + f"weights averaged, {key.removeprefix(_AVERAGED)} kept an update",
            kept,
            gains(kept, key),
        )
        for name, kept in recipes.items()
        for key in kept[0]
        if key.startswith(_AVERAGED)
    ]
    lines = ["| change | runs | loss, against no change | updates |", "|---|---:|---:|---:|"]
    base = recipes[_UNCHANGED]
    lines.append(f"| none | {len(base)} | {mean(unchanged.values()):.4f} | {base[0]['updates']:,} |")
    lines += [
        f"| {name} | {len(kept)} | {_signed(gain)} | {kept[0]['updates']:,} |"
        for name, kept, gain in sorted(rows, key=lambda row: mean(row[2]))
    ]
    return "\n".join(lines)


def _serving(readings: Kept) -> str:
    """Tokens/s of all clients together, and the memory of a server that goes on answering."""
    kept = readings["serving"]
    presets = kept["presets"]
    compared = any("llama_cpp" in figures for one in presets.values() for figures in one["clients"].values())
    lines = [
        "| model | clients at once | tokens/s |" + (" llama.cpp, tokens/s | times as fast |" if compared else ""),
        "|---|---:|---:|" + ("---:|---:|" if compared else ""),
    ]
    for name, preset in presets.items():
        for clients, figures in preset["clients"].items():
            row = f"| {name} ({preset['parameters']:,} parameters) | {clients} | {_rate(figures['ours'])} |"
            if "llama_cpp" in figures:
                row += f" {_rate(figures['llama_cpp'])} | {_times(figures['times_as_fast'])} |"
            lines.append(row)
    machine = kept["machine"]
    lines += [
        "",
        f"Each client asked for {kept['tokens']} tokens, and again when it had them, on {machine['cores']} cores that "
        f"server and clients shared{machine['beside'] and ' with ' + machine['beside']}; torch "
        f"{machine['versions']['torch']}.",
    ]
    for name, preset in presets.items():
        if "memory" not in preset:
            continue
        memory = preset["memory"]
        megabytes = [value / 1e6 for value in memory["resident_bytes"]]
        lines.append(
            f"A server of `{name}` answered {memory['requests']:,} requests for {memory['tokens']} tokens each from "
            f"32 clients. Its memory was read after each tenth of them: {megabytes[1]:.0f} MB after the first, "
            f"{megabytes[-1]:.0f} MB after the last, {max(megabytes):.0f} MB at most."
        )
    return "\n".join(lines)


def _rate(spread: dict[str, float]) -> str:
    return f"{spread['median']:,.0f} ({spread['lowest']:,.0f} to {spread['highest']:,.0f})"


def _generations(readings: Kept) -> str:
    """Models that taught later ones."""
    kept = readings["generations"]
    lines = [
        "| generation | taught by | R-Drop | steps | validation loss, nats/character | strided | time |",
        "|---:|---|---:|---:|---:|---:|---:|",
    ]
    for number, one in enumerate(kept["generations"], start=1):
        teacher = " and ".join(map(str, one["taught_by"])) or "-"
        lines.append(
            f"| {number} | {teacher} | {one['r_drop'] or '-'} | {one['steps']:,} | {one['val_loss']:.3f} "
            f"| {one['strided']:.3f} | {one['seconds'] / 60:.0f} min |"
        )
    last = kept["generations"][-1]
    lines += ["", f"{last['parameters']:,} parameters each, on {kept['machine']}, in {last['precision']}."]
    lines += [
        f"The mean of the probabilities of generations {' and '.join(map(str, one['taught_by']))} has a validation "
        f"loss of {one['mean_of_teachers']:.3f}."
        for one in kept["generations"]
        if "mean_of_teachers" in one
    ]
    return "\n".join(lines)


def _longer(readings: Kept) -> str:
    """The smallest preset with more steps than it has, and their time at the speed that was measured apart."""
    (run,) = readings["longer"]["generations"]
    bar, speed = readings["race-1.5171"]["until"], readings["pico-kernels"]
    seconds = run["steps"] * speed["config"]["tokens_per_step"] / speed["tokens_per_s"]["median"]
    return "\n".join(
        [
            f"With {run['steps']:,} steps `pico` came to {run['val_loss']:.3f} nats/character (strided "
            f"{run['strided']:.3f}), {bar - run['val_loss']:.3f} below the best n-gram.",
            f"At the tokens/s of the table below those take {seconds:.0f} s.",
        ]
    )


def _pair(reading: Kept) -> tuple[int, str]:
    return reading["seed"], reading["precision"]


def _signed(gain: list[float]) -> str:
    spread = f" ({min(gain):+.4f} to {max(gain):+.4f})" if len(gain) > 1 else ""
    return f"{mean(gain):+.4f}{spread}"


def _ratio(race: Kept) -> str:
    if "times_as_fast" not in race:
        return "-"
    return f"{'more than ' if race['at_least'] else ''}{race['times_as_fast']:.1f}"


def _arrivals(runs: list[Kept]) -> str:
    """One run as it went; of several, the one in the middle, with how soon and how late the others arrived."""
    if len(runs) == 1 or any(run["reached"] is None for run in runs):
        return "; ".join(_arrival(run) for run in runs)
    runs = sorted(runs, key=lambda run: float(run["reached"]["seconds"]))
    first, last = (runs[place]["reached"]["seconds"] for place in (0, -1))
    return f"{_arrival(runs[len(runs) // 2])} ({len(runs)} seeds: {first:.0f} to {last:.0f} s)"


def _arrival(result: Kept) -> str:
    reading, words = result["reached"], ""
    if reading is None:
        reading = min(result["readings"], key=lambda reading: float(reading["val_loss"]))
        words = f"not reached: {reading['val_loss']:.4f} after "
    return f"{words}{reading['seconds']:.0f} s, {reading['characters'] / 1e6:.2f} million characters"


def _first_step(readings: Kept) -> str:
    kept = readings["first-step"]
    at = {part: median(start[part] for start in kept["starts"]) for part in kept["starts"][0]}
    arrivals = sorted(start["first_step"] for start in kept["starts"])
    machine = kept["machine"]
    return (
        f"A run of `{kept['preset']}` made its first step {at['first_step']:.1f} s after the command "
        f"({len(arrivals)} starts: {arrivals[0]:.1f} to {arrivals[-1]:.1f} s).\n"
        f"Of it, {at['loaded']:.1f} s went by until Python and torch were loaded, "
        f"{at['measured'] - at['prepared']:.1f} s for the loss of the random weights on\n"
        f"all validation text and a sample. Measured on {machine['cores']} cores, {machine['processor']}."
    )


def _times(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f} ({spread['lowest']:.2f} to {spread['highest']:.2f})"


# What fills a block, and how the names of the readings begin that it needs.
_BLOCKS: dict[str, tuple[Callable[[Kept], str], tuple[str, ...]]] = {
    "changes": (_changes, ("changes",)),
    "throughput": (_throughput, ("pico", "nano")),
    "predictions": (_predictions, ("predictions",)),
    "trainer": (_trainer, ("trainer",)),
    "races": (_races, ("race",)),
    "picorecipes": (_recipes, ("recipes-pico",)),
    "fastrecipes": (_recipes, ("recipes-fast",)),
    "bestrecipes": (_recipes, ("recipes-best",)),
    "subwordrecipes": (_recipes, ("recipes-subwords",)),
    "generations": (_generations, ("generations",)),
    "longer": (_longer, ("longer", "race-1.5171", "pico-kernels")),
    "firststep": (_first_step, ("first-step",)),
    "serving": (_serving, ("serving",)),
    "sametime": (_same_time, ("same-time", "race-1.8857")),
}


def main() -> None:
    """Fill the pages named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path)
    for page in parser.parse_args().pages:
        page.write_text(render(page), encoding="utf-8")


if __name__ == "__main__":
    main()
