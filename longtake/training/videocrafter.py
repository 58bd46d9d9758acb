"""Stages `text_to_video` and `image_to_video`: a VideoCrafter of the bundled model's size, on the shapes world.

Source: VideoCrafter1 (arXiv 2310.19512), section 3: frames a second as a condition, pictures and videos trained
together, and for image-to-video first the projection, then all. Owns the tiny networks' sizes and their schedule; the
loop is `training.loop`.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModelWithProjection

from longtake.training import clips
from longtake.training.clips import ShapesSource, some_dropped
from longtake.training.first_chunk import UP_BLOCKS
from longtake.training.folder import begin, frozen, keep, load
from longtake.training.objective import attention, without_dropout
from longtake.training.recipe import CHUNK_FRAMES, StageRecipe, read
from longtake.training.vocabulary import WIDTH
from models.shapes import world
from models.streaming_t2v.anchor import clip_pixels
from models.streaming_t2v.text import EncodedText, encode
from models.streaming_t2v.unet import StreamingUNet3D
from models.videocrafter.projection import ImageProjection
from models.videocrafter.schedule import ScaledSchedule
from models.videocrafter.unet import VideoCrafterUNet3D

NETWORK: dict[str, Any] = {
    "sample_size": (8, 8),
    "down_block_types": ("CrossAttnDownBlock3D",) * 3,
    "up_block_types": UP_BLOCKS,
    "block_out_channels": (32, 64, 96),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": WIDTH,
    "attention_head_dim": 8,
    "num_frames": CHUNK_FRAMES,
    "coordinates": True,
    "layout": True,
}
PROJECTION: dict[str, Any] = {
    "token_dim": WIDTH, "hidden_dim": WIDTH, "layers": 2, "heads": 4, "head_dim": 16, "num_tokens": 16,
}  # fmt: skip
#: The published betas with a scale that goes on falling, to the last step and nearly to nothing. With the published
#: 0.7 the last step still shows a mean colour: the latents of 64x64 pixels are too few and too alike to drown it.
#: At a signal that faint only the velocity says anything of the video.
SCHEDULE: dict[str, Any] = {"scale_end": 0.01, "scale_steps": 1000, "prediction_type": "v_prediction"}
RATES = (4.0, 16.0)  # frames a second, drawn evenly by their logarithm
#: Of the time of `image_to_video`, in which the projection and the image's keys and values learn and all else rests.
PROJECTION_FIRST = 0.4
DROPPED = {"text": 0.35, "picture": 0.1, "both": 0.1}  # shares of the samples; what a text says no picture has to


@dataclass(frozen=True, slots=True)
class RatedClips:
    """pixels [B, F, 3, H, W] in [-1, 1], when they are [B, F] in frames of the world, frames a second [B], captions.

    pictures [B, 3, H, W]: of each clip any one frame, whether it is among those or not.
    """

    pixels: Tensor
    moments: Tensor
    fps: Tensor
    captions: list[str]
    pictures: Tensor


@cache
def tiny(stage: str) -> StageRecipe:
    """How the bundled VideoCrafter's stage of that name is trained."""
    return read("tiny-videocrafter").stages[stage]


def draw(source: ShapesSource, rng: random.Random, count: int, frames: int) -> RatedClips:
    """So many clips, each at a rate of its own; of a clip's 16 frames all, or so many at random."""
    fps = [math.exp(rng.uniform(*map(math.log, RATES))) for _ in range(count)]
    moments, drawn = [], []
    for rate in fps:
        chosen = [*sorted(rng.sample(range(CHUNK_FRAMES), frames)), rng.randrange(CHUNK_FRAMES)]
        *when, shown = (frame * world.FPS / rate for frame in chosen)
        moments.append(when)
        drawn.append(source.clip(rng, [*when, shown]))
    pixels = torch.stack([clip.pixels for clip in drawn])
    said = [clip.caption for clip in drawn]
    return RatedClips(pixels[:, :-1], torch.tensor(moments), torch.tensor(fps), said, pixels[:, -1])


