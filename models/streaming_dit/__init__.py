"""The two memories of StreamingT2V on a diffusion transformer: what the paper did to OpenSora, done to that of Wan."""
