"""The typed form of a config: what a YAML file means once it has been checked.

Each field is declared once, with its documentation and its limits, through `key(…)`. See `keys.py` for the table that
is built from these declarations.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from trickster_engine.config.spec import Alias, Condition, key


@dataclass(frozen=True)
class ModelConfig:
    """`model_config`: the shape of the transformer.

    A Llama-style decoder: token embedding, a stack of blocks (attention and a SwiGLU feed-forward, each behind an
    RMSNorm), a final norm and an output layer. These numbers alone fix how many parameters there are.
    """

    vocab_size: int = key(
        256,
        doc="How many different tokens the model can read and write: the number of rows of the embedding.",
        effect="Every token more costs hidden_dim parameters (twice that when the embeddings are not tied) and widens "
        "the last layer. A model that knows nothing starts at a loss of ln(vocab_size): 5.545 for 256.",
        unit="tokens",
        minimum=2,
        maximum=1_000_000,
        examples=(256, 1024, 4096),
    )
    hidden_dim: int = key(
        256,
        doc="The width of the model: how many numbers describe a token on its way through the blocks.",
        effect="Wider learns more and costs more: parameters and computation grow about with its square. "
        "It must be divisible by num_heads.",
        unit="numbers a token",
        minimum=2,
        maximum=65_536,
        examples=(128, 256, 384, 512, 768),
    )
    num_layers: int = key(
        6,
        doc="The depth: how many transformer blocks the text passes through, one after the other.",
        effect="Parameters, memory and time grow in proportion. Deeper models combine more steps of reasoning, and "
        "are harder to train without warm-up.",
        unit="blocks",
        minimum=1,
        maximum=1_024,
        examples=(4, 6, 8, 12),
    )
    num_heads: int = key(
        8,
        doc="Attention heads in each block. Each head looks back over the text in its own way, in its own slice of "
        "hidden_dim / num_heads numbers.",
        effect="More heads look at more things at once, each with less width; the number of parameters stays the "
        "same. 32 to 128 numbers a head work well.",
        unit="heads",
        minimum=1,
        maximum=1_024,
        examples=(4, 6, 8, 12),
    )
    num_kv_heads: int = key(
        8,
        doc="Heads for the keys and values (grouped-query attention). Several query heads share one of these.",
        effect="Fewer than num_heads saves parameters and, above all, the memory of the cache while text is "
        "generated; quality drops a little.",
        unit="heads",
        minimum=1,
        maximum=1_024,
        examples=(1, 2, 4, 8),
        default_note="the same as num_heads",
    )
    mlp_dim: int = key(
        768,
        doc="The inner width of the feed-forward part (SwiGLU) of each block.",
        effect="Most parameters live here: 3 x hidden_dim x mlp_dim in every block. Between 2.7 and 4 times "
        "hidden_dim is usual; the lesson takes 3 times.",
        unit="numbers a token",
        minimum=1,
        maximum=262_144,
        examples=(384, 768, 1152, 1536),
    )
    max_seq_len: int = key(
        512,
        doc="The context: how many tokens the model sees at once, and the length of a training sequence.",
        effect="Longer lets it use what was said further back; memory for activations grows in proportion, and "
        "attention's time with the square.",
        unit="tokens",
        minimum=2,
        maximum=1_048_576,
        examples=(128, 256, 512, 1024),
    )
    dropout: float = key(
        0.1,
        doc="The share of numbers set to zero at random, while training, in what each block adds to its input.",
        effect="More works against memorising a small text and slows learning. 0 is right when the text is read only "
        "a few times; 0.1 to 0.2 when it is read many times.",
        minimum=0,
        below=1,
        examples=(0.0, 0.1, 0.2),
    )
    rope_theta: float = key(
        10000.0,
        doc="The base of the rotary position encoding: how slowly the slowest of its angles turns with distance.",
        effect="Larger values suit longer contexts (500000 is used for many thousands of tokens). For up to 2048 "
        "tokens 10000 is good.",
        minimum=1,
        limit_reason="Below 1 the angles would grow beyond what 32-bit numbers hold.",
        maximum=1e12,
        examples=(10000.0, 500000.0),
    )
    norm_eps: float = key(
        1e-5,
        doc="A small number added inside RMSNorm's square root so that it never divides by zero.",
        effect="Leave it alone unless weights come from elsewhere: 1e-5 and 1e-6 are both common.",
        minimum=1e-12,
        limit_reason="A smaller one is lost in 32-bit arithmetic.",
        maximum=0.1,
        examples=(1e-5, 1e-6),
    )
    tie_embeddings: bool = key(
        True,
        doc="Whether the output layer reuses the embedding's weights instead of having its own.",
        effect="Tied saves vocab_size x hidden_dim parameters, and small models usually learn better for it.",
    )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_dim // self.num_heads

    @property
    def kv_dim(self) -> int:
        """Width of all key/value heads together."""
        return self.num_kv_heads * self.head_dim


@dataclass(frozen=True)
class TrainingConfig:
    """`training_config`: how the weights are learned.

    How much text a step sees, how many steps there are, how large each step is, and how often progress is measured,
    shown and saved.
    """

    batch_size: int = key(
        16,
        doc="Sequences that go through the model together. With several devices this is the total over all of them.",
        effect="Larger gives a steadier gradient and uses the hardware better, until memory runs out: memory for "
        "activations grows in proportion. Halve it when memory is short, and double gradient_accumulation_steps.",
        unit="sequences",
        minimum=1,
        maximum=1_048_576,
        examples=(8, 16, 32, 64),
    )
    gradient_accumulation_steps: int = key(
        2,
        doc="How many batches are added up before the weights move once.",
        effect="Works like a batch that many times as large, for the memory of one and the time of all. "
        "16 sequences x 2 count as 32.",
        unit="batches a step",
        minimum=1,
        maximum=65_536,
        examples=(1, 2, 4),
    )
    max_steps: int = key(
        10000,
        doc="How many times the weights are updated before training ends. The learning-rate curve is laid out over it.",
        effect="More steps learn more, until the text has been read so often that the model starts to learn it by "
        "heart: then the loss on held-out text rises again.",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        examples=(200, 1000, 3000, 10000),
    )
    warmup_steps: int = key(
        1000,
        doc="Steps over which the learning rate climbs from zero to learning_rate.",
        effect="Protects the first steps, in which random weights give large, misleading gradients. A twentieth to a "
        "tenth of max_steps is usual.",
        unit="steps",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 100, 1000),
    )
    learning_rate: float = key(
        3e-4,
        doc="The size of a step at the height of the curve (AdamW's; with `optimizer: muon`, for all but the "
        "matrices).",
        effect="Too low learns slowly; too high makes the loss jump or become NaN. Smaller models stand higher rates: "
        "3e-4 is careful at 5 million parameters, 1e-3 often works.",
        minimum=1e-12,
        limit_reason="A smaller step changes no 32-bit weight.",
        maximum=10,
        examples=(1e-4, 3e-4, 1e-3),
    )
    min_learning_rate: float = key(
        3e-5,
        doc="The learning rate at the last step, where the curve ends.",
        effect="A tenth of learning_rate is the common choice; 0 squeezes out a little more at the very end.",
        minimum=0,
        maximum=10,
        examples=(0.0, 3e-5),
        default_note="a tenth of learning_rate",
    )
    lr_schedule: str = key(
        "cosine",
        doc="The shape of the way down from learning_rate to min_learning_rate, after the warm-up.",
        effect="Cosine stays high for longer and lands softly; linear comes down evenly.",
        choices={
            "cosine": "Half a cosine wave: slow at first, fastest in the middle, slow at the end.",
            "linear": "A straight line.",
        },
    )
    lr_decay_steps: int = key(
        0,
        doc="The step at which the curve reaches min_learning_rate, where the rate then stays. 0 is max_steps.",
        effect="A run that is given more steps can go on at min_learning_rate, without climbing back up: "
        "`trickster resume RUN --set max_steps=N --learning-rate floor` writes it.",
        unit="steps",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 5000),
        default_note="max_steps",
    )
    lr_restart_step: int = key(
        0,
        doc="The step from which the learning rate warms up a second time, and then falls until lr_decay_steps (a warm "
        "restart). 0: never.",
        effect="Gives a run that has come to its end a second one: "
        "`trickster resume RUN --set max_steps=N --learning-rate rewarm` writes it. The loss rises at first, and ends "
        "lower than it was when there are steps enough.",
        unit="steps",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 5000),
    )
    optimizer: str = key(
        "adamw",
        doc="The rule that turns gradients into weight changes.",
        effect="AdamW is the standard. Muon learns small models in clearly fewer steps and keeps half the state for "
        "the matrices, at a little more computation a step.",
        choices={
            "adamw": "AdamW for every weight: two running averages each, and weight decay.",
            "muon": "Muon for the matrices inside the blocks (at muon_learning_rate), AdamW for embeddings and norms.",
        },
    )
    muon_learning_rate: float = key(
        0.02,
        doc="The learning rate of the matrices when `optimizer: muon`. It follows the same curve as learning_rate.",
        effect="Muon's steps are normalised, so its rate is much larger than AdamW's: 0.01 to 0.05.",
        minimum=1e-12,
        limit_reason="A smaller step changes no 32-bit weight.",
        maximum=10,
        examples=(0.01, 0.02, 0.05),
        counts_when=Condition("training_config.optimizer", ("muon",)),
    )
    muon_momentum: float = key(
        0.95,
        doc="How much of the previous direction Muon keeps from step to step.",
        effect="Closer to 1 averages over more steps: smoother and slower to turn.",
        minimum=0,
        below=1,
        examples=(0.9, 0.95),
        counts_when=Condition("training_config.optimizer", ("muon",)),
    )
    weight_decay: float = key(
        0.1,
        doc="How strongly the matrices are pulled towards zero at each step (in proportion to the learning rate).",
        effect="A mild brake on memorising. 0 switches it off; norms are never decayed.",
        minimum=0,
        maximum=10,
        examples=(0.0, 0.01, 0.1),
    )
    beta1: float = key(
        0.9,
        doc="AdamW: how long the running average of the gradient remembers.",
        effect="0.9 remembers about 10 steps, 0.95 about 20.",
        minimum=0,
        below=1,
        examples=(0.9,),
    )
    beta2: float = key(
        0.95,
        doc="AdamW: how long the running average of the squared gradient remembers.",
        effect="0.95 remembers about 20 steps, 0.99 about 100. Lower recovers faster from a bad batch.",
        minimum=0,
        below=1,
        examples=(0.95, 0.99, 0.999),
    )
    grad_clip: float = key(
        1.0,
        doc="The longest gradient that is let through: a longer one is scaled down to this length. 0 switches it off.",
        effect="Protects against the rare batch that would throw the weights far off. If the loss becomes NaN, make "
        "sure this is on.",
        minimum=0,
        maximum=1e6,
        examples=(0.5, 1.0),
    )
    loss: str = key(
        "cross_entropy",
        doc="What training minimises. The loss on held-out text is always plain cross-entropy, in nats, so that runs "
        "stay comparable.",
        effect="Change it to experiment; plain cross-entropy is the honest measure of prediction.",
        choices={
            "cross_entropy": "The standard: minus the logarithm of the probability given to the true next token.",
            "label_smoothing": "Spreads a little of the target over all tokens, so that the model stays less sure.",
            "focal": "Gives less weight to tokens that are already predicted well.",
        },
    )
    label_smoothing: float = key(
        0.1,
        doc="How much of the target is spread evenly over all tokens when `loss: label_smoothing`.",
        effect="More keeps the model less sure of itself; 0.1 is usual.",
        minimum=0,
        below=1,
        examples=(0.05, 0.1),
        counts_when=Condition("training_config.loss", ("label_smoothing",)),
    )
    focal_gamma: float = key(
        2.0,
        doc="How strongly `loss: focal` plays down what is already predicted well.",
        effect="0 is plain cross-entropy; larger looks ever more at the hard tokens.",
        minimum=0,
        maximum=100,
        examples=(1.0, 2.0),
        counts_when=Condition("training_config.loss", ("focal",)),
    )
    precision: str = key(
        "auto",
        doc="The number format in which the matrices are multiplied.",
        effect="bf16 halves memory traffic and is faster on hardware that has it; fp32 is exact and slower. A "
        "processor without bf16 instructions, as in many laptops, takes many times as long for it. The weights "
        "themselves and what the optimizer remembers stay in fp32 on a CPU or GPU.",
        choices={
            "auto": "Whichever is faster on the device at hand.",
            "fp32": "32 bits everywhere: the most accurate.",
            "bf16": "16 bits with the range of 32 in the matrix products.",
        },
    )
    compile: str = key(
        "auto",
        doc="Whether torch compiles the model into fewer and larger kernels before it trains.",
        effect="Steps get faster, after up to a minute of compiling when a shape is met for the first time. Where "
        "compiling does not work, training goes on without. Runs in several processes are not compiled, and "
        "Tenstorrent boards have a compiler of their own.",
        choices={
            "auto": "Where the run is long enough to earn it back: from about ten minutes.",
            "always": "However short the run.",
            "never": "Start at once.",
        },
    )
    activation_checkpointing: bool = key(
        False,
        doc="Keep only what goes into each block for the backward pass, and compute the rest a second time on the way "
        "back.",
        effect="Memory for activations falls to about one block's; each step does a third more work. The losses stay "
        "the same. For models or contexts that do not fit otherwise.",
    )
    seed: int = key(
        1337,
        doc="Where all chance starts: first weights, the order of the text, dropout.",
        effect="The same seed on the same machine gives the same run, bit for bit; another seed shows how much of a "
        "result is luck.",
        minimum=0,
        maximum=4_294_967_295,
        examples=(1337,),
    )
    log_interval: int = key(
        50,
        doc="Steps between two reports of the training loss.",
        effect="Smaller shows more and costs next to nothing.",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        examples=(10, 50),
    )
    eval_interval: int = key(
        500,
        doc="Steps between two evaluations: the loss over the held-out text (over 262,144 of its tokens, evenly "
        "spread, where it is longer), and a sample of what the model writes.",
        effect="Smaller shows learning (and memorising) sooner; each evaluation takes time in which nothing is "
        "learned.",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        examples=(100, 500),
        aliases=(Alias("validation_frequency"),),
    )
    save_interval: int = key(
        1000,
        doc="Steps between two checkpoints, from which an interrupted run can be continued.",
        effect="At most this many steps are lost if the machine goes down. Asking a run to stop always saves first.",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        examples=(200, 1000),
        aliases=(Alias("checkpoint_frequency"),),
    )
    keep_best_n: int = key(
        3,
        doc="How many checkpoints are kept: those with the lowest loss on held-out text. The newest is always kept.",
        effect="More to choose from, for the disk space of one model and its optimizer each.",
        unit="checkpoints",
        minimum=2,
        limit_reason="With a single one, a crash while it is being replaced could leave none.",
        maximum=100_000,
        examples=(2, 3, 5),
    )
    early_stopping_patience: int = key(
        0,
        doc="Evaluations in a row without a better loss on held-out text after which training ends early. 0 switches "
        "it off.",
        effect="Saves time once a model starts to memorise. Too small stops at the first unlucky evaluation.",
        unit="evaluations",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 3, 5),
    )
    early_stopping_min_delta: float = key(
        0.0,
        doc="How much lower the loss must be to count as better.",
        effect="Larger ends a run sooner that improves only by crumbs.",
        unit="nats",
        minimum=0,
        maximum=100,
        examples=(0.0, 0.001),
        counts_when=Condition("training_config.early_stopping_patience", (0,), negated=True),
    )
    tracking: str = key(
        "none",
        doc="Another place to which the run's figures are reported. The run directory always holds them all.",
        effect="tensorboard and wandb need their own packages to be installed.",
        choices={
            "none": "Only the run directory.",
            "tensorboard": "TensorBoard's event files, in `tensorboard` in the run's directory.",
            "wandb": "Weights & Biases, in `wandb` in the run's directory; nothing is sent before `wandb sync`.",
        },
        aliases=(Alias("use_wandb", "`use_wandb: true` is `tracking: wandb`.", values={True: "wandb", False: "none"}),),
    )


@dataclass(frozen=True)
class DeviceConfig:
    """`device_config`: where the training runs.

    The same file trains on a laptop's CPU, a GPU, or a Tenstorrent board; only this section need differ.
    """

    device_type: str = key(
        "auto",
        doc="The kind of device that trains.",
        effect="The same model and the same text give nearly the same losses everywhere; the time differs.",
        choices={
            "auto": "The fastest that this machine has: tt, then cuda, then mps, then cpu.",
            "tt": "A Tenstorrent board, through ttml. Sizes must be multiples of 32.",
            "cuda": "An NVIDIA GPU.",
            "mps": "The GPU of an Apple computer.",
            "cpu": "The processor. Every machine has one.",
        },
    )
    mesh_shape: tuple[int, int] = key(
        (1, 1),
        doc="The devices as a grid, [rows, columns]. Data-parallel training takes one row: [1, 2] is two chips or "
        "GPUs, or on a processor two processes that share its cores.",
        effect="Each device works on its share of the batch, so batch_size must be divisible by their number.",
        unit="devices",
        minimum=1,
        maximum=1_024,
        examples=((1, 1), (1, 2), (1, 4)),
        type="mesh",
    )
    enable_ddp: bool = key(
        False,
        doc="Data-parallel training: each device holds a copy of the model and a share of the batch; gradients are "
        "averaged at each step. With torch a process for each device, started by torchrun; a run may be resumed with "
        "another number of them.",
        effect="Nearly as many times faster as there are devices. Needs a mesh_shape of more than one device.",
    )
    sharding: str = key(
        "none",
        doc="How the model lies on the devices of data-parallel training with torch.",
        effect="`full` lets a model train that is too large for one device, at the price of more traffic between them. "
        "It takes the AdamW optimizer.",
        choices={
            "none": "Each device holds all weights, gradients and optimizer state.",
            "full": "Each device holds its share of them; the weights of a block are brought together while it works "
            "(torch's FSDP2, `fully_shard`).",
        },
    )

    @property
    def devices(self) -> int:
        """How many devices train together: a process for each, with torch."""
        return self.mesh_shape[0] * self.mesh_shape[1] if self.enable_ddp else 1


@dataclass(frozen=True)
class DataConfig:
    """`data_config`: the text, and how it becomes tokens.

    Paths are relative to the folder of the config file.
    """

    corpus: str = key(
        "shakespeare",
        doc="The text to learn from: a name below, or any UTF-8 text file, or a folder of them.",
        effect="More text is the best cure for memorising. A model learns the style of what it reads: plays, code, "
        "recipes.",
        suggestions={
            "shakespeare": "Tiny Shakespeare: 1,115,394 characters of plays, downloaded once and checked.",
            "python": "The Python files of this machine's own standard library: there without a network.",
        },
        examples=("shakespeare", "python", "data/my_text.txt"),
        counts_when=Condition("data_config.train_data", (None,)),
        type="path",
    )
    tokenizer: str = key(
        "byte",
        doc="How text becomes numbers.",
        effect="Larger tokens make sequences shorter and the vocabulary larger. Byte and char models spell; bpe "
        "models start from word pieces.",
        suggestions={
            "byte": "Each byte of UTF-8 is a token: 256 of them, any text works.",
            "char": "Each different character of the corpus is a token: about 65 for Shakespeare.",
            "bpe": "Frequent pieces of words, learned from the corpus (an even sample of a large one), until there are "
            "vocab_size of them.",
        },
        examples=("byte", "char", "bpe"),
        type="path",
    )
    val_fraction: float = key(
        0.1,
        doc="The share of the text, at its end, that is held out: never trained on, only used to measure.",
        effect="Without held-out text learning cannot be told from memorising. A tenth is usual.",
        minimum=1e-6,
        limit_reason="Less of any text that fits a disk is too little to measure on.",
        below=1,
        examples=(0.05, 0.1),
        counts_when=Condition("data_config.train_data", (None,)),
    )
    line_ends: str = key(
        "keep",
        doc="How the ends of lines are read. Files from Windows end them with CR and LF, those of old Macs with CR.",
        effect="Kept, a CR is a character of its own that the model learns to write. The files stay as they are.",
        choices={
            "keep": "As they are in the files.",
            "lf": "Each CR LF and each single CR is read as one LF.",
        },
    )
    train_data: str | None = key(
        None,
        doc="Text that is already split: the lesson's train.pt, or a text file. With val_data it replaces corpus.",
        effect="Use it to train on exactly the tensors of the lesson's scripts. Otherwise leave it out and name a "
        "corpus.",
        examples=("data/train.pt",),
        type="path",
    )
    val_data: str | None = key(
        None,
        doc="The held-out part that goes with train_data: the lesson's val.pt, or a text file.",
        effect="Goes together with train_data.",
        examples=("data/val.pt",),
        type="path",
    )


@dataclass(frozen=True)
class OutputConfig:
    """`output_config`: where runs are written.

    Each run gets a directory of its own, `<output_dir>/<name of the config>-<number>`, and never overwrites another.
    """

    output_dir: str = key(
        "runs",
        doc="The folder in which each run gets its own directory.",
        effect="A checkpoint needs about 12 bytes a parameter, and keep_best_n + 1 of them may be there at once.",
        examples=("runs", "output/nano_trickster"),
        type="path",
    )
    checkpoint_dir: str | None = key(
        None,
        doc="A folder for checkpoints outside the run's directory; each run gets its own folder in it.",
        effect="Useful when checkpoints belong on a larger disk.",
        default_note="`checkpoints` in the run's directory",
        type="path",
    )
    log_dir: str | None = key(
        None,
        doc="A folder for log.txt outside the run's directory; each run gets its own folder in it.",
        default_note="the run's directory",
        type="path",
    )


@dataclass(frozen=True)
class SamplingConfig:
    """`sampling_config`: the text generated at each evaluation, and the defaults of `trickster sample`."""

    prompt: str = key(
        "ROMEO:",
        doc="The text that the model continues.",
        effect="Give it something that looks like the corpus: a speaker's name for plays, `def ` for Python.",
        examples=("ROMEO:", "JULIET:", "def "),
    )
    max_new_tokens: int = key(
        200,
        doc="How many tokens are written after the prompt.",
        effect="Longer shows more and takes longer at each evaluation. It may exceed max_seq_len: the window slides.",
        unit="tokens",
        minimum=1,
        maximum=1_000_000,
        examples=(200, 500),
    )
    temperature: float = key(
        0.8,
        doc="How adventurous the choice of the next token is. 0 always takes the likeliest.",
        effect="0.5 is careful and repeats itself, 1 follows the model's own probabilities, 1.5 is wild. Below "
        "0.001 it counts as 0.",
        minimum=0,
        maximum=100,
        examples=(0.0, 0.5, 0.8, 1.0),
    )
    top_k: int = key(
        0,
        doc="Choose among this many likeliest tokens only. 0 switches it off.",
        effect="Small values cut off blunders, and variety with them.",
        unit="tokens",
        minimum=0,
        maximum=1_000_000,
        examples=(0, 40, 200),
        counts_when=Condition("sampling_config.temperature", (0,), negated=True),
    )
    top_p: float = key(
        1.0,
        doc="Choose among the likeliest tokens that together have this probability. 1 switches it off.",
        effect="Like top_k, but wide where the model is unsure and narrow where it is sure.",
        above=0,
        maximum=1,
        examples=(0.9, 0.95, 1.0),
        counts_when=Condition("sampling_config.temperature", (0,), negated=True),
    )
    repetition_penalty: float = key(
        1.0,
        doc="Makes tokens that were already written less likely. 1 switches it off.",
        effect="1.1 to 1.3 breaks loops. With single characters as tokens it soon spoils spelling.",
        minimum=0.01,
        limit_reason="A smaller one divides predictions into numbers that 32 bits cannot hold.",
        maximum=100,
        examples=(1.0, 1.1),
    )
    seed: int = key(
        1337,
        doc="Where the dice of sampling start.",
        effect="The same seed, prompt and weights write the same text.",
        minimum=0,
        maximum=4_294_967_295,
        examples=(1337,),
    )


@dataclass(frozen=True)
class Plan:
    """One checked config."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    device: DeviceConfig = field(default_factory=DeviceConfig)
    data: DataConfig = field(default_factory=DataConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