class TextToVideoStage:
    """Begun from tiny-shapes' first chunk: every weight that both networks have. New are the frames a second."""

    name = "text_to_video"
    needs: tuple[str, ...] = ("tokenizer", "text_encoder", "vae", "first_chunk")
    #: (frames, clips in a batch, share of the steps): videos and pictures together, as in the paper.
    lengths: tuple[tuple[int, int, float], ...] = ((CHUNK_FRAMES, 8, 0.75), (1, 128, 0.25))

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.folder, self.recipe = checkpoint, recipe or tiny(self.name)
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint / "tokenizer")
        self.text = frozen(CLIPTextModel, checkpoint / "text_encoder")
        self.vae = frozen(AutoencoderKL, checkpoint / "vae")
        self.frozen: tuple[nn.Module, ...] = (self.text, self.vae)
        self.schedule = ScaledSchedule(**SCHEDULE)
        self.source = ShapesSource(size=64, pairs=0.12)
        self.learner: Any = without_dropout(self.network())

    def network(self) -> nn.Module:
        network: Any = begin(VideoCrafterUNet3D, self.folder / self.name, **NETWORK)
        if not (self.folder / self.name).is_dir():
            take_over(network, load(StreamingUNet3D, self.folder / "first_chunk"))
            silence(network.fps_embedding.linear_2)  # so that it begins as the other network
        return network

    def draw(self, rng: random.Random, done: float) -> RatedClips:
        (frames, count, _), *_ = rng.choices(self.lengths, weights=[share for *_, share in self.lengths])
        return draw(self.source, rng, count, frames)

    def loss(self, batch: RatedClips, rng: random.Random, done: float) -> Tensor:
        text = self.read(some_dropped(batch.captions, rng))
        return self.error(self.learner, batch, text, text.tokens)

    def read(self, captions: list[str]) -> EncodedText:
        with torch.no_grad(), attention(self.text.device):
            return encode(self.tokenizer, self.text, captions, self.tokenizer.model_max_length)

    def error(self, network: Any, batch: RatedClips, text: EncodedText, context: Any) -> Tensor:
        """MSE of the velocity, half of the timesteps being from the noisier half."""
        latents = clips.encode(self.vae, batch.pixels)
        noise, device = torch.randn_like(latents), latents.device
        steps, count = self.schedule.config.num_train_timesteps, len(latents)
        t = torch.randint(0, steps, (count,))
        t[: count // 2] = torch.randint(steps // 2, steps, (count // 2,))
        noisy, target = (make(latents, noise, t) for make in (self.schedule.diffuse, self.schedule.target))
        with attention(device):
            options = {
                "timestep_cond": batch.fps.to(device),
                "frame_numbers": batch.moments.to(device),
                "pooled": text.pooled,
            }
            said = network(noisy, t.to(device), context, **options).sample
        loss: Tensor = (said.float() - target).square().mean()
        return loss

    def finish(self, learner: Any) -> str:
        keep(learner, self.folder / self.name)
        keep(self.schedule, self.folder / "schedule")
        return f"written to {self.folder}; `python -m bench.videocrafter` measures it"


class ImageToVideoStage(TextToVideoStage):
    """On top of text-to-video: first the projection and the image's keys and values alone, then all.

    The picture is any frame of the clip, as published: which one, the network is not told.
    """

    name = "image_to_video"
    needs = ("tokenizer", "text_encoder", "vae", "text_to_video", "image_encoder")
    lengths = ((CHUNK_FRAMES, 8, 0.5), (1, 128, 0.5))  # many pictures, for it is pictures that it learns to read

    def __init__(self, checkpoint: Path, recipe: StageRecipe | None = None):
        self.clip = frozen(CLIPVisionModelWithProjection, checkpoint / "image_encoder")
        super().__init__(checkpoint, recipe)
        self.frozen = (*self.frozen, self.clip)

    def network(self) -> nn.Module:
        unet: VideoCrafterUNet3D = begin(VideoCrafterUNet3D, self.folder / self.name, **NETWORK, image_attention=True)
        if not (self.folder / self.name).is_dir():
            take_over(unet, load(VideoCrafterUNet3D, self.folder / "text_to_video"))
            layers = zip(unet.cross_attentions(), unet.image_keys, unet.image_values, strict=True)
            for reader, keys, values in layers:  # so that tokens like a text's say at once what they mean
                keys.load_state_dict(reader.to_k.state_dict())
                values.load_state_dict(reader.to_v.state_dict())
        width = self.clip.config.hidden_size
        folder = self.folder / "image_projection"
        return nn.ModuleDict(
            {"unet": unet, "image_projection": begin(ImageProjection, folder, patch_dim=width, **PROJECTION)}
        )

    def loss(self, batch: RatedClips, rng: random.Random, done: float) -> Tensor:
        unet, everything = self.learner["unet"], done >= PROJECTION_FIRST
        for name, weight in unet.named_parameters():
            weight.requires_grad_(everything or name.startswith(("image_keys", "image_values")))
        lacks = rng.choices(
            ["nothing", *DROPPED], weights=[1 - sum(DROPPED.values()), *DROPPED.values()], k=len(batch.captions)
        )
        captions = ["" if lack in ("text", "both") else said for said, lack in zip(batch.captions, lacks, strict=True)]
        hidden = torch.tensor([lack in ("picture", "both") for lack in lacks]).to(batch.pictures.device)
        pictures = batch.pictures.masked_fill(hidden.view(-1, 1, 1, 1), 0)  # mid-grey
        text = self.read(captions)
        return self.error(unet, batch, text, unet.image_context(text.tokens, self.see(pictures)))

    def see(self, pictures: Tensor) -> Tensor:
        """Pictures [B, 3, H, W] in [-1, 1] -> image tokens [B, N, D]."""
        with torch.no_grad(), attention(self.clip.device):
            shown = clip_pixels(pictures, self.clip.config.image_size).to(self.clip.device)
            patches = self.clip(shown).last_hidden_state
        tokens: Tensor = self.learner["image_projection"](patches)
        return tokens

    def finish(self, learner: Any) -> str:
        learner.requires_grad_(True)
        keep(learner["image_projection"], self.folder / "image_projection")
        return super().finish(learner["unet"])


def silence(layer: Any) -> None:
    """Let a linear layer say nothing at first."""
    for weight in layer.parameters():
        nn.init.zeros_(weight)


def take_over(network: nn.Module, other: nn.Module) -> None:
    """Give a network every weight of another that it has by the same name and shape."""
    own = network.state_dict()
    both = {
        name: weight for name, weight in other.state_dict().items() if name in own and own[name].shape == weight.shape
    }
    network.load_state_dict(both, strict=False)
