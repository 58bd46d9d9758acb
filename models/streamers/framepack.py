"""FramePack's forward sampling as the streamer: a chunk is one section, and its history goes on in the state.

Source: FramePack (arXiv 2504.12626), section 3: the context of a next-frame-section model, packed the smaller the
older it is, and its "vanilla" sampling, which goes only forwards (FramePack-F1). Owns the loop and what of a section
may be shown; networks are diffusers'.

A section of w latents is decoded with the one before it, and its frames are blended with those that the section before
showed there, over o = r(w-1)+1 frames where a latent has r (`HunyuanVideoFramepackPipeline._soft_append`). The last o
frames of what has been decoded are therefore not final: they wait in the state until the next section has been blended
in. The first chunk, of 1+rw frames, gives out r, each later one rw, and the frames are those of the pipeline's one
call; only its last o frames, which no later section has changed there, are made anew here by going on. So a chunk's
frames show mostly what the section before it drew: a new prompt is seen o frames after the chunk that first read it.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise, pixels
from models.request import Brief
from models.streamers.streamer import State
from models.streaming_t2v.sampler import OnStep
from models.units import Unit

HISTORY = (16, 2, 1)  # latents before a section, the oldest first: those packed 4, 2 and 1 times smaller
STAGE = "framepack"
LARGEST_SHIFT = math.log(7.0)  # of the levels of noise, however large the frames are
FINE = 8192  # waiting pixels are kept in 16 bits, -4..4: in 1/64 of the steps of a frame's 8 bits, at half of float32


@dataclass(frozen=True)
class _Text:
    """tokens: [1, L, D] of Llama; pooled: [1, P] of CLIP; mask: [1, L]."""

    tokens: Tensor
    pooled: Tensor
    mask: Tensor


class FramePack:
    """pipeline: diffusers' `HunyuanVideoFramepackPipeline`. Raises ValueError where the brief has no picture.

    The state: "latents" float32 [1, C, max(19, w), h, w], the newest last and zeros before the picture's; "picture",
    the picture's own latent, and "seen", what SigLIP makes of it; "waiting", int16 [1, 3, o, H, W].
    """

    def __init__(self, pipeline: Any, brief: Brief):
        if brief.request.image is None:
            raise ValueError(f"{brief.model.name} goes on from a picture, and none is given.")
        self._parts, self._brief = pipeline, brief
        self._window: int = brief.options["latent_window_size"]
        self._new = pipeline.vae_scale_factor_temporal * self._window
        self._overlap = self._new - pipeline.vae_scale_factor_temporal + 1

    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        video, state = self.opening(on_step)
        return _bytes(video), state

    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        video, state = self.section(unit, before, on_step)
        return _bytes(video), state

    @torch.no_grad()
    def opening(self, on_step: OnStep) -> tuple[Tensor, State]:
        """The first frames before they are rounded, [1, 3, F, H, W], about -1..1; and the state."""
        known = self._known()
        past = torch.cat([known["latents"], self._drawn(known, 0, 0, on_step)], dim=2)
        video = self._decoded(past[:, :, -1 - self._window :])  # 1 + r w frames
        return self._left(known, past, video)

    @torch.no_grad()
    def section(self, unit: Unit, before: State, on_step: OnStep) -> tuple[Tensor, State]:
        """The frames that are final once this section is drawn, [1, 3, r w, H, W]; and the state."""
        past = torch.cat([before["latents"], self._drawn(before, unit.index, unit.first_frame, on_step)], dim=2)
        video = self._decoded(past[:, :, -2 * self._window :])  # 1 + r (2w - 1) frames
        shown = before["waiting"].float() / FINE
        share = torch.linspace(1, 0, self._overlap).view(-1, 1, 1)
        blended = share * shown + (1 - share) * video[:, :, : self._overlap]
        return self._left(before, past, torch.cat([blended, video[:, :, self._overlap :]], dim=2))

    def _left(self, before: State, past: Tensor, video: Tensor) -> tuple[Tensor, State]:
        """What of a video is final, and the state with what is not."""
        waiting = (video[:, :, -self._overlap :].clamp(-4, 4 - 1 / FINE) * FINE).round().to(torch.int16)
        left = {"latents": past[:, :, -before["latents"].shape[2] :].contiguous(), "waiting": waiting.contiguous()}
        return video[:, :, : -self._overlap], {**before, **left}

    def _known(self) -> State:
        """What is known before anything is drawn: the picture."""
        size, parts = self._brief.model.size, self._parts
        assert self._brief.request.image is not None
        picture = pixels.fit(self._brief.request.image[None], size.height, size.width)
        shown = torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 127.5 - 1  # [1, 3, H, W]
        seen = parts.encode_image(shown, device=parts.image_encoder.device)
        posterior = parts.vae.encode(shown[:, :, None].to(parts.vae.device, parts.vae.dtype)).latent_dist
        grain = noise.generator(seed=self._brief.request.seed, stage=STAGE, index=0)
        latent = (posterior.sample(generator=grain) * parts.vae.config.scaling_factor).float().cpu()
        past = latent.new_zeros(1, latent.shape[1], max(sum(HISTORY), self._window), *latent.shape[3:])
        past[:, :, -1:] = latent
        return {"latents": past, "picture": latent, "seen": seen.cpu()}

    def _drawn(self, known: State, index: int, frame: int, on_step: OnStep) -> Tensor:
        """The latents of a section, [1, C, w, h, w]."""
        brief, network = self._brief, self._parts.transformer
        context = self._context(known)
        text, against = self._text(brief.caption(frame)), None
        scale: float = brief.options["true_cfg_scale"]
        if scale > 1 and brief.negative_prompt:
            against = self._text(brief.negative_prompt)
        shape = (*known["latents"].shape[:2], self._window, *known["latents"].shape[3:])
        latents = noise.gaussian(shape, seed=brief.request.seed_at(frame), stage=STAGE, index=index)
        latents = latents.to(network.device)
        schedule = self._schedule(latents)
        for step, t in enumerate(schedule.timesteps):
            wanted = self._predicted(latents, t, text, context)
            if against is not None:
                other = self._predicted(latents, t, against, context)
                wanted = other + scale * (wanted - other)
            latents = schedule.step(wanted.float(), t, latents, return_dict=False)[0]
            on_step(step + 1, len(schedule.timesteps))
        return latents.float().cpu()

    def _predicted(self, latents: Tensor, t: Tensor, text: _Text, context: dict[str, Tensor]) -> Tensor:
        network = self._parts.transformer
        made: Tensor = network(
            hidden_states=latents.to(network.dtype),
            timestep=t.expand(1),
            encoder_hidden_states=text.tokens,
            encoder_attention_mask=text.mask,
            pooled_projections=text.pooled,
            return_dict=False,
            **context,
        )[0]
        return made

    def _context(self, known: State) -> dict[str, Tensor]:
        """What the network is told besides latents and text: where and what the past is, the picture, the guidance."""
        network = self._parts.transformer
        picture, far, near, next_to, own = torch.arange(1 + sum(HISTORY) + self._window).split(
            [1, *HISTORY, self._window]
        )
        oldest, old, newest = known["latents"][:, :, -sum(HISTORY) :].split(HISTORY, dim=2)
        told = {
            "latents_clean": torch.cat([known["picture"], newest], dim=2),
            "latents_history_2x": old,
            "latents_history_4x": oldest,
            "image_embeds": known["seen"],
            # Rounded before it is made larger, as the release does: in bfloat16 the order shows.
            "guidance": torch.tensor([self._brief.request.guidance_scale], dtype=network.dtype) * 1000.0,
        }
        return {
            **{name: tensor.to(network.device, network.dtype) for name, tensor in told.items()},
            "indices_latents": own,
            "indices_latents_clean": torch.cat([picture, next_to]),
            "indices_latents_history_2x": near,
            "indices_latents_history_4x": far,
        }

    def _text(self, prompt: str) -> _Text:
        network = self._parts.transformer
        tokens, pooled, mask = self._parts.encode_prompt(prompt, device=network.device)
        return _Text(*(tensor.to(network.device, network.dtype) for tensor in (tokens, pooled, mask)))

    def _schedule(self, latents: Tensor) -> Any:
        """A scheduler of its own, as it counts its steps; shifted to more noise the more tokens there are."""
        parts, steps = self._parts, self._brief.request.steps
        schedule = deepcopy(parts.scheduler)
        few, many = (schedule.config.get(f"{at}_image_seq_len", n) for at, n in (("base", 256), ("max", 4096)))
        least, most = (schedule.config.get(f"{at}_shift", n) for at, n in (("base", 0.5), ("max", 1.15)))
        tokens = latents[0, 0].numel() / parts.transformer.config.patch_size**2
        shift = least + (most - least) * (tokens - few) / (many - few)
        levels = np.linspace(1.0, 0.0, steps + 1)[:-1]
        schedule.set_timesteps(sigmas=levels, device=latents.device, mu=min(shift, LARGEST_SHIFT))
        return schedule

    def _decoded(self, latents: Tensor) -> Tensor:  # [1, C, n, h, w] -> [1, 3, 1 + r (n - 1), H, W]
        vae = self._parts.vae
        scaled = latents.to(vae.device, vae.dtype) / vae.config.scaling_factor
        video: Tensor = vae.decode(scaled, return_dict=False)[0]
        return video.float().cpu()


def _bytes(video: Tensor) -> np.ndarray:  # [1, 3, F, H, W] -> uint8 [F, H, W, 3]
    return ((video[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 3, 0).numpy()
