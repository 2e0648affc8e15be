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
        doc="Vocabulary size: how many different tokens the model knows, the number of rows of the embedding.",
        effect="Each additional token costs hidden_dim parameters (twice that if the embeddings are not tied) and "
        "widens the output layer. An untrained model starts near the uniform-prediction loss, ln(vocab_size): 5.545 "
        "for 256.",
        unit="tokens",
        minimum=2,
        maximum=1_000_000,
        examples=(256, 1024, 4096),
    )
    hidden_dim: int = key(
        256,
        doc="Hidden size, the width of the model: how many numbers represent a token in the blocks.",
        effect="A wider model learns more and costs more: parameters and compute grow about with the square. It must "
        "be divisible by num_heads.",
        unit="numbers per token",
        minimum=2,
        maximum=65_536,
        examples=(128, 256, 384, 512, 768),
    )
    num_layers: int = key(
        6,
        doc="Depth: the number of transformer blocks, one after the other.",
        effect="Parameters, memory and time grow in proportion. Deeper models can combine more steps, and are harder "
        "to train without warm-up.",
        unit="blocks",
        minimum=1,
        maximum=1_024,
        examples=(4, 6, 8, 12),
    )
    num_heads: int = key(
        8,
        doc="Attention heads in each block. Each head attends to the text in its own way, in its own slice of "
        "head_dim = hidden_dim / num_heads numbers.",
        effect="More heads attend to more things at once, each with a smaller head_dim; the number of parameters "
        "stays the same. A head_dim of 32 to 128 works well.",
        unit="heads",
        minimum=1,
        maximum=1_024,
        examples=(4, 6, 8, 12),
    )
    num_kv_heads: int = key(
        8,
        doc="Heads for the keys and values (grouped-query attention). Several query heads share one of these.",
        effect="Fewer than num_heads saves parameters and, above all, memory of the key-value cache during "
        "generation; quality drops slightly.",
        unit="heads",
        minimum=1,
        maximum=1_024,
        examples=(1, 2, 4, 8),
        default_note="the same as num_heads",
    )
    mlp_dim: int = key(
        768,
        doc="The inner width of the feed-forward part (SwiGLU) of each block.",
        effect="Most parameters are here: 3 x hidden_dim x mlp_dim in every block. 2.7 to 4 times hidden_dim is "
        "usual; the lesson uses 3 times.",
        unit="numbers per token",
        minimum=1,
        maximum=262_144,
        examples=(384, 768, 1152, 1536),
    )
    max_seq_len: int = key(
        512,
        doc="Context length: how many tokens the model sees at once, and the length of a training sequence.",
        effect="A longer context lets the model use earlier text; memory for activations grows in proportion, and "
        "attention's time with the square.",
        unit="tokens",
        minimum=2,
        maximum=1_048_576,
        examples=(128, 256, 512, 1024),
    )
    dropout: float = key(
        0.1,
        doc="Fraction of activations dropped (set to zero at random during training) in what each block adds to its "
        "input.",
        effect="More dropout reduces overfitting on a small text and slows learning. Use 0 for a few epochs, 0.1 to "
        "0.2 for many.",
        minimum=0,
        below=1,
        examples=(0.0, 0.1, 0.2),
    )
    rope_theta: float = key(
        10000.0,
        doc="Base of the rotary position embedding (RoPE): it sets how slowly the slowest angle turns with distance.",
        effect="Larger values suit longer contexts (500000 is used for many thousands of tokens). For up to 2048 "
        "tokens 10000 is good.",
        minimum=1,
        limit_reason="Below 1 the angles would overflow 32-bit numbers.",
        maximum=1e12,
        examples=(10000.0, 500000.0),
    )
    norm_eps: float = key(
        1e-5,
        doc="A small number added inside RMSNorm's square root so that it never divides by zero.",
        effect="Keep it unless you use weights from elsewhere: 1e-5 and 1e-6 are both common.",
        minimum=1e-12,
        limit_reason="A smaller one is lost in 32-bit arithmetic.",
        maximum=0.1,
        examples=(1e-5, 1e-6),
    )
    tie_embeddings: bool = key(
        True,
        doc="Whether the output layer reuses the embedding's weights instead of having its own.",
        effect="Tied embeddings save vocab_size x hidden_dim parameters, and small models usually learn better with "
        "them.",
    )

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.hidden_dim // self.num_heads


