"""Stage `transformer`: a diffusion transformer with CAM and APM learns what CAM's and APM's stages teach the UNet.

It has no text-to-video network of its own to begin with, so that all of it learns at once, sometimes without memory and
sometimes without the anchor. Owns the tiny network's size; the data and the loss are `streaming`'s.
"""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn

from longtake.training import clips
from longtake.training.bundle import TRANSFORMER_FOLDERS
from longtake.training.clips import Clips
from longtake.training.folder import begin, keep
from longtake.training.recipe import CHUNK_FRAMES, TransformerRecipe
from longtake.training.streaming import ApmStage, Past
from longtake.training.vocabulary import NUM_TOKENS, WIDTH
from models.streaming_dit.cam import ConditionalAttentionTransformer
from models.streaming_dit.transformer import StreamingTransformer3D
from models.streaming_t2v.anchor import embed_anchor, embed_no_anchor
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.context import Context
from models.streaming_t2v.text import EncodedText

SIZE: dict[str, Any] = {"num_attention_heads": 4, "attention_head_dim": 32, "ffn_dim": 512, "text_dim": WIDTH}


class TransformerStage(ApmStage):
    """All of the transformer, of CAM's copy and of APM's perceptron, on 32 frames as in the stage `apm`."""

    name = told_as = "transformer"
    needs: tuple[str, ...] = ("tokenizer", "text_encoder", "vae", "scheduler", "image_encoder")
    recipe: TransformerRecipe

    def networks(self) -> dict[str, nn.Module]:
        told = self.recipe
        parts = {name: self.folder / folder for name, folder in TRANSFORMER_FOLDERS.items()}
        size = SIZE | {"coordinates": True}
        unet = begin(
            StreamingTransformer3D,
            parts["unet"],
            **size,
            num_layers=told.blocks,
            injected_blocks=told.blocks // 2,
            num_text_tokens=NUM_TOKENS,
        )
        cam = begin(ConditionalAttentionTransformer, parts["cam"], **size, num_layers=told.blocks // 2)
        if not parts["cam"].is_dir():
            cam.load_state_dict(unet.state_dict(), strict=False)
        apm = begin(
            AppearancePreservationModule,
            parts["apm"],
            embedding_dim=self.image.config.projection_dim,
            hidden_dim=told.hidden_dim,
            num_image_tokens=unet.config.num_image_tokens,
            token_dim=WIDTH,
        )
        return {"unet": unet, "cam": cam, "apm": apm}

    def encode_frames(self, batch: Clips) -> tuple[Tensor, Tensor]:
        """Pixels of all frames, and latents of the denoised ones alone: the autoencoder takes half of a step."""
        pixels = batch.pixels.to(self.device)
        self.vae.to(memory_format=torch.channels_last)  # twice as fast there
        return pixels, clips.encode(self.vae, pixels[:, -CHUNK_FRAMES:])

    @torch.no_grad()
    def anchors(self, pixels: Tensor, latents: Tensor, rng: random.Random, no_anchor: list[bool]) -> Tensor:
        """Embeddings [B, E] of one of the first frames of each clip as it was drawn, or of none."""
        first, last = self.recipe.anchor_frames
        shown = torch.stack([clip[rng.randrange(first - 1, last)] for clip in pixels])
        gone = torch.tensor(no_anchor, device=shown.device).unsqueeze(1)
        return torch.where(gone, embed_no_anchor(self.image), embed_anchor(self.image, shown))

    @torch.no_grad()
    def remember(self, pixels: Tensor, latents: Tensor) -> Past:
        """Half of the clips as they are, half a little wrong, as a roll-out's own frames are."""
        half = len(latents) // 2
        wrong = super().remember(pixels[:half], latents[:half])
        shown = torch.cat([clips.decode(self.vae, wrong.latents), pixels[half:]])
        return Past(torch.cat([wrong.latents, latents[half:]]), shown)

    def freeze(self) -> None:
        """Nothing: there is no network below that could do it alone."""

    def loss(self, batch: Clips, rng: random.Random, done: float) -> Tensor:
        self.forgets = rng.random() < self.recipe.drop_memory
        return super().loss(batch, rng, done)

    def denoiser(self, context: Context, past: Past, text: EncodedText) -> nn.Module:
        return _Alone(self.learner["unet"], context) if self.forgets else super().denoiser(context, past, text)

    def finish(self, learner: Any) -> str:
        for name, module in learner.items():
            keep(module, self.folder / TRANSFORMER_FOLDERS[name])
        return f"written to {self.folder}; `longtake evaluate --model tiny-shapes-dit` measures it"


class _Alone(nn.Module):
    """The network without memory: text to video."""

    def __init__(self, unet: Any, context: Context):
        super().__init__()
        self.parts = (unet, context)  # a tuple, so that nothing is registered twice

    def forward(self, sample: Tensor, timestep: Tensor, tokens: Tensor, timestep_cond: Tensor) -> Any:
        unet, context = self.parts
        return unet(sample, timestep, context)
