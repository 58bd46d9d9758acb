"""Stage `edit`: InstructPix2Pix (arXiv 2211.09800) for the shapes world, from stage `text_to_image`'s weights.

Owns the pairs that it learns from, which are exact here: a drawn scene, an instruction, and the scene as it is then
wanted. Instructions are read by the text encoder that captions are read by: it knows every word of theirs that
tells them apart, and 'make it' is as unknown to it in one as in the other.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor

from longtake.training.clips import SIZED
from longtake.training.folder import keep, load
from longtake.training.recipe import StageRecipe
from longtake.training.text2video_zero.pictures import encode, loss, prepared, readers, tiny
from longtake.training.text2video_zero.text_to_image import FRAMES, PAIRS, SIDE
from models.shapes import world
from models.shapes.changed import changed
from models.shapes.instruction import CHANGES, Instruction
from models.streaming_t2v import text

PAIRS_A_BATCH, LEVELS = 16, 2  # and at how many noise levels each is seen
DROP = 0.05  # share without text, without picture, and without both, each: the branches of guidance


class Edits(NamedTuple):
    """Pictures before and after, [B, 3, H, W] in [-1, 1], and the instructions."""

    before: Tensor
    after: Tensor
    instructions: list[str]


def edit(rng: random.Random) -> tuple[Tensor, Tensor, str]:
    """A scene's frame, the same of the changed scene, and the instruction; colour, shape and so on equally often."""
    scene = world.scene(world.sample_caption(rng, pairs=PAIRS, sized=SIZED), rng)
    what = rng.choice(list(CHANGES))
    instruction = Instruction(what, rng.choice(CHANGES[what]))
    frame = [rng.randrange(FRAMES)]
    return world.draw(scene, frame, SIDE), world.draw(changed(scene, instruction), frame, SIDE), str(instruction)


def dropped(rng: random.Random, count: int) -> tuple[list[bool], list[bool]]:
    """Of which samples the text is left out, and of which the picture."""
    chance = [rng.random() for _ in range(count)]
    return [c < 2 * DROP for c in chance], [DROP <= c < 3 * DROP for c in chance]


class EditStage:
    """Plain velocity loss. The network is shown the picture's latents, unscaled, beside the noise's channels."""

    name = "edit"
    needs = ("unet", "scheduler")

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or tiny(self.name)
        self.tokenizer, self.text, self.vae = readers(checkpoint)
        self.frozen = (self.text, self.vae)
        self.scheduler = DDIMScheduler.from_pretrained(checkpoint / "scheduler")
        own = checkpoint / "edit_unet"
        whole = load(UNet2DConditionModel, own if own.is_dir() else checkpoint / "unet")
        self.learner: Any = prepared(whole if own.is_dir() else widened(whole))

    def draw(self, rng: random.Random, done: float) -> Edits:
        before, after, said = zip(*(edit(rng) for _ in range(PAIRS_A_BATCH)), strict=True)
        return Edits(torch.cat(before), torch.cat(after), list(said))

    def loss(self, batch: Edits, rng: random.Random, done: float) -> Tensor:
        seen, latents = (encode(self.vae, pixels).repeat(LEVELS, 1, 1, 1) for pixels in (batch.before, batch.after))
        no_text, no_picture = dropped(rng, len(latents))
        said = ["" if gone else words for gone, words in zip(no_text, batch.instructions * LEVELS, strict=True)]
        with torch.no_grad():
            tokens = text.encode(self.tokenizer, self.text, said, self.text.config.max_position_embeddings).tokens
            gone = torch.tensor(no_picture, device=seen.device).view(-1, 1, 1, 1)
            config: Any = self.vae.config
            shown = torch.where(gone, 0, seen / config.scaling_factor)

        def network(noisy: Tensor, t: Tensor) -> Any:
            return self.learner(torch.cat([noisy, shown], dim=1), t, encoder_hidden_states=tokens)

        return loss(network, self.scheduler, latents)

    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / "edit_unet")
        return f"written to {self.folder}"


def widened(unet: Any) -> Any:
    """A network that is shown a picture beside the noise, and does not heed it yet."""
    wide = UNet2DConditionModel.from_config({**unet.config, "in_channels": 2 * unet.config.in_channels})
    state = unet.state_dict()
    weight = state["conv_in.weight"]
    wide.load_state_dict({**state, "conv_in.weight": torch.cat([weight, torch.zeros_like(weight)], dim=1)})
    return wide
