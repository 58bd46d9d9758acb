"""Stages `cam` and `apm`: the streaming network learns to continue, then to keep the anchor's appearance.

Source: StreamingT2V (arXiv 2403.14773), section 5 and its appendix. Owns what is frozen in each stage and how clips
become (anchor, conditioning frames, frames to denoise), for a checkpoint of any size; the loop is `training.loop`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler
from torch import Tensor, nn
from transformers import AutoTokenizer, CLIPTextModel, CLIPVisionModelWithProjection

from longtake.training import clips
from longtake.training.clips import Clips, ShapesSource, Source, some_dropped
from longtake.training.folder import begin, frozen, keep, load
from longtake.training.objective import attention, denoising_loss, without_dropout
from longtake.training.placement import recompute
from longtake.training.recipe import CHUNK_FRAMES, ApmRecipe, StreamingRecipe, tiny_shapes
from models.streaming_t2v.anchor import embed_anchor, embed_no_anchor
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.context import Context
from models.streaming_t2v.text import EncodedText, encode, pooled_for
from models.streaming_t2v.unet import StreamingUNet3D

DRAWN = ShapesSource(size=64, pairs=0.12, latest=72)


@dataclass(frozen=True, slots=True)
class Past:
    """The conditioning frames: their latents [B, C, K, h, w], and their pixels [B, K, 3, H, W] where they are known."""

    latents: Tensor
    pixels: Tensor | None = None


class CamStage:
    """CAM alone: base frozen, extractor and injectors learn on 16-frame windows from anywhere in a video."""

    name = "cam"
    told_as = "cam"  # the stage of the bundled recipe that it follows by default
    needs: tuple[str, ...] = ("tokenizer", "text_encoder", "vae", "scheduler", "first_chunk")

    def __init__(self, checkpoint: Path, recipe: StreamingRecipe | None = None, source: Source = DRAWN):
        self.folder, self.source = checkpoint, source
        self.recipe: Any = recipe or tiny_shapes(self.told_as)
        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint / "tokenizer")
        self.text = frozen(CLIPTextModel, checkpoint / "text_encoder")
        self.vae = frozen(AutoencoderKL, checkpoint / "vae")
        self.frozen: tuple[nn.Module, ...] = (self.text, self.vae)
        self.scheduler = DDIMScheduler.from_pretrained(checkpoint / "scheduler")
        self.learner: Any = nn.ModuleDict(self.networks()).train()
        if not self.recipe.dropout:
            without_dropout(self.learner)
        if self.recipe.gradient_checkpointing:
            for name in {"unet", "cam"} & self.learner.keys():
                recompute(self.learner[name])
        self.freeze()

    def networks(self) -> dict[str, nn.Module]:
        """The streaming network on top of the first chunk's, and CAM as a copy of its input side."""
        return {"unet": self.unet(), "cam": self.cam()}

    def unet(self, **options: Any) -> StreamingUNet3D:
        apm = self.folder / "apm"
        tokens = AppearancePreservationModule.load_config(apm)["num_image_tokens"] if apm.is_dir() else 16
        config = {**self.sizes(StreamingUNet3D), "layout": False, "cam": True, "apm": True, "num_image_tokens": tokens}
        unet: StreamingUNet3D = begin(StreamingUNet3D, self.folder / "unet", **config | options)
        if self.recipe.base == "first_chunk" or not (self.folder / "unet").is_dir():
            unet.load_state_dict(self.base(), strict=False)
        return unet

    def cam(self, **options: Any) -> ConditionalAttentionModule:
        config = {**self.sizes(ConditionalAttentionModule), "embedding_channels": self.recipe.embedding_channels}
        cam: ConditionalAttentionModule = begin(ConditionalAttentionModule, self.folder / "cam", **config | options)
        if not (self.folder / "cam").is_dir():
            cam.load_state_dict(self.base(), strict=False)
        return cam

    def sizes(self, network: type) -> dict[str, Any]:
        """What that class is told of its size: as the first chunk's network."""
        config = StreamingUNet3D.load_config(self.folder / "first_chunk")
        return {key: value for key, value in config.items() if key in signature(network).parameters}

    def base(self) -> dict[str, Tensor]:
        """The weights that streaming begins with: the first chunk's."""
        return first_chunk(self.folder / "first_chunk")

    def freeze(self) -> None:
        for name, weight in self.learner["unet"].named_parameters():
            weight.requires_grad_(name.startswith("cam_"))

    @property
    def device(self) -> torch.device:
        return next(self.learner.parameters()).device

    @property
    def known_frames(self) -> int:
        frames: int = self.learner["cam"].config.num_conditioning_frames
        return frames

    def draw(self, rng: random.Random, done: float) -> Clips:
        return clips.draw(self.source, rng, self.recipe.batch, self.recipe.frames)

    def loss(self, batch: Clips, rng: random.Random, done: float) -> Tensor:
        pixels, latents = self.encode_frames(batch)
        with attention(self.device):
            text = self.encode(some_dropped(batch.captions, rng, self.recipe.drop_text))
            return self.streaming_loss(pixels, latents, text, None)

    def encode_frames(self, batch: Clips) -> tuple[Tensor, Tensor]:
        """Pixels of all frames, and latents: of all where memory is decoded from them, else of the denoised ones."""
        pixels = batch.pixels.to(self.device)
        encoded = pixels if self.recipe.memory_noise else pixels[:, -CHUNK_FRAMES:]
        return pixels, clips.encode(self.vae, encoded)

    @torch.no_grad()
    def encode(self, prompts: list[str]) -> EncodedText:
        return encode(self.tokenizer, self.text, prompts, self.learner["unet"].config.num_text_tokens)

    def streaming_loss(self, pixels: Tensor, latents: Tensor, text: EncodedText, image_tokens: Tensor | None) -> Tensor:
        """Loss of the last 16 frames, of pixels [B, F, 3, H, W] and latents [B, C, F, h, w]; 8 of them are known."""
        unet, known = self.learner["unet"], self.known_frames
        pixels, latents = pixels[:, -CHUNK_FRAMES:], latents[:, :, -CHUNK_FRAMES:]
        past = self.remember(pixels[:, :known], latents[:, :, :known])
        context = (
            unet.context(text.tokens) if image_tokens is None else unet.anchored_context(text.tokens, image_tokens)
        )
        denoiser = self.denoiser(context, past, text)
        weights = torch.ones(latents.shape[2], device=latents.device)
        weights[:known] = self.recipe.known_weight
        told = {"noisier_half": self.recipe.noisier_half, "frame_weights": weights}
        return denoising_loss(denoiser, self.scheduler, latents, text, **told)

    def remember(self, pixels: Tensor, latents: Tensor) -> Past:
        """The frames as they are; or a little wrong, so that a roll-out's own errors do not surprise the network."""
        if not self.recipe.memory_noise:
            return Past(latents, pixels)
        amount = self.recipe.memory_noise * torch.rand(latents.shape[0], 1, 1, 1, 1, device=latents.device)
        return Past(latents + amount * torch.randn_like(latents))

    def denoiser(self, context: Context, past: Past, text: EncodedText) -> nn.Module:
        """What is taught, given the conditioning frames."""
        return self.denoiser_of(self.learner, context, past, text)

    def denoiser_of(self, networks: Any, context: Context, past: Past, text: EncodedText) -> nn.Module:
        """CAM and the network of these as one."""
        unet, cam = networks["unet"], networks["cam"]
        pixels = clips.decode(self.vae, past.latents) if past.pixels is None else past.pixels
        return _Together(unet, cam, context, cam.context(text.tokens), cam.embed(pixels))

    def finish(self, learner: Any) -> str:
        for name, module in learner.items():
            keep(module, self.folder / name)
        return f"written to {self.folder}; `longtake evaluate` measures it"


