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
        doc="Sequences per forward pass. With several devices this is the total over all of them.",
        effect="A larger batch gives a less noisy gradient and uses the hardware better, but memory for activations "
        "grows in proportion. If memory is short, halve it and double gradient_accumulation_steps.",
        unit="sequences",
        minimum=1,
        maximum=1_048_576,
        examples=(8, 16, 32, 64),
        other_names=("batch", "per_device_train_batch_size"),
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
        other_names=("accumulate_grad_batches", "grad_accum"),
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
        other_names=("iterations", "max_iters", "num_steps", "steps", "total_steps"),
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
        other_names=("warmup", "warmup_iters"),
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
        other_names=("lr", "max_lr"),
    )
    min_learning_rate: float = key(
        3e-5,
        doc="Final learning rate, at the end of the schedule.",
        effect="A tenth of learning_rate is common; 0 lowers the loss slightly more at the very end.",
        minimum=0,
        maximum=10,
        examples=(0.0, 3e-5),
        default_note="a tenth of learning_rate",
        other_names=("min_lr",),
    )
    lr_schedule: str = key(
        "cosine",
        doc="Shape of the decay from learning_rate to min_learning_rate, after the warm-up.",
        effect="Cosine stays high for longer and ends gently; linear decays evenly.",
        choices={
            "cosine": "Half a cosine wave: slow at first, fastest in the middle, slow at the end.",
            "linear": "A straight line.",
        },
        other_names=("learning_rate_schedule", "lr_decay_style", "lr_scheduler_type", "scheduler_type"),
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
        other_names=("lr_decay_iters",),
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
        other_names=("muon_lr",),
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
        other_names=("adam_beta1",),
    )
    beta2: float = key(
        0.95,
        doc="AdamW: decay of the running average of the squared gradient.",
        effect="0.95 averages over about 20 steps, 0.99 over about 100. A lower value recovers faster from a bad "
        "batch.",
        minimum=0,
        below=1,
        examples=(0.95, 0.99, 0.999),
        other_names=("adam_beta2",),
    )
    grad_clip: float = key(
        1.0,
        doc="Maximum gradient norm: a larger gradient is scaled down to it. 0 switches clipping off.",
        effect="Protects against the rare batch that would throw the weights far off. If the loss becomes NaN, check "
        "that clipping is on.",
        minimum=0,
        maximum=1e6,
        examples=(0.5, 1.0),
        other_names=("clip_grad_norm", "clip_grad_norm_max_norm", "gradient_clipping", "max_grad_norm"),
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
    replace_inputs: float = key(
        0.0,
        doc="Fraction of the input tokens that training replaces by random tokens of the vocabulary. What is to be "
        "predicted stays the text's.",
        effect="Against overfitting: where a text is read many times, it never looks quite the same. 0.05 is usual; 0 "
        "switches it off.",
        minimum=0,
        below=1,
        examples=(0.0, 0.05, 0.1),
    )
    r_drop: float = key(
        0.0,
        doc="R-Drop: training reads each batch twice, each time with dropout of its own, and so much of the divergence "
        "between the two predictions is added to the loss.",
        effect="Against overfitting, together with dropout: what the model says must not depend on which of its "
        "numbers are dropped. A step takes about twice as long. 1 is usual; 0 switches it off. The training loss shown "
        "is the one that is minimised, so it contains the divergence.",
        minimum=0,
        maximum=100,
        examples=(0.0, 1.0),
        counts_when=Condition("model_config.dropout", (0.0,), negated=True),
    )
    distill_from: str | tuple[str, ...] | None = key(
        None,
        doc="Distillation: a trained model that teaches this one, beside the text, or a list of them. The folder of a "
        "run, whose best checkpoint is used, of a checkpoint, or of a Hugging Face Llama with the same tokenizer. Left "
        "out: none.",
        effect="Where a text is read many times, a model that also learns its predecessor's probabilities overfits "
        "less and ends at a lower validation loss. Of several, up to eight, it learns the mean of their probabilities "
        "(an ensemble), which is usually better than any one of them. Each step also needs a forward pass of each "
        "teacher. The run keeps copies of them in `teacher`, `teacher-2` and so on. The training loss shown is the one "
        "that is minimised, so it contains the teachers.",
        examples=("runs/best-001", ("runs/best-001", "runs/best-002"), "models/my-llama"),
        type="paths",
        default_note="no teacher",
        other_names=("teacher", "teacher_model", "teacher_model_name_or_path"),
    )
    distill_weight: float = key(
        0.5,
        doc="How much of the loss compares with the teacher's probabilities; the rest compares with the text.",
        effect="0 ignores the teacher, 1 the text's own next token. 0.5 is usual.",
        minimum=0,
        maximum=1,
        examples=(0.3, 0.5, 0.7),
        counts_when=Condition("training_config.distill_from", (None,), negated=True),
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
        doc="Whether the model is compiled into fewer, larger kernels before training.",
        effect="Steps get faster. On a Linux CPU with g++, Trickster's own kernels are compiled once, in some seconds, "
        "and kept for all later runs. Elsewhere torch compiles the model, which takes up to a minute for a new shape. "
        "If compilation fails, training continues without it. Runs in several processes are not compiled, and "
        "Tenstorrent boards have their own compiler.",
        choices={
            "auto": "If the run is long enough to pay off: from about ten seconds with Trickster's kernels, from about "
            "ten minutes with torch's compiler.",
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
        other_names=("log_every", "logging_steps"),
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
        other_names=("eval_every", "eval_steps"),
    )
    layer_statistics: bool = key(
        True,
        doc="Measure every layer at each evaluation: gradient norm, weight norm, update-to-weight ratio, activation "
        "RMS, attention entropy, dead neurons and effective rank.",
        effect="Shows which layer leaves its usual range, and names faults such as a frozen layer. It changes nothing "
        "about training; the loss stays the same, bit for bit. Not measured on Tenstorrent boards or with `sharding: "
        "full`.",
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
        other_names=("model_save_interval", "save_every", "save_steps"),
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
        other_names=("save_total_limit",),
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
        other_names=("patience",),
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

    @property
    def teachers(self) -> tuple[str, ...]:
        """What `distill_from` names, none, one or several."""
        return paths_in(self.distill_from)


def paths_in(value: object) -> tuple[str, ...]:
    """The paths in the value of a key that takes one or a list of them."""
    if isinstance(value, tuple):
        return value
    return (value,) if isinstance(value, str) and value else ()
