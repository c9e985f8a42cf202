"""Builds our modules from what golden fixtures say of the reference's, under its names."""

from portrait_diffusion.models.field.triplane import EG3D, OURS, FieldConfig
from portrait_diffusion.models.field.volume_rendering import Draws, RenderConfig
from portrait_diffusion.models.prior.eg3d import Generator, GeneratorConfig
from portrait_diffusion.models.prior.panohead import PanoHeadGenerator
from portrait_diffusion.models.prior.stylegan2 import MappingNetwork

TINY_PLANES = 256  # EG3D's, whatever else is small


def field_config(config, rendering, *, resolution, channels=32, features=32, crop=0.0) -> FieldConfig:
    """Of a generator or a renderer."""
    panohead = config["family"] == "panohead"
    return FieldConfig(
        plane_axes=OURS if panohead else EG3D,
        box_side=rendering["box_warp"],
        channels=channels,
        depth=rendering["triplane_depth"] if panohead else 0,
        resolution=resolution,
        hidden=64,
        features=features,
        activation=rendering.get("decoder_activation", "sigmoid") if panohead else "sigmoid",
        crop=crop or 0.0,
    )


def render_config(rendering, forward=None) -> RenderConfig:
    """From rendering_kwargs, and a PanoHead renderer's forward_kwargs."""
    forward = forward or {}
    start, end = (None if rendering[key] == "auto" else rendering[key] for key in ("ray_start", "ray_end"))
    return RenderConfig(
        coarse=rendering["depth_resolution"],
        fine=rendering["depth_resolution_importance"],
        near=start,
        far=end,
        disparity=rendering.get("disparity_space_sampling", False),
        white_back=rendering.get("white_back", False),
        cull=forward.get("cull_clouds") or 0.0,
        binarise=forward.get("binarize_clouds") or 0.0,
    )


def draws(golden, batch) -> Draws:
    """The two stored draws, for `batch` images."""
    coarse = golden.given("rand_coarse")[..., 0]
    fine = golden.given("rand_fine") if golden.has("in/rand_fine") else coarse.new_zeros(coarse.shape[0] * coarse.shape[1], 0)
    return Draws(coarse, fine.view(batch, coarse.shape[1], -1))


def generator_config(config) -> GeneratorConfig:
    """Of a whole generator's fixture."""
    kwargs = config["init_kwargs"]
    rendering, mapping = kwargs["rendering_kwargs"], kwargs["mapping_kwargs"]
    panohead = config["family"] == "panohead"
    resolution = rendering["triplane_size"] if panohead else TINY_PLANES
    return GeneratorConfig(
        z_dim=kwargs["z_dim"],
        w_dim=kwargs["w_dim"],
        c_dim=kwargs["c_dim"],
        mapping_layers=mapping.get("num_layers", 8),
        embed_features=mapping.get("embed_features"),
        layer_features=mapping.get("layer_features"),
        channel_base=kwargs["channel_base"],
        channel_max=kwargs["channel_max"],
        conv_clamp=kwargs["conv_clamp"],
        field=field_config(config, rendering, resolution=resolution, crop=config.get("triplane_crop")),
        render=render_config(rendering),
        raw_resolution=config["neural_rendering_resolution"],
        super_resolution=rendering["superresolution_module"].split("Superresolution")[-1].removeprefix("Hybrid"),
        sr_noise_mode=rendering["superresolution_noise_mode"],
        sr_antialias=rendering["sr_antialias"],
        sr_clamp=256.0 if kwargs["sr_num_fp16_res"] > 0 else None,
        conditioning_zero=rendering["c_gen_conditioning_zero"],
        c_scale=rendering.get("c_scale", 0.0),
        background=rendering.get("use_background", False),
        raw_rgb=rendering.get("use_torgb_raw", False),
        camera_offset=panohead,
    )


def build(config) -> Generator:
    """The generator of a fixture, without its weights."""
    kind = PanoHeadGenerator if config["family"] == "panohead" else Generator
    return kind(generator_config(config)).requires_grad_(False)


def generator(golden) -> Generator:
    """The generator of a fixture. The family may slow its decoder's learning down: here that is part of the weights."""
    net, state = build(golden.config), golden.state()
    state.pop("dataset_label_std", None)
    net.load_state_dict(slowed(state, golden.config["init_kwargs"]["rendering_kwargs"].get("decoder_lr_mul", 1)))
    return net


def slowed(state, rate):
    """A state dict with its decoder's learning rate multiplier folded in."""
    return {key: value * rate if "decoder.net." in f".{key}" else value for key, value in state.items()}


def mapping(kwargs) -> MappingNetwork:
    """From the arguments of the reference's MappingNetwork."""
    return MappingNetwork(
        kwargs["z_dim"],
        kwargs["c_dim"],
        kwargs["w_dim"],
        kwargs["num_ws"],
        num_layers=kwargs.get("num_layers", 8),
        embed_features=kwargs.get("embed_features"),
        layer_features=kwargs.get("layer_features"),
        rate=kwargs.get("lr_multiplier", 0.01),
        linear_end=kwargs.get("last_activation", "lrelu") == "linear",
    )