class ApmStage(CamStage):
    """CAM and APM on 32 frames: anchor from 1-16, conditioning 17-24, denoised 17-32; temporal layers stay frozen."""

    name = told_as = "apm"
    needs: tuple[str, ...] = ("tokenizer", "text_encoder", "vae", "scheduler", "image_encoder", "unet", "cam")
    recipe: ApmRecipe

    def __init__(self, checkpoint: Path, recipe: ApmRecipe | None = None, source: Source = DRAWN):
        self.image = frozen(CLIPVisionModelWithProjection, checkpoint / "image_encoder")
        super().__init__(checkpoint, recipe, source)
        self.frozen = (*self.frozen, self.image)

    def networks(self) -> dict[str, nn.Module]:
        unet, cam = load(StreamingUNet3D, self.folder / "unet"), load(ConditionalAttentionModule, self.folder / "cam")
        sizes = {
            "embedding_dim": self.image.config.projection_dim,
            "hidden_dim": self.recipe.hidden_dim,
            "num_image_tokens": unet.config.num_image_tokens,
            "token_dim": unet.config.cross_attention_dim,
        }
        return {"unet": unet, "cam": cam, "apm": begin(AppearancePreservationModule, self.folder / "apm", **sizes)}

    def freeze(self) -> None:
        temporal = ("transformer_in", "temp_attentions", "temp_convs")
        for name, weight in self.learner["unet"].named_parameters():
            weight.requires_grad_(not any(part in name for part in temporal))

    def loss(self, batch: Clips, rng: random.Random, done: float) -> Tensor:
        pixels, latents = self.encode_frames(batch)
        no_text, no_anchor = self.dropped(rng, len(batch.captions))
        with attention(self.device):
            anchors = self.anchors(pixels, latents, rng, no_anchor)
            text = self.encode(["" if gone else said for gone, said in zip(no_text, batch.captions, strict=True)])
            return self.streaming_loss(pixels, latents, text, self.learner["apm"](anchors))

    def dropped(self, rng: random.Random, count: int) -> tuple[list[bool], list[bool]]:
        """Of which samples the text is left out, and of which the anchor."""
        told = self.recipe
        text, anchor = told.drop_text, told.drop_text + told.drop_anchor
        both, chance = anchor + told.drop_both, [rng.random() for _ in range(count)]
        return [c < text or anchor <= c < both for c in chance], [text <= c < both for c in chance]

    @torch.no_grad()
    def anchors(self, pixels: Tensor, latents: Tensor, rng: random.Random, no_anchor: list[bool]) -> Tensor:
        """Embeddings [B, E] of one of the first frames of each clip, or of none; decoded where memory is."""
        first, last = self.recipe.anchor_frames
        chosen = [rng.randrange(first - 1, last) for _ in range(len(pixels))]
        if self.recipe.memory_noise:
            frames = torch.stack([clip[:, frame] for clip, frame in zip(latents, chosen, strict=True)])
            shown = clips.decode(self.vae, frames.unsqueeze(2))[:, 0]
        else:
            shown = torch.stack([clip[frame] for clip, frame in zip(pixels, chosen, strict=True)])
        gone = torch.tensor(no_anchor, device=shown.device).unsqueeze(1)
        return torch.where(gone, embed_no_anchor(self.image), embed_anchor(self.image, shown))


