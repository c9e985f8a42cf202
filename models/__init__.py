"""The mathematics of Portrait Diffusion: pure PyTorch, usable without ComfyUI.

Conventions, stated once and used everywhere below:

World
    Right-handed, +y up, the face looks along +z (glTF's frame, so exports need no flip). The frame is that of EG3D and
    PanoHead: the frontal camera stands at (0, 0, 2.7), looks at the origin and has a focal length of 4.2647 image
    widths, so a frontal frame shows 0.633 units at the origin. A head lies within -0.5 .. 0.5; about 0.7 metres a unit.
Cameras
    OpenCV axes (x right, y down, z forward); `cam2world` [..., 4, 4]; `intrinsics` [..., 3, 3] divided by image size;
    pixel centres at (i + 0.5) / size. Yaw is atan2(x, z) of the camera's position, pitch its elevation, both 0 in front;
    +yaw moves the camera to +x, the subject's left. Angles are radians; only names that end in `_degrees` are not.
Rays
    `origins`, `directions` [..., 3], directions of unit length; `t` is distance in scene units, so density is per scene unit.
Fields
    A field is a callable: points [..., 3] -> (density [...], colour [..., 3]). `planes` [B, 3, C, H, W] (tri-plane) or
    [B, 3, C, D, H, W] (tri-grid), read with align_corners=False and zero outside the box. Plane axes, box side and
    density activation come with the checkpoint, in a frozen config.
Images
    float32 sRGB in [0, 1], [B, 3, H, W]; [-1, 1] only inside the network that needs it.
Randomness
    Whatever draws takes a `torch.Generator`; noise is drawn on the generator's device (the CPU) and then moved.
"""
