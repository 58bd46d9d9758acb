"""What each stage of a video runs through its networks at once, without numbers: for counting what it needs.

One entry a stage, with the shapes of `models.streaming_t2v.streamer` and `models.refinement.refiner`. Knows nothing of
weights or presets beyond the three choices that change a shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.memory.presets import Preset
from models.memory.shadow import Parts
from models.model import Size
from models.streaming_t2v.encoder import VideoEncoder

VAE_BATCH = 8
BRANCHES, STREAMING_BRANCHES = 2, 3  # of guidance; streaming has three where its two scales differ


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked of the networks: a size of the preview, and the size it is refined to."""

    preview: Size
    refined: Size
    chunk_frames: int = 16
    conditioning_frames: int = 8
    window_frames: int = 24
    vae_batch: int = VAE_BATCH

    @classmethod
    def native(cls, parts: Mapping[str, Any]) -> Work:
        """The sizes that networks were made for."""
        factor = 2 ** (len(parts["vae"].config.block_out_channels) - 1)
        last = parts["refiner"] if parts.get("refiner") is not None else parts["unet"]
        preview, refined = (network.config.sample_size * factor for network in (parts["unet"], last))
        return cls(Size(preview, preview), Size(refined, refined))


@dataclass(frozen=True, slots=True)
class Load:
    """A stage: the components it uses, and one pass through them at their fullest."""

    stage: str
    size: Size | None
    uses: tuple[str, ...]
    run: Callable[[], object]


def loads(
    parts: Parts, work: Work, preset: Preset, device: str = "meta", branches: int = STREAMING_BRANCHES
) -> Iterator[Load]:
    """The stages in their order. A first chunk by another system than the checkpoint's own is not among them.

    branches: of guidance in streaming.
    """
    passes = _Passes(dict(parts), work, device)
    vae_frames = 1 if preset.vae_slicing else work.vae_batch
    preview, refined = work.preview, work.refined
    for name in ("text_encoder", "refiner_text_encoder"):
        if name in parts:
            yield Load("prompt", None, (name,), lambda name=name: passes.prompt(name))  # type: ignore[misc]
    if "first_chunk" in parts:
        yield Load("first chunk", preview, ("first_chunk",), passes.first_chunk)
    yield Load("anchor", None, ("image_encoder",), passes.anchor)
    uses = tuple(name for name in ("unet", "cam", "apm") if name in parts)
    yield Load("streaming step", preview, uses, lambda: passes.streaming_step(branches))
    yield Load("decode", preview, ("vae",), lambda: passes.decode("vae", preview, vae_frames))
    if "refiner" in parts:
        vae, rows = "refiner_vae" if "refiner_vae" in parts else "vae", BRANCHES if preset.guidance_together else 1
        yield Load("encode", refined, (vae,), lambda: passes.encode(vae, refined, vae_frames))
        yield Load("refining step", refined, ("refiner",), lambda: passes.refining_step(rows))
        yield Load("decode", refined, (vae,), lambda: passes.decode(vae, refined, vae_frames))


class _Passes:
    def __init__(self, parts: dict[str, Any], work: Work, device: str):
        self.parts, self.work, self.device = parts, work, device
        self.factor = 2 ** (len(parts["vae"].config.block_out_channels) - 1)

    def prompt(self, name: str) -> object:
        encoder = self.parts[name]
        return encoder(torch.zeros(1, self._num_tokens(), dtype=torch.long, device=self.device))

    def anchor(self) -> object:
        encoder = self.parts["image_encoder"]
        return encoder(self._zeros(encoder, 1, 3, encoder.config.image_size, encoder.config.image_size))

    def first_chunk(self) -> object:
        network = self.parts["first_chunk"]
        text = self._text(network, BRANCHES)
        context = network.context(text) if hasattr(network, "context") else text
        latents = self._latents(network, self._looks(network, BRANCHES), self.work.chunk_frames, self.work.preview)
        return network(latents, self._step(), context, timestep_cond=self._pooled(network, BRANCHES)).sample.float()

    def streaming_step(self, rows: int) -> object:
        unet, cam, apm, size = self.parts["unet"], self.parts.get("cam"), self.parts.get("apm"), self.work.preview
        text = self._text(unet, rows)
        if unet.config.apm and apm is not None:
            context = unet.anchored_context(text, apm(self._zeros(apm, rows, apm.config.embedding_dim)))
        else:
            context = unet.context(text)
        latents = self._latents(unet, 1, self.work.chunk_frames, size)
        memory = None
        if cam is not None:
            frames = self._zeros(cam, 1, self.work.conditioning_frames, 3, size.height, size.width)
            read, embedded = cam.context(self._text(cam, rows)), cam.embed(frames)
            memory = cam(latents, self._step(), read, embedded, self._pooled(cam, rows))
        return unet(latents, self._step(), context, self._pooled(unet, rows), memory).sample.float()

    def refining_step(self, rows: int) -> object:
        network = self.parts["refiner"]
        latents = self._latents(network, self._looks(network, rows), self.work.window_frames, self.work.refined)
        inputs = {"encoder_hidden_states": self._text(network, rows)}
        if (pooled := self._pooled(network, rows)) is not None:
            inputs["timestep_cond"] = pooled
        return network(latents, self._step(), **inputs).sample.float()

    def encode(self, vae: str, size: Size, frames: int) -> object:
        network = self.parts[vae]
        return network.encode(self._zeros(network, frames, 3, size.height, size.width)).latent_dist.mode().float()

    def decode(self, vae: str, size: Size, frames: int) -> object:
        network = self.parts[vae]
        latents = self._latents(network, frames, 1, size)[:, :, 0]
        return network.decode(latents).sample.float().clamp(-1, 1)

    def _looks(self, network: Any, branches: int) -> int:
        """How many samples of latents it is given: its branches look at the same ones, where it knows of that."""
        return 1 if isinstance(network, VideoEncoder) else branches

    def _latents(self, network: Any, rows: int, frames: int, size: Size) -> Tensor:  # [B, C, F, h, w]
        channels = self.parts["vae"].config.latent_channels
        return self._zeros(network, rows, channels, frames, size.height // self.factor, size.width // self.factor)

    def _text(self, network: Any, rows: int) -> Tensor:  # [B, T, D]
        return self._zeros(network, rows, self._num_tokens(), network.config.cross_attention_dim)

    def _num_tokens(self) -> int:
        tokens: int = self.parts["unet"].config.num_text_tokens
        return tokens

    def _pooled(self, network: Any, rows: int) -> Tensor | None:
        width = network.config.time_cond_proj_dim
        return None if width is None else self._zeros(network, rows, width)

    def _step(self) -> Tensor:
        return torch.zeros((), device=self.device)

    def _zeros(self, network: Any, *shape: int) -> Tensor:
        return torch.zeros(shape, device=self.device, dtype=network.dtype)