@dataclass(frozen=True)
class TrainingConfig:
    """`training_config`: how the weights are learned.

    How much text a step sees, how many steps there are, how large each step is, and how often progress is measured,
    shown and saved.
    """

    batch_size: int = key(
        16,
        doc="Sequences per forward pass. With several devices this is the total over all of them.",
        effect="A larger batch gives a less noisy gradient and uses the hardware better, but memory for activations "
        "grows in proportion. If memory is short, halve it and double gradient_accumulation_steps.",
        unit="sequences",
        minimum=1,
        maximum=1_048_576,
        examples=(8, 16, 32, 64),
    )
    gradient_accumulation_steps: int = key(
        2,
        doc="Number of batches whose gradients are accumulated before each update.",
        effect="Equivalent to a batch that many times as large, with the memory of one batch and the time of all. 16 "
        "sequences x 2 count as 32.",
        unit="batches per step",
        minimum=1,
        maximum=65_536,
        examples=(1, 2, 4),
    )
    max_steps: int = key(
        10000,
        doc="Number of updates before training ends. The learning-rate schedule spans it.",
        effect="More steps learn more, until the model overfits: it starts to memorise the training text, and the "
        "validation loss rises again.",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        examples=(200, 1000, 3000, 10000),
    )
    warmup_steps: int = key(
        1000,
        doc="Steps over which the learning rate climbs from zero to its peak, learning_rate.",
        effect="Protects the first steps, when random weights give large, misleading gradients. A twentieth to a "
        "tenth of max_steps is usual.",
        unit="steps",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 100, 1000),
    )
    learning_rate: float = key(
        3e-4,
        doc="Peak learning rate (of AdamW; with `optimizer: muon`, for all weights but the matrices).",
        effect="If it is too low, the model learns slowly; if too high, the loss jumps or becomes NaN. Smaller models "
        "allow higher rates: at 5 million parameters 3e-4 is careful, 1e-3 often works.",
        minimum=1e-12,
        limit_reason="A smaller step changes no 32-bit weight.",
        maximum=10,
        examples=(1e-4, 3e-4, 1e-3),
    )
    min_learning_rate: float = key(
        3e-5,
        doc="Final learning rate, at the end of the schedule.",
        effect="A tenth of learning_rate is common; 0 lowers the loss slightly more at the very end.",
        minimum=0,
        maximum=10,
        examples=(0.0, 3e-5),
        default_note="a tenth of learning_rate",
    )
    lr_schedule: str = key(
        "cosine",
        doc="Shape of the decay from learning_rate to min_learning_rate, after the warm-up.",
        effect="Cosine stays high for longer and ends gently; linear decays evenly.",
        choices={
            "cosine": "Half a cosine wave: slow at first, fastest in the middle, slow at the end.",
            "linear": "A straight line.",
        },
    )
    lr_decay_steps: int = key(
        0,
        doc="The step at which the learning rate reaches min_learning_rate, where it then stays. 0 means max_steps.",
        effect="A run with more steps can then continue at min_learning_rate, without climbing again: `trickster "
        "resume RUN --set max_steps=N --learning-rate floor` sets it.",
        unit="steps",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 5000),
        default_note="max_steps",
    )
    lr_restart_step: int = key(
        0,
        doc="Warm restart: the step from which the learning rate warms up again, and then decays until "
        "lr_decay_steps. 0 means never.",
        effect="Trains a finished run for longer: `trickster resume RUN --set max_steps=N --learning-rate rewarm` "
        "sets it. The loss rises at first, and with enough steps ends lower than before.",
        unit="steps",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 5000),
    )
    optimizer: str = key(
        "adamw",
        doc="The algorithm that turns gradients into updates of the weights.",
        effect="AdamW is the standard. Muon trains small models in clearly fewer steps and needs half the state for "
        "the matrices, with slightly more compute per step.",
        choices={
            "adamw": "AdamW for every weight: two running averages each, and weight decay.",
            "muon": "Muon for the matrices inside the blocks (at muon_learning_rate), AdamW for embeddings and norms.",
        },
    )
    muon_learning_rate: float = key(
        0.02,
        doc="Peak learning rate of the matrices with `optimizer: muon`. It follows the same schedule as learning_rate.",
        effect="Muon's updates are normalised, so its rate is much larger than AdamW's: 0.01 to 0.05.",
        minimum=1e-12,
        limit_reason="A smaller step changes no 32-bit weight.",
        maximum=10,
        examples=(0.01, 0.02, 0.05),
        counts_when=Condition("training_config.optimizer", ("muon",)),
    )
    muon_momentum: float = key(
        0.95,
        doc="Momentum of Muon: how much of the previous direction it keeps from step to step.",
        effect="Closer to 1 averages over more steps: smoother and slower to change direction.",
        minimum=0,
        below=1,
        examples=(0.9, 0.95),
        counts_when=Condition("training_config.optimizer", ("muon",)),
    )
    weight_decay: float = key(
        0.1,
        doc="Decoupled weight decay: how strongly each step pulls the matrices towards zero (in proportion to the "
        "learning rate).",
        effect="Regularises mildly against overfitting. 0 switches it off; norms are never decayed.",
        minimum=0,
        maximum=10,
        examples=(0.0, 0.01, 0.1),
    )
    beta1: float = key(
        0.9,
        doc="AdamW: decay of the running average of the gradient.",
        effect="0.9 averages over about 10 steps, 0.95 over about 20.",
        minimum=0,
        below=1,
        examples=(0.9,),
    )
    beta2: float = key(
        0.95,
        doc="AdamW: decay of the running average of the squared gradient.",
        effect="0.95 averages over about 20 steps, 0.99 over about 100. A lower value recovers faster from a bad "
        "batch.",
        minimum=0,
        below=1,
        examples=(0.95, 0.99, 0.999),
    )
    grad_clip: float = key(
        1.0,
        doc="Maximum gradient norm: a larger gradient is scaled down to it. 0 switches clipping off.",
        effect="Protects against the rare batch that would throw the weights far off. If the loss becomes NaN, check "
        "that clipping is on.",
        minimum=0,
        maximum=1e6,
        examples=(0.5, 1.0),
    )
    loss: str = key(
        "cross_entropy",
        doc="The loss that training minimises. The validation loss is always plain cross-entropy, in nats/token, so "
        "that runs stay comparable.",
        effect="Change it to experiment; plain cross-entropy measures prediction directly.",
        choices={
            "cross_entropy": "The standard: minus the logarithm of the probability of the true next token.",
            "label_smoothing": "Spreads part of the target over all tokens, so that the model is less confident.",
            "focal": "Gives less weight to tokens that the model already predicts well.",
        },
    )
    label_smoothing: float = key(
        0.1,
        doc="Fraction of the target spread evenly over all tokens, with `loss: label_smoothing`.",
        effect="A higher value makes the model less confident; 0.1 is usual.",
        minimum=0,
        below=1,
        examples=(0.05, 0.1),
        counts_when=Condition("training_config.loss", ("label_smoothing",)),
    )
    focal_gamma: float = key(
        2.0,
        doc="How strongly `loss: focal` reduces the weight of well-predicted tokens.",
        effect="0 is plain cross-entropy; higher values concentrate on hard tokens.",
        minimum=0,
        maximum=100,
        examples=(1.0, 2.0),
        counts_when=Condition("training_config.loss", ("focal",)),
    )
    precision: str = key(
        "auto",
        doc="Number format of the matrix products.",
        effect="bf16 halves memory traffic and is faster on hardware that has it; fp32 is more accurate and slower. "
        "On a CPU without bf16 instructions, as in many laptops, bf16 takes many times as long. On a CPU or GPU the "
        "weights and the optimizer state stay in fp32.",
        choices={
            "auto": "The faster one on this device.",
            "fp32": "32 bits everywhere: the most accurate.",
            "bf16": "16 bits with the range of 32 in the matrix products.",
        },
    )
    compile: str = key(
        "auto",
        doc="Whether torch compiles the model into fewer, larger kernels before training.",
        effect="Steps get faster, after up to a minute of compilation for a new shape. If compilation fails, training "
        "continues without it. Runs in several processes are not compiled, and Tenstorrent boards have their own "
        "compiler.",
        choices={
            "auto": "If the run is long enough to pay off: from about ten minutes.",
            "always": "Even for a short run.",
            "never": "Start immediately.",
        },
    )
    activation_checkpointing: bool = key(
        False,
        doc="Keep only the input of each block for the backward pass, and recompute its activations there.",
        effect="Memory for activations falls to about one block's; each step needs a third more compute. The losses "
        "stay the same. Use it for models or contexts that do not fit otherwise.",
    )
    seed: int = key(
        1337,
        doc="Random seed of the initial weights, the order of the text, and dropout.",
        effect="The same seed on the same machine gives the same run, bit for bit; another seed shows how much of a "
        "result is chance.",
        minimum=0,
        maximum=4_294_967_295,
        examples=(1337,),
    )
    log_interval: int = key(
        50,
        doc="Steps between two reports of the training loss.",
        effect="A smaller interval shows more detail and costs almost nothing.",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        examples=(10, 50),
    )
    eval_interval: int = key(
        500,
        doc="Steps between two evaluations: the validation loss (over at most 262,144 tokens of the validation text, "
        "evenly spread) and a sample of generated text.",
        effect="A smaller interval shows learning (and overfitting) sooner; each evaluation takes time from training.",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        examples=(100, 500),
        aliases=(Alias("validation_frequency"),),
    )
    save_interval: int = key(
        1000,
        doc="Steps between two checkpoints, from which an interrupted run can be resumed.",
        effect="At most this many steps are lost if the machine crashes. Stopping a run always saves first.",
        unit="steps",
        minimum=1,
        maximum=1_000_000_000,
        examples=(200, 1000),
        aliases=(Alias("checkpoint_frequency"),),
    )
    keep_best_n: int = key(
        3,
        doc="How many checkpoints are kept: those with the lowest validation loss. The newest is always kept.",
        effect="Each checkpoint needs the disk space of one model and its optimizer state.",
        unit="checkpoints",
        minimum=2,
        limit_reason="With a single one, a crash while it is being replaced could leave none.",
        maximum=100_000,
        examples=(2, 3, 5),
    )
    early_stopping_patience: int = key(
        0,
        doc="Early stopping: evaluations in a row without a lower validation loss after which training ends. 0 "
        "switches it off.",
        effect="Saves time once a model overfits. If it is too small, one unlucky evaluation ends the run.",
        unit="evaluations",
        minimum=0,
        maximum=1_000_000_000,
        examples=(0, 3, 5),
    )
    early_stopping_min_delta: float = key(
        0.0,
        doc="How much lower the validation loss must be to count as an improvement.",
        effect="A larger value ends a run sooner that improves only slightly.",
        unit="nats",
        minimum=0,
        maximum=100,
        examples=(0.0, 0.001),
        counts_when=Condition("training_config.early_stopping_patience", (0,), negated=True),
    )
    tracking: str = key(
        "none",
        doc="Also report the run's metrics to this tool. The run directory always has all of them.",
        effect="tensorboard and wandb need their own packages.",
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
        effect="The same model and text give nearly the same losses on every device; the time differs.",
        choices={
            "auto": "The fastest device available: tt, then cuda, then mps, then cpu.",
            "tt": "A Tenstorrent board, through ttml. Sizes must be multiples of 32.",
            "cuda": "An NVIDIA GPU.",
            "mps": "The GPU of an Apple computer.",
            "cpu": "The CPU. Every machine has one.",
        },
    )
    mesh_shape: tuple[int, int] = key(
        (1, 1),
        doc="The devices as a grid, [rows, columns]. Data-parallel training uses one row: [1, 2] is two chips or "
        "GPUs, or on a CPU two processes that share its cores.",
        effect="Each device works on its share of the batch, so batch_size must be divisible by their number.",
        unit="devices",
        minimum=1,
        maximum=1_024,
        examples=((1, 1), (1, 2), (1, 4)),
        type="mesh",
    )
    enable_ddp: bool = key(
        False,
        doc="Data-parallel training: each device has a copy of the model and a share of the batch; gradients are "
        "averaged at each step. With torch, torchrun starts one process per device; a run can be resumed with another "
        "number of them.",
        effect="The speed grows nearly with the number of devices. Needs a mesh_shape of more than one device.",
    )
    sharding: str = key(
        "none",
        doc="How data-parallel training with torch distributes the model over the devices.",
        effect="`full` trains a model that is too large for one device, with more traffic between the devices. It "
        "needs the AdamW optimizer.",
        choices={
            "none": "Each device has all weights, gradients and optimizer state.",
            "full": "Each device has a shard of them; the weights of a block are gathered while it computes (torch's "
            "FSDP2, `fully_shard`).",
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
        doc="The text to train on: a name below, any UTF-8 text file, or a folder of them.",
        effect="More text is the best remedy for overfitting. A model learns the style of its text: plays, code, "
        "recipes.",
        suggestions={
            "shakespeare": "Tiny Shakespeare: 1,115,394 characters of plays, downloaded once and verified.",
            "python": "The Python files of this machine's standard library: available without a network.",
        },
        examples=("shakespeare", "python", "data/my_text.txt"),
        counts_when=Condition("data_config.train_data", (None,)),
        type="path",
    )
    tokenizer: str = key(
        "byte",
        doc="The tokenizer: how text becomes numbers (tokens).",
        effect="Larger tokens make sequences shorter and the vocabulary larger. Byte and char models learn to spell; "
        "bpe models start from subwords.",
        suggestions={
            "byte": "Each byte of UTF-8 is a token: 256 of them, and any text works.",
            "char": "Each distinct character of the corpus is a token: 65 for Shakespeare.",
            "bpe": "Subwords: frequent sequences learned from the corpus (an even sample of a large one) until there "
            "are vocab_size tokens.",
        },
        examples=("byte", "char", "bpe"),
        type="path",
    )
    val_fraction: float = key(
        0.1,
        doc="Fraction of the text, at its end, used as validation text: never trained on, only measured on.",
        effect="Validation text distinguishes learning from memorising. A tenth is usual.",
        minimum=1e-6,
        limit_reason="Less than this is too little text to measure on.",
        below=1,
        examples=(0.05, 0.1),
        counts_when=Condition("data_config.train_data", (None,)),
    )
    line_ends: str = key(
        "keep",
        doc="How line ends are read. Files from Windows use CR and LF, those from old Macs use CR.",
        effect="With keep, a CR is a separate character that the model learns to generate. The files do not change.",
        choices={
            "keep": "As in the files.",
            "lf": "Each CR LF and each single CR is read as one LF.",
        },
    )
    train_data: str | None = key(
        None,
        doc="Text that is already split: the lesson's train.pt, or a text file. With val_data it replaces corpus.",
        effect="Use it to train on exactly the tensors of the lesson's scripts. Otherwise omit it and set corpus.",
        examples=("data/train.pt",),
        type="path",
    )
    val_data: str | None = key(
        None,
        doc="The validation text for train_data: the lesson's val.pt, or a text file.",
        effect="Set it together with train_data.",
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
        doc="The folder for run directories.",
        effect="A checkpoint needs about 12 bytes per parameter, and keep_best_n + 1 of them may exist at once.",
        examples=("runs", "output/nano_trickster"),
        type="path",
    )
    checkpoint_dir: str | None = key(
        None,
        doc="A folder for checkpoints outside the run's directory; each run gets its own folder in it.",
        effect="Use it to store checkpoints on a larger disk.",
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
        effect="Choose a beginning that occurs in the corpus: a speaker's name for plays, `def ` for Python.",
        examples=("ROMEO:", "JULIET:", "def "),
    )
    max_new_tokens: int = key(
        200,
        doc="How many tokens to generate after the prompt.",
        effect="A longer sample shows more and makes each evaluation slower. It may exceed max_seq_len: the window "
        "slides.",
        unit="tokens",
        minimum=1,
        maximum=1_000_000,
        examples=(200, 500),
    )
    temperature: float = key(
        0.8,
        doc="Sampling temperature: higher means higher entropy, more unlikely tokens. 0 is greedy: always the "
        "likeliest.",
        effect="0.5 repeats itself, 1 samples the model's own probabilities, at 1.5 spelling falls apart. Below 0.001 "
        "it counts as 0.",
        minimum=0,
        maximum=100,
        examples=(0.0, 0.5, 0.8, 1.0),
    )
    top_k: int = key(
        0,
        doc="Top-k: sample only from this many of the likeliest tokens. 0 switches it off.",
        effect="Small values avoid errors, and reduce variety.",
        unit="tokens",
        minimum=0,
        maximum=1_000_000,
        examples=(0, 40, 200),
        counts_when=Condition("sampling_config.temperature", (0,), negated=True),
    )
    top_p: float = key(
        1.0,
        doc="Top-p (nucleus sampling): sample only from the likeliest tokens that together have this probability. 1 "
        "switches it off.",
        effect="Like top_k, but it keeps more tokens where the model is unsure and fewer where it is sure.",
        above=0,
        maximum=1,
        examples=(0.9, 0.95, 1.0),
        counts_when=Condition("sampling_config.temperature", (0,), negated=True),
    )
    repetition_penalty: float = key(
        1.0,
        doc="Repetition penalty: makes tokens that already occurred less likely. 1 switches it off.",
        effect="1.1 to 1.3 breaks loops. With characters or bytes as tokens it soon spoils the spelling.",
        minimum=0.01,
        limit_reason="With a smaller one the predictions would overflow 32-bit numbers.",
        maximum=100,
        examples=(1.0, 1.1),
    )
    seed: int = key(
        1337,
        doc="Random seed of sampling.",
        effect="The same seed, prompt and weights generate the same text.",
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
