"""The systems of the papers by name: what each remembers, hears, and how it samples where nothing else is said.

Standard library only. Knows no weights and no model.
"""

from __future__ import annotations

# The systems by name. Who draws the first chunk: `models.first_chunk`
OWN, ANIMATEDIFF, SVD, TEXT2VIDEO_ZERO = "own", "animatediff", "svd", "text2video-zero"
VIDEOCRAFTER, VIDEOCRAFTER_I2V = "videocrafter", "videocrafter-i2v"
DIFFUSERS, DIFFUSERS_I2V = "diffusers", "diffusers-i2v"  # any clip model of `models.releases`
MAKE_A_VIDEO = "make-a-video"  # which also makes any video smoother and larger
FIFO, FREENOISE = "fifo", "freenoise"  # which ask the checkpoint's own networks, as StreamingT2V does
INSTRUCT_PIX2PIX, CONTROLNET = "instruct-pix2pix", "controlnet-canny"
FROM_PICTURES = (SVD, VIDEOCRAFTER_I2V, DIFFUSERS_I2V)  # those of them that draw nothing without a picture
FROM_CLIPS = (INSTRUCT_PIX2PIX, CONTROLNET)  # and nothing without a clip
# Who goes on from it: `models.streamers`
STREAMING = "streaming-t2v"
#: Frames of a chunk, and how many of them each streamer remembers of the chunk before.
MEMORY = {
    STREAMING: (16, 8),
    FIFO: (16, 8),
    FREENOISE: (16, 8),
    TEXT2VIDEO_ZERO: (8, 1),
    VIDEOCRAFTER_I2V: (16, 0),
    MAKE_A_VIDEO: (16, 8),
    INSTRUCT_PIX2PIX: (8, 1),
    CONTROLNET: (8, 1),
}
#: Steps and guidance scale of each system by the name of its weights, where a request leaves them to the model; 0 where
#: they are those that the weights were released with.
SAMPLING: dict[str, tuple[int | None, float | None]] = {
    "streaming-t2v": (None, 9.0),  # its first chunk
    "animatediff": (25, 7.5),
    "svd": (25, None),
    "text2video-zero": (50, 7.5),
    "videocrafter": (50, 12.0),
    "videocrafter-i2v": (50, 12.0),
    "diffusers": (0, 0.0),
    "diffusers-i2v": (0, 0.0),
    "make-a-video": (50, 4.0),
    "tiny-shapes": (None, None),
    "tiny-shapes-turbo": (None, None),
    "tiny-shapes-dit": (None, None),
    "tiny-text2video-zero": (20, 3.0),
    "tiny-videocrafter": (25, 2.0),
    "tiny-videocrafter-i2v": (25, 2.0),
    "tiny-make-a-video": (25, 2.0),
}
HEAR_RATE = frozenset({VIDEOCRAFTER, VIDEOCRAFTER_I2V, MAKE_A_VIDEO})  # systems told how many frames a second has
RATES = (1.0, 30.0)  # frames a second that they can be told
MAX_MOTION = 128  # of Text2Video-Zero's camera a frame, in 1/512 of the frame
OWNED = frozenset({OWN, STREAMING, FIFO, FREENOISE})  # systems that have no weights but the checkpoint's own
#: Streamers that go on only from what they have begun themselves.
ALONE = (TEXT2VIDEO_ZERO, *FROM_CLIPS)