def first_chunk(folder: Path) -> dict[str, Tensor]:
    """Weights of the first chunk's network, for one that has no layout."""
    return without_layout(load(StreamingUNet3D, folder))


def without_layout(network: StreamingUNet3D) -> dict[str, Tensor]:
    """A network's weights for one that has no layout: its input planes were the last ones."""
    state = network.state_dict()
    if not network.config.layout:
        return state
    kept = {key: weight for key, weight in state.items() if not key.startswith("layout_network.")}
    planes = kept["conv_in.weight"].shape[1] - network.config.in_channels
    return {**kept, "conv_in.weight": kept["conv_in.weight"][:, :planes].clone()}


class _Together(nn.Module):
    """CAM and the network as one denoiser, with all that is constant over steps given."""

    def __init__(self, unet: Any, cam: Any, context: Context, cam_context: Context, embedded: Tensor):
        super().__init__()
        self.parts = (unet, cam, context, cam_context, embedded)  # a tuple, so that nothing is registered twice

    def forward(self, sample: Tensor, timestep: Tensor, tokens: Tensor, timestep_cond: Tensor) -> Any:
        unet, cam, context, cam_context, embedded = self.parts
        memory = cam(sample, timestep, cam_context, embedded, pooled_for(cam, timestep_cond))
        return unet(sample, timestep, context, pooled_for(unet, timestep_cond), memory)
