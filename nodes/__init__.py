"""The ComfyUI edge: the extension and its list of nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io


class PortraitDiffusionExtension(ComfyExtension):
    """Everything that this pack adds to ComfyUI."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        from .alignment import AlignPortrait
        from .avatar import GenerateAvatar, LoadAvatarModel
        from .avatars import FitAvatars
        from .baking import BakeViews
        from .cameras import CameraFromLoad3D, CameraOrbit, CameraToLoad3D
        from .diffusion import LoadViewDiffusion
        from .doctor import Doctor
        from .evaluation import EvaluateViews
        from .fitting import FitHeadFromViews, PortraitsToViews
        from .heads import LoadHead, SaveHead
        from .inversion import FeedForwardHead, InvertPortrait
        from .marks import MarkImages, ReadMark
        from .mesh import File3DToMesh, HeadToMesh, MeshToFile3D, Turntable
        from .mesh_views import RenderMeshViews
        from .new_views import GenerateRing, GenerateView, LoadHPDM
        from .prior import LoadHeadPrior
        from .projection import ProjectView
        from .refinement import RefineHead
        from .restoration import RestoreGeometry
        from .turbo import LoadTurboRefiner, RefineViews
        from .views import RenderViews
        from .zero123 import LoadZero123

        return [
            LoadHeadPrior,
            AlignPortrait,
            InvertPortrait,
            FeedForwardHead,
            FitHeadFromViews,
            FitAvatars,
            PortraitsToViews,
            LoadAvatarModel,
            GenerateAvatar,
            CameraOrbit,
            CameraFromLoad3D,
            CameraToLoad3D,
            RenderViews,
            RenderMeshViews,
            HeadToMesh,
            MeshToFile3D,
            File3DToMesh,
            Turntable,
            LoadTurboRefiner,
            RefineViews,
            BakeViews,
            ProjectView,
            LoadViewDiffusion,
            LoadHPDM,
            LoadZero123,
            GenerateView,
            GenerateRing,
            RestoreGeometry,
            RefineHead,
            EvaluateViews,
            MarkImages,
            ReadMark,
            SaveHead,
            LoadHead,
            Doctor,
        ]
