"""The parts of StreamingT2V as one checkpoint folder in diffusers layout.

Owns which parts there are; loading and saving are diffusers'. Samples nothing: `streamer` and `models.recipe` do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler

from models.company import Company
from models.memory.precision import Precision
from models.memory.presets import Preset

# Imported for diffusers too, which loads a component's class only from a module that is there already.
from models.refinement.network import VideoRefinerUNet3D as VideoRefinerUNet3D
from models.refinement.schedule import LogSNRCosineSchedule as LogSNRCosineSchedule
from models.streaming_dit.cam import ConditionalAttentionTransformer
from models.streaming_dit.transformer import StreamingTransformer3D
from models.streaming_t2v.apm import AppearancePreservationModule
from models.streaming_t2v.cam import ConditionalAttentionModule
from models.streaming_t2v.unet import StreamingUNet3D

if TYPE_CHECKING:
    from models.first_chunk.source import Source
    from models.request import Brief
    from models.streamers.streamer import ChunkStreamer


class StreamingPipeline(DiffusionPipeline):
    """Components of a checkpoint: the first chunk's network, the streaming one with CAM and APM, and the refiner.

    first_chunk: a text-to-video network (the original one; `unet` was fine-tuned from it). first_chunk_scheduler: what
    it is sampled by, a scheduler of diffusers, where it is not sampled as the chunks after it. image_encoder: a
    CLIPVisionModelWithProjection, for the anchor. refiner, refiner_schedule: see `models.refinement`; a checkpoint can
    do without them, and makes previews only. refiner_text_encoder, refiner_vae: the refiner's own, where it does not
    share the others'. cam: None in the baseline Conc-Cond, whose network is given the known frames itself.
    """

    memory: Preset  # where its parts are; both are set by `models.loading`
    precision: Precision  # what they compute in
    company: Company  # who asks its networks at the same time
    is_shared = True  # whether several threads may use it at once

    _optional_components = [
        "cam",
        "first_chunk_scheduler",
        "refiner",
        "refiner_schedule",
        "refiner_text_encoder",
        "refiner_vae",
    ]

    def __init__(
        self,
        tokenizer: Any,
        text_encoder: Any,
        vae: AutoencoderKL,
        scheduler: DDIMScheduler,
        first_chunk: Any,
        unet: StreamingUNet3D | StreamingTransformer3D,
        cam: ConditionalAttentionModule | ConditionalAttentionTransformer | None,
        apm: AppearancePreservationModule,
        image_encoder: Any,
        refiner: Any = None,
        refiner_schedule: Any = None,
        refiner_text_encoder: Any = None,
        refiner_vae: AutoencoderKL | None = None,
        first_chunk_scheduler: Any = None,
    ):
        super().__init__()
        self.company = Company()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            vae=vae,
            scheduler=scheduler,
            first_chunk=first_chunk,
            unet=unet,
            cam=cam,
            apm=apm,
            image_encoder=image_encoder,
            refiner=refiner,
            refiner_schedule=refiner_schedule,
            refiner_text_encoder=refiner_text_encoder,
            refiner_vae=refiner_vae,
            first_chunk_scheduler=first_chunk_scheduler,
        )

    def streamer(self, brief: Brief, sources: Mapping[str, Source], ablation: dict[str, Any]) -> ChunkStreamer:
        """What makes the chunks of one video: StreamingT2V, or another system of the papers from its weights."""
        from models.streamers.streamer import streamer_of

        return streamer_of(brief, self, sources, ablation)
