"""Turn what `data_config` names into a Dataset: once, whole, and found again at once the next time.

The cache has two parts. `datasets/<key>/` holds prepared tokens; the key is made of the content's SHA-256 sum, the
tokenizer's recipe and the split, so that equal content is prepared once wherever it lies. `index/<key>.json` leads
from the files' sizes and times to that folder, so that a corpus of many gigabytes is not read again at every start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trickster_engine.config.corpus_files import TENSOR_SUFFIXES, file_now
from trickster_engine.config.own_output import own_output
from trickster_engine.config.plan import Plan
from trickster_engine.data import lesson_token_files
from trickster_engine.data.batches import too_short
from trickster_engine.data.cache import cache_directory
from trickster_engine.data.corpus import file_sha256
from trickster_engine.data.dataset import Dataset, Labels, write_dataset
from trickster_engine.data.download import require_shakespeare
from trickster_engine.data.facts import Source
from trickster_engine.data.find_or_build import find_or_build
from trickster_engine.data.index import Index, Recipe, corpora_of
from trickster_engine.data.make_tokenizer import byte_tokenizer, require_vocabulary
from trickster_engine.data.prepare_text import TextToPrepare
from trickster_engine.data.sharded.prepare_shards import Manner
from trickster_engine.errors import TricksterError
from trickster_engine.system.files import path_meant
from trickster_engine.system.progress_bar import tqdm

__all__ = ["Dataset", "prepare"]


def prepare(
    plan: Plan,
    folder: Path,
    *,
    config: Path | None = None,
    cache_dir: Path | None = None,
    progress: bool = True,
    allow_download: bool = True,
    interrupt: Callable[[], None] | None = None,
    report: Callable[[str], None] | None = None,
    processes: int | None = None,
    verify: bool = True,
) -> Dataset:
    """Return the tokens that a plan trains on; paths in it are relative to `folder`.

    `config` is the plan's own file, which is never part of a text.

    The first call encodes and stores them, later ones find them. Safe to call from several processes at once, and to
    kill at any moment; `interrupt` is called every megabyte or so and may raise to end it early. A large text is
    prepared by `processes` processes, by default one a core; `report` is told every few seconds how far it is, and the
    next call goes on where one was killed.

    What was prepared earlier is read again in full to see that it is still what was written, and prepared anew where it
    is not. `verify=False` leaves that to the caller, for data that is larger than is read in an instant: see
    `Dataset.verification`.
    Raises TricksterError: whatever `resolve_corpus` and the tokenizers raise, corpus-too-short, corpus-changed,
    data-files-incomplete, data-files-mixed, vocabulary-too-small, disk-full, cache-unwritable, preparing-failed.
    """
    manner = Manner(progress, interrupt, report, processes)
    cache = cache_dir if cache_dir is not None else cache_directory()

    own = own_output(plan.output, folder, config)

    def found_or_built() -> Dataset:
        if _are_tensors(plan):
            return _prepare_tensors(plan, folder, cache)
        names = [source.path for source in plan.data.sources]
        if allow_download and plan.data.train_data is None and "shakespeare" in names:
            require_shakespeare(progress=progress)
        corpora = corpora_of(plan, folder, own)
        return TextToPrepare(plan, folder, corpora, manner).dataset(cache)

    dataset = found_or_built()
    if verify:
        try:
            _verify(dataset, manner)
        except TricksterError as error:
            if error.code != "cache-damaged":
                raise
            dataset = found_or_built()
            _verify(dataset, manner)
    require_vocabulary(dataset.tokenizer, plan.model.vocab_size)
    if len(dataset.train) < plan.model.max_seq_len + 1:
        raise too_short(len(dataset.train), plan.model.max_seq_len)
    return dataset


def _verify(dataset: Dataset, manner: Manner) -> None:
    """Read all of it again, under a progress bar that shows itself only when that takes a while."""
    verification = dataset.verification
    with tqdm(
        total=verification.size, desc="Verifying", unit="B", unit_scale=True, delay=0.5, disable=not manner.progress
    ) as bar:

        def tick(count: int) -> None:
            if manner.interrupt is not None:
                manner.interrupt()
            bar.update(count)

        verification.run(tick)


def _are_tensors(plan: Plan) -> bool:
    """Whether the data are the lesson's tensors, and not text. Raises TricksterError where they are neither."""
    data = plan.data
    if data.train_data is None and data.val_data is None:
        return False
    if data.train_data is None or data.val_data is None:
        given, missing = ("val_data", "train_data") if data.train_data is None else ("train_data", "val_data")
        raise TricksterError(
            "data-files-incomplete",
            f"data_config has {given} but not {missing}.",
            f"Add data_config.{missing}, or remove {given} and set corpus, which is split automatically.",
        )
    tensors = [Path(name).suffix.lower() in TENSOR_SUFFIXES for name in (data.train_data, data.val_data)]
    if all(tensors):
        return True
    if any(tensors):
        raise TricksterError(
            "data-files-mixed",
            f"data_config.train_data is {data.train_data}, but val_data is {data.val_data}: one contains tokens, the "
            "other text.",
            "Give two tensor files (.pt), or two text files.",
        )
    return False


def _prepare_tensors(plan: Plan, folder: Path, cache: Path) -> Dataset:
    assert plan.data.train_data is not None and plan.data.val_data is not None
    train, val = (path_meant(folder, name) for name in (plan.data.train_data, plan.data.val_data))
    for path in (train, val):
        lesson_token_files.require_file(path)
    tokenizer_path = lesson_token_files.find_tokenizer(plan.data.tokenizer, folder, train)
    recipe = Recipe({"kind": "file"} if tokenizer_path else {"kind": "byte"}, "files")
    paths = (train, val, *((tokenizer_path,) if tokenizer_path else ()))

    def content() -> tuple[object, Callable[[Path], None]]:
        def build(directory: Path) -> None:
            tokenizer = lesson_token_files.read_tokenizer(tokenizer_path) if tokenizer_path else byte_tokenizer()
            parts = [lesson_token_files.read_tokens(path, tokenizer.vocab_size) for path in (train, val)]
            write_dataset(
                directory, tokenizer, lesson_token_files.blocks(parts[0]), lesson_token_files.blocks(parts[1])
            )

        return [file_sha256(path) for path in paths], build

    files = tuple(file_now(path) for path in paths)
    source = Source(plan.data.train_data, train.name, files=2, bytes=files[0].size + files[1].size)
    return find_or_build(Index(cache, files, recipe), Labels(plan.data.train_data, train.name, source), content)
