"""Putting a pipeline's parts where a preset wants them: on the device, or beside it to be fetched layer by layer.

Group offloading, slicing and tiling are diffusers'. Layers are grouped one by one ("leaf level"): networks here are
also used beside their `forward` (`context`, `anchored_context`, `embed`), which only the hooks of the layers notice.
A layer's weights must be read in that layer's own `forward`, or they may not be there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.hooks import HookRegistry, ModelHook, apply_group_offloading
from torch import Tensor, nn

from models import kernels
from models.memory.precision import VAES
from models.memory.presets import Preset


def place(
    pipeline: DiffusionPipeline, preset: Preset, device: torch.device, *, folder: Path | None = None
) -> DiffusionPipeline:
    """Carry out a preset. folder: where grouped weights rest instead of in the machine's memory."""
    networks = {name: part for name, part in pipeline.components.items() if isinstance(part, nn.Module)}
    for name, network in networks.items():
        kernels.speed_up(network)
        if name in preset.grouped:
            _group(network, device, None if folder is None else folder / name)
        else:
            network.to(device)
        if name in VAES:
            _cut(network, preset)
    if not preset.guidance_together and (refiner := networks.get("refiner")) is not None:
        HookRegistry.check_if_exists_or_initialize(refiner).register_hook(OneByOne(), "one_by_one")
    return pipeline


def place_beside(
    pipeline: DiffusionPipeline, preset: Preset, device: torch.device, *, folder: Path | None = None
) -> DiffusionPipeline:
    """Another system that draws first chunks: all of it goes where the preset has the checkpoint's own."""
    networks = tuple(pipeline.components) if "first_chunk" in preset.grouped else ()
    whole = replace(preset, grouped=networks, vae_slicing=False, vae_tile_px=None, guidance_together=True)
    return place(pipeline, whole, device, folder=folder)


def _group(network: nn.Module, device: torch.device, folder: Path | None) -> None:
    """On CUDA the next layer is fetched while one computes. A layer leaves when it is done, not when that is noticed
    (`record_stream`): else whole networks pile up on the device where layers are fetched faster than computed.
    """
    streams = device.type == "cuda"
    apply_group_offloading(
        network,
        onload_device=device,
        offload_type="leaf_level",
        non_blocking=streams,
        use_stream=streams,
        record_stream=False,
        offload_to_disk_path=None if folder is None else str(folder),
    )


def _cut(vae: Any, preset: Preset) -> None:
    if preset.vae_slicing:
        vae.enable_slicing()
    if preset.vae_tile_px is not None:
        vae.enable_tiling()
        vae.tile_sample_min_size = preset.vae_tile_px
        vae.tile_latent_min_size = preset.vae_tile_px // 2 ** (len(vae.config.block_out_channels) - 1)


class OneByOne(ModelHook):  # type: ignore[misc]
    """A network sees the samples of a batch one after the other: less memory, the same predictions."""

    def new_forward(self, module: nn.Module, sample: Tensor, timestep: Tensor, **inputs: Any) -> Any:
        """Every tensor of the batch's length is cut with it; what else could depend on the sample is refused."""
        batch = max(len(value) if isinstance(value, Tensor) else 1 for value in (sample, *inputs.values()))
        strange = [name for name, value in inputs.items() if not isinstance(value, Tensor) or len(value) != batch]
        if strange:
            raise TypeError(f"Only tensors of {batch} rows can be taken one by one, not {', '.join(strange)}.")
        made = []
        for i in range(batch):
            rows = {name: value[i : i + 1] for name, value in inputs.items()}
            made.append(
                self.fn_ref.original_forward(sample[i : i + 1] if len(sample) > 1 else sample, timestep, **rows)
            )
        return type(made[0])(sample=torch.cat([out.sample for out in made]))
