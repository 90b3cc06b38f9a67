"""Where the time of a decoding step goes on the device, kernel by kernel."""

from __future__ import annotations

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu_parts.models import config_of
from gpu_parts.speed import DECODE_ROOM, decode_steps, open_model

MODEL = "smollm2-135m"
_NUM_PROFILED = 8
_NUM_LISTED = 10


def table(device: str, *, small: bool) -> str:
    """The kernels that take most of a step of one text, and of 32."""
    runner = open_model(config_of(MODEL, small=small), device, num_texts=32, room=DECODE_ROOM)
    parts = []
    for num_texts in (1, 32):
        steps = decode_steps(runner, num_texts)
        for chunks in steps[:_NUM_PROFILED]:
            runner.forward(chunks)
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
            for chunks in steps[:_NUM_PROFILED]:
                runner.forward(chunks)
        parts.append(_listed(profiled, num_texts))
    return "\n\n".join(parts)


def _listed(profiled: profile, num_texts: int) -> str:
    on_device = [event for event in profiled.key_averages() if event.device_type == DeviceType.CUDA]
    on_device.sort(key=lambda event: -event.self_device_time_total)
    total_us = sum(event.self_device_time_total for event in on_device) / _NUM_PROFILED
    rows = [
        f"| {event.key[:70].replace('|', '/')} | {event.count / _NUM_PROFILED:g} | "
        f"{event.self_device_time_total / _NUM_PROFILED:.0f} |"
        for event in on_device[:_NUM_LISTED]
    ]
    return (
        f"{MODEL}'s sizes, texts: {num_texts}; the device works {total_us:,.0f} µs a step.\n\n"
        "| kernel | times a step | µs a step |\n|---|---|---|\n" + "\n".join(rows)
    )
