"""What says where a picture or a model is from: a tag that people see, and a mark that only a reader finds.

RodinHD (arXiv:2407.06938), on misuse: "embedding visible tags or watermarks into the distributed renderings".
"""
