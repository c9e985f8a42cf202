"""One thread: what unit tests compute is small, and two threads on it are slower than one."""

import torch

torch.set_num_threads(1)
