"""The keys of `training_config`: how the weights are learned."""

from __future__ import annotations

from dataclasses import dataclass

from trickster_engine.config.keys.spec import Alias, Condition, key


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
        other_names=("batch", "per_device_train_batch_size"),
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
        other_names=("accumulate_grad_batches", "grad_accum"),
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
        other_names=("iterations", "max_iters", "num_steps", "steps", "total_steps"),
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
        other_names=("warmup", "warmup_iters"),
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
        other_names=("lr", "max_lr"),
    )
    min_learning_rate: float = key(
        3e-5,
        doc="The learning rate at the last step, where the curve ends.",
        effect="A tenth of learning_rate is the common choice; 0 squeezes out a little more at the very end.",
        minimum=0,
        maximum=10,
        examples=(0.0, 3e-5),
        default_note="a tenth of learning_rate",
        other_names=("min_lr",),
    )
    lr_schedule: str = key(
        "cosine",
        doc="The shape of the way down from learning_rate to min_learning_rate, after the warm-up.",
        effect="Cosine stays high for longer and lands softly; linear comes down evenly.",
        choices={
            "cosine": "Half a cosine wave: slow at first, fastest in the middle, slow at the end.",
            "linear": "A straight line.",
        },
        other_names=("learning_rate_schedule", "lr_decay_style", "lr_scheduler_type", "scheduler_type"),
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
        other_names=("lr_decay_iters",),
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
        other_names=("muon_lr",),
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
        other_names=("adam_beta1",),
    )
    beta2: float = key(
        0.95,
        doc="AdamW: how long the running average of the squared gradient remembers.",
        effect="0.95 remembers about 20 steps, 0.99 about 100. Lower recovers faster from a bad batch.",
        minimum=0,
        below=1,
        examples=(0.95, 0.99, 0.999),
        other_names=("adam_beta2",),
    )
    grad_clip: float = key(
        1.0,
        doc="The longest gradient that is let through: a longer one is scaled down to this length. 0 switches it off.",
        effect="Protects against the rare batch that would throw the weights far off. If the loss becomes NaN, make "
        "sure this is on.",
        minimum=0,
        maximum=1e6,
        examples=(0.5, 1.0),
        other_names=("clip_grad_norm", "clip_grad_norm_max_norm", "gradient_clipping", "max_grad_norm"),
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
        other_names=("log_every", "logging_steps"),
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
        other_names=("eval_every", "eval_steps"),
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
        other_names=("model_save_interval", "save_every", "save_steps"),
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
        other_names=("save_total_limit",),
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
        other_names=("patience",),
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
