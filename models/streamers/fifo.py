"""FIFO-Diffusion as the streamer: a queue of frames, each noisier than the one before, that all get clearer together.

Source: FIFO-Diffusion (arXiv 2405.11473): diagonal denoising (section 4.1), latent partitioning (4.2), and lookahead
denoising (4.3). It needs no training and no other weights: the text-to-video network is asked for frames that are at
different noise levels. Memory does not grow. Owns the queue; knows nothing of CAM and APM.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from models import noise, pixels
from models.request import Brief
from models.streamers.plain import network_of, read
from models.streamers.streamer import State
from models.streamers.streaming_t2v import StreamingT2V
from models.streaming_t2v.pipeline import StreamingPipeline
from models.streaming_t2v.sampler import OnStep
from models.streaming_t2v.text import pooled_for
from models.units import Unit


class Fifo:
    """opening: makes the first chunk. `steps` of a request are brought to a multiple of a chunk's frames, for the queue
    holds one frame a step: each partition of it is a chunk long.

    State: "queue", float32 [C, S, h, w], the frames to come from nearly clear to nearly noise; "front", float32
    [C, F/2, h, w], the last clear ones, which the first window looks at.
    """

    def __init__(self, brief: Brief, pipeline: StreamingPipeline, opening: StreamingT2V):
        self._brief, self._parts, self._opening = brief, pipeline, opening
        self._network: Any = network_of(pipeline)
        self._frames = brief.model.chunk_frames
        self._levels = Levels(pipeline.scheduler, max(1, round(brief.request.steps / self._frames)) * self._frames)

    @torch.no_grad()
    def begin(self, on_step: OnStep) -> tuple[np.ndarray, State]:
        """The first chunk, and the queue behind it, from which its own frames have come out once more."""
        steps = len(self._levels)
        frames, _ = self._opening.begin(lambda done, of: on_step(done, of + steps))
        size = frames.shape[1:3]
        clear = pixels.encode(self._parts.vae, frames, size=size, resize="bilinear", batch=8)  # [C, F, h, w]
        before = clear[:, :1].expand(-1, steps - self._frames, -1, -1)
        queue = self._levels.noised(torch.cat([before, clear], dim=1), self._noise(clear, steps, 0, 0))
        front = clear[:, :1].expand(-1, self._frames // 2, -1, -1)
        for taken in range(steps):
            queue, front = self._advance(queue, front, self._noise(clear, 1, 0, taken + 1), 0)
            on_step(self._brief.first_chunk_sampling[0] + taken + 1, self._brief.first_chunk_sampling[0] + steps)
        return frames, self._state(queue, clear[:, -(self._frames // 2) :])

    @torch.no_grad()
    def go_on(self, unit: Unit, before: State, on_step: OnStep) -> tuple[np.ndarray, State]:
        """One frame comes out a step of the whole queue, and noise goes in at its end."""
        queue, front = before["queue"], before["front"]
        count, out = self._brief.model.new_frames, []
        for taken in range(count):
            queue, front = self._advance(queue, front, self._noise(queue, 1, unit.index, taken), unit.first_frame)
            out.append(front[:, -1])
            on_step(taken + 1, count)
        return pixels.decode(self._parts.vae, torch.stack(out, dim=1), batch=8), self._state(queue, front)

    def _advance(self, queue: Tensor, front: Tensor, entering: Tensor, frame: int) -> tuple[Tensor, Tensor]:
        """Every frame of the queue takes one step; its first is clear then and leaves it for the front."""
        half = self._frames // 2
        line = torch.cat([front, queue], dim=1)
        times = torch.cat([self._levels.times.new_zeros(half), self._levels.times])
        starts = range(0, queue.shape[1], half)
        windows = torch.stack([line[:, start : start + self._frames] for start in starts])
        when = torch.stack([times[start : start + self._frames] for start in starts])
        velocity = self._predict(windows, when, frame)[:, :, half:]  # of the half that has seen what is before it
        predicted = velocity.transpose(0, 1).flatten(1, 2)  # [C, S, h, w]
        moved = self._levels.step(queue, predicted)
        return torch.cat([moved[:, 1:], entering], dim=1), torch.cat([front[:, 1:], moved[:, :1]], dim=1)

    def _predict(self, windows: Tensor, when: Tensor, frame: int) -> Tensor:
        """Guided predictions for windows [N, C, F, h, w] whose frames are at timesteps `when` [N, F]."""
        _, scale = self._brief.streamer_sampling
        prompts = [self._brief.caption(frame)] if scale == 1 else [self._brief.caption(frame), self._null]
        network, count = self._network, len(windows)
        text = read(self._parts, network, prompts)
        tokens, pooled = (given.repeat_interleave(count, dim=0) for given in (text.tokens, text.pooled))
        batch = windows.to(network.device, network.dtype).repeat(len(prompts), 1, 1, 1, 1)
        more = {"lay_out": batch.new_zeros(len(batch)), "pooled": pooled} if network.config.layout else {}
        cond = pooled_for(network, pooled)
        made = network(batch, when.to(network.device).repeat(len(prompts), 1), tokens, timestep_cond=cond, **more)
        told, *null = made.sample.float().cpu().split(count)
        return null[0] + scale * (told - null[0]) if null else told

    @property
    def _null(self) -> str:
        return self._brief.request.negative_prompt

    def _noise(self, like: Tensor, count: int, index: int, step: int) -> Tensor:
        """For so many frames, [C, count, h, w]."""
        channels, _, height, width = like.shape
        first = 0 if index == 0 else self._brief.model.chunk_frames + (index - 1) * self._brief.model.new_frames
        seed = self._brief.request.seed_at(first)
        return noise.gaussian((channels, count, height, width), seed=seed, stage="fifo", index=index, step=step)

    @staticmethod
    def _state(queue: Tensor, front: Tensor) -> State:
        return {"queue": queue.float().cpu(), "front": front.float().cpu()}


class Levels:
    """The noise levels of a queue of S frames, from the clearest to the noisiest, over the checkpoint's own schedule.

    times: [S] timesteps. A step is DDIM's without noise (arXiv 2010.02502, Eq. 12), each frame's from its level to the
    one before it.
    """

    def __init__(self, scheduler: Any, steps: int):
        last = scheduler.config.num_train_timesteps - 1
        self.times = torch.linspace(last / steps, last, steps).round().long()
        self._kind = scheduler.config.prediction_type
        alphas = scheduler.alphas_cumprod.float().cpu()
        now, before = alphas[self.times], torch.cat([torch.ones(1), alphas[self.times[:-1]]])
        shape = (1, -1, 1, 1)
        self._signal, self._noise = now.sqrt().view(shape), (1 - now).sqrt().view(shape)
        self._signal_before, self._noise_before = before.sqrt().view(shape), (1 - before).sqrt().view(shape)

    def __len__(self) -> int:
        return len(self.times)

    def noised(self, clear: Tensor, drawn: Tensor) -> Tensor:
        """Frames [C, S, h, w], each at its level."""
        return self._signal * clear + self._noise * drawn

    def step(self, queue: Tensor, predicted: Tensor) -> Tensor:
        """Every frame one level clearer, by the network's prediction [C, S, h, w]."""
        if self._kind == "v_prediction":
            clear = self._signal * queue - self._noise * predicted
            drawn = self._noise * queue + self._signal * predicted
        else:
            clear, drawn = (queue - self._noise * predicted) / self._signal.clamp(min=1e-4), predicted
        return self._signal_before * clear + self._noise_before * drawn
